"""What the elements that are active are at: looked up by names of files alone, of thousands of shards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_files import attempt_names, element_names, newest_elements, restart_of
from curator_slurm.launcher.status.facts import RunFacts


def with_activity(paths: RunPaths, facts: RunFacts, active: Sequence[int], restart_jobs: Set[str]) -> RunFacts:
    """The facts, with what these active shards are at; `restart_jobs` were submitted by the run itself."""
    names = element_names(paths)
    facts = replace(facts, begun=dict(_begun(paths, facts, active)))
    return replace(
        facts,
        begun_at=dict(_begun_at(paths, facts.begun)) if facts.total > 1 else {},
        draining=frozenset(_draining(paths, facts.begun)),
        restart_due=frozenset(_restart_due(paths, facts)),
        ran_before=frozenset(_ran_before(names, facts, active)),
        restarts=_count_restarts(names, restart_jobs),
    )


def _begun(paths: RunPaths, facts: RunFacts, active: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Shards that a running element has begun, by the folder of the attempt; not those of before a requeue."""
    for shard in active:
        place, element = facts.places[shard], facts.element_of(shard)
        if element is None or element.state.run_state not in (RunState.RUNNING, RunState.STARTING):
            continue
        names = [name for name in attempt_names(paths, shard) if base_of(name) == place.element_id]
        if names and restart_of(names[-1]) >= (element.restarts or 0):
            yield shard, names[-1]


def _draining(paths: RunPaths, begun: Mapping[int, str]) -> Iterator[int]:
    """Shards whose attempts were told to begin nothing more."""
    return (shard for shard, name in begun.items() if os.path.lexists(paths.attempt(shard, name).drain))


def _restart_due(paths: RunPaths, facts: RunFacts) -> Iterator[str]:
    """Elements whose agents have left a request to begin again, which their batch scripts have not yet followed."""
    for name in set(facts.begun.values()):
        if os.path.lexists(f"{paths.elements}/{name}/restart-request"):
            yield base_of(name)


def _ran_before(names: Iterable[str], facts: RunFacts, active: Iterable[int]) -> Iterator[str]:
    """Elements in the queue that have a folder of an earlier start, or were started before by what Slurm says."""
    waiting = {facts.places[shard].element_id for shard in active}
    waiting = {name for name in waiting if facts.elements[name].state.run_state is RunState.PENDING}
    yield from waiting.intersection(map(base_of, names)) if waiting else ()
    yield from (name for name in waiting if facts.elements[name].restarts)


def ended_early(paths: RunPaths, facts: RunFacts) -> list[int]:
    """Shards whose attempts have ended, although their element goes on with others; requeued, it begins them again."""
    ended = [shard for shard, name in facts.begun.items() if os.path.lexists(paths.attempt(shard, name).outcome)]
    newest = newest_elements(paths) if ended else {}
    return [shard for shard in ended if newest.get(base_of(facts.begun[shard])) in (None, facts.begun[shard])]


def _count_restarts(names: Iterable[str], restart_jobs: Set[str]) -> int:
    """Starts after an interruption: by Slurm, by the run itself, or by an administrator."""
    found = 0
    for name in names:
        element_id, _, restart = name.rpartition(".")
        found += restart != "0" or element_id.partition("_")[0] in restart_jobs
    return found


def _begun_at(paths: RunPaths, begun: Mapping[int, str]) -> Iterator[tuple[int, float]]:
    """When these attempts began: then the link to their element was made."""
    for shard, name in begun.items():
        with contextlib.suppress(OSError):
            yield shard, os.lstat(paths.attempt(shard, name).element).st_mtime
