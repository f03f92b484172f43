"""Tasks grouped into objects must leave in batches of exactly the wanted size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.executors.backends.xenna.chunks import (
    Chunk,
    ChunkBuffer,
    batches_per_chunk,
    chosen,
    chunk_sizes,
    cut,
    make_chunks,
    select,
)
from curator_slurm.executors.backends.xenna.queue import ChunkQueue


def test_sizes_form_a_chain_of_divisors() -> None:
    assert chunk_sizes(32) == [32, 16, 8, 4, 2, 1]
    assert chunk_sizes(100) == [100, 50, 25, 5, 1]
    assert chunk_sizes(97) == [97, 1]
    assert chunk_sizes(1) == [1]


def test_a_full_batch_is_one_chunk() -> None:
    assert [len(chunk) for chunk in make_chunks(range(32), range(32), 32)] == [32]
    assert [len(chunk) for chunk in make_chunks(range(43), range(43), 32)] == [32, 8, 2, 1]


def test_outputs_of_the_last_stage_are_one_chunk() -> None:
    assert make_chunks([1, 2, 3], [0, 0, 1], None) == [Chunk([1, 2, 3], [0, 0, 1])]
    assert make_chunks([], [], None) == []


@settings(deadline=None)
@given(batch=st.integers(1, 120), groups=st.lists(st.integers(0, 300), max_size=12), places=st.integers(1, 3))
def test_batches_are_exact_and_nothing_is_lost(batch: int, groups: list[int], places: int) -> None:
    buffer = ChunkBuffer()
    produced = 0
    for index, group in enumerate(groups):
        made = range(produced, produced + group)
        for chunk in make_chunks(made, made, batch):
            assert chunk.tasks == chunk.groups
            buffer.add(index % places, chunk, len(chunk))
        produced += group
    seen: list[int] = []
    while (batch_found := buffer.take(batch)) is not None:
        tasks = [task for chunk in batch_found[0] for task in chunk.tasks]
        assert len(tasks) == batch
        seen += tasks
    assert len(buffer) == produced % batch
    if len(buffer):
        rest = buffer.take(len(buffer))
        assert rest is not None
        seen += [task for chunk in rest[0] for task in chunk.tasks]
    assert sorted(seen) == list(range(produced))


def test_a_batch_comes_from_one_place_where_possible() -> None:
    buffer = ChunkBuffer()
    buffer.add("a", "half of a", 2)
    buffer.add("b", "all of b", 4)
    assert buffer.take(4) == (["all of b"], "b")
    assert buffer.take(4) is None
    buffer.add("b", "half of b", 2)
    found = buffer.take(4)
    assert found is not None
    assert sorted(found[0]) == ["half of a", "half of b"]


def test_drain_empties_the_buffer() -> None:
    buffer = ChunkBuffer()
    buffer.add("a", "x", 2)
    assert buffer.drain() == ["x"]
    assert len(buffer) == 0


def test_small_tasks_share_a_chunk_and_large_ones_do_not() -> None:
    assert batches_per_chunk(nbytes=200 * 2000, tasks=2000, batch_size=1) == 64
    assert batches_per_chunk(nbytes=200 << 20, tasks=200, batch_size=1) == 1
    assert [len(chunk) for chunk in make_chunks(range(150), range(150), 4, 16)] == [64, 64, 20, 2]


@settings(deadline=None)
@given(
    batch=st.integers(1, 40),
    groups=st.lists(st.integers(0, 300), max_size=8),
    shared=st.integers(1, 64),
    more=st.integers(0, 70),
)
def test_a_queue_gives_several_batches_at_once_and_loses_nothing(
    batch: int, groups: list[int], shared: int, more: int
) -> None:
    queue = ChunkQueue(batch, lambda _waiting: more)
    produced = 0
    for group in groups:
        made = range(produced, produced + group)
        queue.by_node_id[None].extend(make_chunks(made, made, batch, shared))
        produced += group
    seen: list[int] = []
    while (task := queue.maybe_get_batch(batch)) is not None:
        (chunk,) = task.task_data
        assert len(chunk) % batch == 0
        assert len(chunk) == min(1 + more, (produced - len(seen)) // batch) * batch
        assert chunk.tasks == chunk.groups
        seen += chunk.tasks
    if len(queue):
        seen += queue.maybe_get_batch(len(queue)).task_data[0].tasks
    assert sorted(seen) == list(range(produced))
    assert not queue


def test_pieces_of_a_chunk_are_named_only_where_it_is_cut() -> None:
    first, second = Chunk([0, 1, 2, 3], [0] * 4), Chunk([4, 5], [1] * 2)
    pieces = [*cut(first, 4, 2), *cut(second, 2, 2)]
    assert select(pieces) is None
    selection = select([pieces[2], pieces[0]])
    assert selection is not None
    assert selection.of(selection.chunks) == Chunk([4, 5, 0, 1], [1, 1, 0, 0])
    assert chosen([first, second]) == Chunk([0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 1, 1])


def test_a_chunk_is_shown_without_its_payloads() -> None:
    """The engine formats what it hands out; with payloads that took longer than all the work."""
    assert repr(Chunk(["x" * 1000], [0])) == "Chunk(1 tasks)"
    assert len(repr(cut(Chunk(["x" * 1000], [0]), 1, 1))) < 200
