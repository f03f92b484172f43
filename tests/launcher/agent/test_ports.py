"""Blocks of ports: no two overlap, and a neighbour who holds what others may hold stops nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import product

import pytest

from curator_slurm.launcher.agent.ports import SERVICES, PortBlock, guards, ports_wanted, reserve_ports
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass

WIDTH = 450


@pytest.fixture
def ports() -> tuple[int, int]:
    """A range of ports that nobody uses, at a place of this process."""
    places = range(10_000, 32_000, WIDTH)
    for turn in range(len(places)):
        first = places[(os.getpid() + turn) % len(places)]
        if all(map(is_free, range(first, first + WIDTH))):
            return first, first + WIDTH - 1
    pytest.fail("no free range of ports on this machine")


def is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("", port))
        return True
    return False


@pytest.fixture
def neighbour() -> Iterator[ExitStack]:
    """What another user of the node holds."""
    with ExitStack() as stack:
        yield stack


def listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_a_neighbour_who_holds_every_lock_name_stops_nobody(ports: tuple[int, int], neighbour: ExitStack) -> None:
    for slot in range(0, 65536, 50):
        name = neighbour.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):  # a run on this machine may hold it
            name.bind(f"\0curator-slurm/ports/{slot}")
    block = reserve_ports(ports, cpus=2)
    assert ports[0] <= block.first < block.last <= ports[1]
    block.release()


def test_a_block_with_a_port_in_use_is_passed_over(ports: tuple[int, int], neighbour: ExitStack) -> None:
    size = ports_wanted(2)
    for first in (ports[0], ports[0] + size):
        neighbour.enter_context(listen(first + 17))
    for seed in range(10):
        block = reserve_ports(ports, cpus=2, seed=seed)
        assert block.first > ports[0] + size + 17
        block.release()


def test_what_is_reserved_cannot_be_reserved_or_bound_by_others_until_released(ports: tuple[int, int]) -> None:
    blocks: list[PortBlock] = []
    refused: BootstrapError | None = None
    while refused is None:
        try:
            blocks.append(reserve_ports(ports, cpus=2, seed=len(blocks)))
        except BootstrapError as error:
            refused = error
    assert refused.failure_class == FailureClass.PORT_CONFLICT
    assert f"{ports[0]}-{ports[1]}" in str(refused)
    assert blocks
    taken = [port for block in blocks for port in range(block.first, block.last + 1)]
    assert len(taken) == len(set(taken))
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("", blocks[0].first))
    for block in blocks:
        block.release()
    reserve_ports(ports, cpus=2).release()


def test_a_small_block_is_not_given_inside_a_large_one(ports: tuple[int, int]) -> None:
    large = reserve_ports(ports, cpus=20)
    try:
        with pytest.raises(BootstrapError):
            reserve_ports((large.first + 60, large.last - 5), cpus=2)
    finally:
        large.release()


def test_blocks_that_overlap_see_each_other() -> None:
    """For any two ranges, whoever comes second finds a guard of the first among its ports."""
    blocks = [(first, first + size - 1) for first, size in product(range(0, 200, 7), (50, 100, 150, 163, 300))]
    for (first, last), (other_first, other_last) in product(blocks, blocks):
        if first <= other_last and other_first <= last:
            assert any(first <= guard <= last for guard in guards(other_first, other_last)) or any(
                other_first <= guard <= other_last for guard in guards(first, last)
            )


@pytest.mark.parametrize("first", [20000, 20003, 20045, 20049])
def test_services_and_workers_have_ports_of_their_own(first: int) -> None:
    block = PortBlock(first, first + 149)
    services = [block[service] for service in SERVICES]
    low, high = block.workers
    assert len(set(services)) == len(SERVICES)
    assert not set(services) & set(guards(block.first, block.last))
    assert block.first < min(services)
    assert max(services) < low < high < block.last
