"""`output.if_exists`: which folder the outputs of a new run go to, and what becomes of what is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import count
from pathlib import Path

from curator_slurm.launcher.files import is_filled
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.published import owner
from curator_slurm.launcher.spec.data_sections import IfExists

_FIRST = 2


def _is_taken(path: Path) -> bool:
    """Whether there is something else; what cannot be looked at is not passed over, but refused by the checks."""
    try:
        return is_filled(path)
    except OSError:
        return False


Claims = Callable[[Plan], Collection[Path]]
"""The folders that other runs are going to fill, of those beside the output of a plan."""


def no_claims(_plan: Plan) -> Collection[Path]:
    return ()


def with_free_version(plan: Plan, claimed: Claims) -> Plan:
    """The plan with the first free folder of `path`, `path-2`, `path-3` and so on as its `output.path`."""
    output = plan.spec.output
    if output.path is None or output.if_exists is not IfExists.NEW_VERSION:
        return plan
    path, others = Path(output.path), claimed(plan)
    version = next(each for each in _versions(path) if each not in others and not _is_taken(each))
    if version == path:
        return plan
    spec = plan.spec.model_copy(update={"output": output.model_copy(update={"path": str(version)})})
    origin = f"{plan.origins.get('output.path', '')}; new_version, since {path.name} is taken".removeprefix("; ")
    return plan.model_copy(update={"spec": spec, "origins": {**plan.origins, "output.path": origin}})


def _versions(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in count(_FIRST))


def note(plan: Plan, asked: str | None) -> str:
    """What is to be said of a plan whose `output.path` was to be `asked`; empty where that is free."""
    output = plan.spec.output
    if output.path is None or asked is None:
        return ""
    if output.path != asked:
        return f"`output.path` {asked} is taken; the outputs go to {output.path} (output.if_exists: new_version)"
    if output.if_exists is IfExists.REPLACE and _is_taken(Path(output.path)):
        return (
            f"what run {owner(Path(output.path))} has published in {output.path} is replaced when the new outputs are "
            "complete (output.if_exists: replace)"
        )
    return ""
