"""What a plan stages on its nodes, and where. Files are looked at, nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curator_slurm.common.sizes import parse_size
from curator_slurm.launcher.plan.local_disk import ON_NODES, local_disk
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.staging.software import Root, roots_of


@dataclass(frozen=True)
class StagingChoice:
    """What the script says to the program that unpacks."""

    folder: str
    """The node-local folder, with variables of Slurm's."""
    most: str
    """Bytes that a node keeps."""
    room: str
    """Bytes that a job may put there; 0: not known."""
    days: str
    keeps: bool
    """Whether copies stay when the run has ended."""
    has_software: bool
    """Whether the interpreter is staged, and not data alone."""


def staging_choice(plan: Plan) -> StagingChoice | None:
    """How a plan stages; None where it does not."""
    environment, disk = plan.spec.environment, local_disk(plan)
    if not plan.is_staged or (environment.container is not None and not environment.stage_paths):
        return None
    folder = disk.path or "/tmp"
    return StagingChoice(
        folder=folder,
        most=str(parse_size(environment.stage_size)),
        room=str(disk.size or 0),
        days=str(environment.stage_days),
        keeps=environment.stage_days > 0 and not ON_NODES.search(folder),
        has_software=environment.container is None,
    )


def staged_roots(plan: Plan, python: str | None) -> list[Root]:
    """The folders that go to the nodes, where this interpreter runs on them."""
    environment = plan.spec.environment
    return roots_of(python if environment.container is None else None, environment.stage_paths)


def notes(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) where staging does less than it seems to."""
    environment, key = plan.spec.environment, "environment.stage"
    if not plan.is_staged:
        return
    if environment.container is not None and not environment.stage_paths:
        yield key, f"`{key}`: the software is in the image, which its runtime brings to the nodes; nothing is staged"
    elif environment.container is None and plan.python is not None and not roots_of(plan.python):
        yield key, f"`{key}`: {plan.python} belongs to the system, which every node has itself; it is not staged"
    disk = local_disk(plan)
    folder = disk.path or "/tmp"
    for name in (group.name for group in plan.spec.resources.groups):
        if (local_disk(plan, name).path or "/tmp") != folder:
            yield key, f"`{key}`: nodes of group {name}, too, have their copies in {folder}, if they have that folder"
    if disk.is_memory:
        yield key, f"`{key}`: {disk.path or '/tmp'} is memory here, and so what is staged takes some of the nodes'"
