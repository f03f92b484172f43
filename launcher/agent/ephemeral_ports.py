"""The range from which Ray's ports are taken, beside the one from which Linux gives ports to anybody's connections.

A port of that range may be taken at any moment by an outgoing connection of any program on the node.
"""

from __future__ import annotations

from pathlib import Path

from curator_slurm.launcher.plan.model import Plan

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _HIGHEST = 1024, 65535
_ENOUGH = 2000
"""Ports that a range of our own choice must have; with fewer, the default stays."""


def ephemeral_range(text: str) -> tuple[int, int] | None:
    """First and last port in the text of ip_local_port_range; None where it is none."""
    fields = text.split()
    if len(fields) != 2 or not all(field.isascii() and field.isdigit() for field in fields):
        return None
    return int(fields[0]), int(fields[1])


def choose_range(wanted: tuple[int, int], ephemeral: tuple[int, int] | None, *, is_default: bool) -> tuple[int, int]:
    """The range to use: the wanted one, or if that is only the default, as large a one outside of Linux's."""
    if ephemeral is None or not is_default or not _overlap(wanted, ephemeral):
        return wanted
    size = wanted[1] - wanted[0] + 1
    below = (max(ephemeral[0] - size, _LOWEST), ephemeral[0] - 1)
    above = (ephemeral[1] + 1, min(ephemeral[1] + size, _HIGHEST))
    best = next((each for each in (below, above) if each[1] - each[0] + 1 >= _ENOUGH), None)
    return wanted if best is None else best


def note(used: tuple[int, int], wanted: tuple[int, int], ephemeral: tuple[int, int] | None) -> str | None:
    """What is worth a line in the log: another range than the default, or one that overlaps Linux's."""
    if ephemeral is None:
        return None
    linux = f"{ephemeral[0]}-{ephemeral[1]} (net.ipv4.ip_local_port_range)"
    if _overlap(used, ephemeral):
        return (
            f"network.port_range {used[0]}-{used[1]} overlaps {linux}, from which Linux gives ports to connections of "
            "any program: Ray may find one of its ports taken. Set network.port_range outside of it"
        )
    if used != wanted:
        return f"Ray's ports are from {used[0]}-{used[1]}: the default {wanted[0]}-{wanted[1]} overlaps {linux}"
    return None


def here() -> tuple[int, int] | None:
    """The range of this node's kernel."""
    try:
        return ephemeral_range(EPHEMERAL.read_text())
    except OSError:
        return None


def range_of(plan: Plan) -> tuple[tuple[int, int], str | None]:
    """From where the ports of a plan's Ray are taken on this node, and what is worth a line about that."""
    wanted, linux = plan.spec.network.port_range, here()
    is_default = plan.origins.get("network.port_range", "default") == "default"
    used = choose_range(wanted, linux, is_default=is_default)
    return used, note(used, wanted, linux)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
