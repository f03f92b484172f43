"""Taking over what earlier attempts have finished: all of it once, whatever dies on the way, whoever still lives."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import faults
import pytest
from run_dirs import new_run

from curator_slurm.common import exchange
from curator_slurm.common.checkpoint_files import FOLDER
from curator_slurm.executors.resume.log import CheckpointLog
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.runs.finished_sources import count_finished, finished_sources, last_finished
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.takeover import (
    Taken,
    begin_anew,
    discard,
    is_ours,
    read_taken,
    sweep,
    take_over,
    taken_over_by,
)

STAGES = ["read", "write"]


@pytest.fixture(params=["exchange", "rename"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    if request.param == "rename":
        monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    return new_run(tmp_path / "runs").paths


def at(run: RunPaths, name: str) -> AttemptPaths:
    return ClusterPaths(run.elements / name, run).attempt(0)


def finish(attempt: AttemptPaths, *sources: str, rows_failed: int = 0) -> None:
    """What a driver does: it writes a file for each source, and says that they are finished."""
    log = CheckpointLog(attempt.checkpoint, STAGES)
    for source in sources:
        (attempt.outputs / f"0_{source}.txt").write_text(source)
    lines = [{"source": source, "stage": "read", "rows": rows_failed} for source in sources if rows_failed]
    lines += [{"source": "not-yet", "stage": "read", "rows": 100}, {"source": "not-yet", "stage": "read"}]
    with attempt.failures.open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)
    log.append(sources)
    log.close()


def begin(run: RunPaths, name: str, *sources: str, identity: str = "one", rows_failed: int = 0) -> AttemptPaths:
    attempt = at(run, name)
    take_over(attempt, identity)
    finish(attempt, *sources, rows_failed=rows_failed)
    return attempt


def staged(attempt: AttemptPaths) -> list[str]:
    return sorted(path.name for path in attempt.outputs.iterdir())


def rows_failed(attempt: AttemptPaths) -> list[str]:
    return [json.loads(line)["source"] for line in attempt.failures.read_text().splitlines()]


def test_the_first_attempt_begins_with_nothing(run: RunPaths) -> None:
    attempt = at(run, "1.0")
    assert take_over(attempt, "one") == Taken()
    assert staged(attempt) == []
    assert is_ours(attempt)
    assert count_finished(attempt) == 0


def test_the_next_one_goes_on(run: RunPaths) -> None:
    old, new = begin(run, "1.0", "a", "b", rows_failed=2), at(run, "1.1")
    write_json(old.outputs / "_shard.json", {"left by": "one that could not be published"})
    last = last_finished(old.checkpoint)
    assert last is not None
    taken = take_over(new, "one")
    assert taken == Taken(of="1.0", sources_before=2, last_finished=last, kept=True) == read_taken(new)
    assert staged(new) == ["0_a.txt", "0_b.txt"]
    assert rows_failed(new) == ["a", "b"]
    assert is_ours(new)
    assert not is_ours(old)
    assert taken_over_by(old) == "1.1"
    assert finished_sources(run, 0, "1.0") == finished_sources(run, 0, "1.1") == 2
    finish(new, "c", rows_failed=1)
    third = at(run, "2.0")
    assert take_over(third, "one").sources_before == 3
    assert rows_failed(third) == ["a", "b", "c"]
    assert staged(third) == ["0_a.txt", "0_b.txt", "0_c.txt"]
    assert [log.name for log in (third.checkpoint / FOLDER).iterdir()] == ["taken-over-by-2.0.jsonl"]


def test_one_that_lives_on_can_neither_stage_nor_record(run: RunPaths) -> None:
    old, new = begin(run, "1.0", "a"), at(run, "2.0")
    log = CheckpointLog(old.checkpoint, STAGES)
    log.append(["b"])
    while count_finished(old) < 2:
        pass
    assert take_over(new, "one").sources_before == 2
    log.append(["late"])
    log.close()
    with pytest.raises(OSError):
        (old.outputs / "sub").mkdir(parents=True, exist_ok=True)
    with pytest.raises(OSError):
        (old.outputs / "late.txt").write_text("late")
    assert count_finished(new) == 2
    assert staged(new) == ["0_a.txt"]
    discard(old)
    assert staged(new) == ["0_a.txt"]


@pytest.mark.parametrize("identity", ["other", ""])
def test_what_belongs_to_something_else_is_left_until_the_shard_is_done(run: RunPaths, identity: str) -> None:
    old, new = begin(run, "1.0", "a"), at(run, "2.0")
    taken = take_over(new, identity)
    assert (taken.of, taken.sources_before) == ("", 0)
    assert "1.0 ran other code, another pipeline or other input" in taken.anew
    assert staged(new) == []
    assert staged(old) == ["0_a.txt"]
    new.state.mkdir()
    sweep(new)
    assert not list(run.attempts.glob("*/*/work"))
    assert not new.state.exists()


def test_the_one_that_has_finished_most_counts_and_the_others_go(run: RunPaths) -> None:
    for name, sources in (("1.0", "ab"), ("2.0", "cde"), ("3.0", "f"), ("4.0", "")):
        begin(run, name, *sources, identity=name)  # each from the beginning
        value = read_json(at(run, name).identity)
        assert value
        write_json(at(run, name).identity, {**value, "identity": "one"})
    new = at(run, "5.0")
    assert take_over(new, "one").of == "2.0"
    assert staged(new) == ["0_c.txt", "0_d.txt", "0_e.txt"]
    assert rows_failed(new) == [] if new.failures.exists() else True
    assert [taken_over_by(at(run, name)) for name in ("1.0", "2.0", "3.0")] == ["5.0"] * 3
    assert not list(run.attempts.glob("*/*/removed"))


def test_outputs_that_are_gone_are_not_taken_for_finished(run: RunPaths) -> None:
    old, new = begin(run, "1.0", "a"), at(run, "2.0")
    old.outputs.rename(run.root / "published")
    taken = take_over(new, "one")
    assert (taken.of, taken.sources_before, taken.anew) == ("", 0, "what 1.0 had staged is gone")
    assert count_finished(new) == 0
    assert staged(new) == []
    assert is_ours(new)


def test_a_driver_that_cannot_go_on_begins_anew(run: RunPaths) -> None:
    begin(run, "1.0", "a")
    new = at(run, "2.0")
    take_over(new, "one")
    begin_anew(new, "the stages are others")
    assert count_finished(new) == 0
    assert read_taken(new) == Taken(anew="the stages are others")
    assert is_ours(new)


def restarts(run: RunPaths) -> Iterator[tuple[int, Callable[[], object]]]:
    """An attempt that takes over from two, and is to be killed after each of its operations."""
    for operation in range(1, 200):
        shutil.rmtree(run.attempts, ignore_errors=True)
        begin(run, "1.0", "a", "b", rows_failed=2)
        begin(run, "2.0", "x", identity="two")
        value = read_json(at(run, "2.0").identity)
        assert value
        write_json(at(run, "2.0").identity, {**value, "identity": "one"})
        yield operation, lambda: take_over(at(run, "3.0"), "one")


def test_killed_after_any_operation_the_next_one_has_everything(run: RunPaths) -> None:
    crashes = 0
    for operation, takeover in restarts(run):
        crashed = faults.crash_after(operation, takeover)
        crashes += crashed
        last = at(run, "4.0")
        taken = take_over(last, "one")
        assert taken.sources_before == count_finished(last) == 2, operation
        assert staged(last) == ["0_a.txt", "0_b.txt"], operation
        assert rows_failed(last) == ["a", "b"], operation
        assert is_ours(last)
        assert not any(is_ours(at(run, name)) for name in ("1.0", "3.0")), operation
        if not crashed:
            break
    assert crashes > 15


def test_storage_that_refuses_any_operation_loses_nothing(run: RunPaths) -> None:
    for operation, takeover in restarts(run):
        with faults.failing(operation) as failed, contextlib.suppress(OSError):
            takeover()
        last = at(run, "4.0")
        assert take_over(last, "one").sources_before == 2, operation
        assert staged(last) == ["0_a.txt", "0_b.txt"], operation
        assert rows_failed(last) == ["a", "b"], operation
        if not failed():
            break


def test_a_folder_that_a_living_writer_makes_again_goes(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = begin(run, "1.0", "a"), at(run, "2.0")
    monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        found = rename(path, target)
        if path == old.work:
            old.outputs.mkdir(parents=True)
            (old.outputs / "late.txt").write_text("late")
        return found

    monkeypatch.setattr(Path, "rename", late)
    take_over(new, "one")
    assert taken_over_by(old) == "2.0"
    assert staged(new) == ["0_a.txt"]
