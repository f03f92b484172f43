"""What an attempt at a shard takes over of earlier ones: their staged outputs, and the log of what is finished.

It takes the folder `work` of the attempt that has finished most by one rename, and leaves a file in its place. So an
attempt that lives on, although it is taken for dead, can neither stage nor publish any more: its paths lead nowhere.
Then the folder is sealed: a new log has all that is finished, the old ones go, which that attempt may hold open still.
Whatever dies in between, the next attempt takes the folder over from where it is and seals it again.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from curator_slurm.common import exchange
from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.checkpoint_files import FOLDER, Finished, log_files, read_finished
from curator_slurm.common.finished_work import Part, Work, distinct
from curator_slurm.common.json_fields import checked, made, whole
from curator_slurm.launcher.files import LIST_BYTES, folders_in, read_json, read_jsonl, read_object, write_json
from curator_slurm.launcher.runs.attempt_names import is_attempt, order_of
from curator_slurm.launcher.runs.finished_sources import count_finished, last_finished
from curator_slurm.launcher.runs.nothing_kept import nothing_kept
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.shard_records import MARKER

log = logging.getLogger("curator_slurm.agent")

_TRIES = 5
_IN_ONE_LINE = 10_000


@dataclass(frozen=True)
class Taken:
    """takeover.json: what an attempt begins with."""

    of: str = ""
    """The attempt that it was taken over from; empty where it begins anew."""
    sources_before: int = 0
    anew: str = ""
    """Why nothing was taken over, although an earlier attempt had finished something."""
    last_finished: float | None = None
    """When the last of these partitions was finished."""
    kept: bool = False
    """Whether earlier attempts have kept something, as far as they could tell."""

    def write(self, attempt: AttemptPaths) -> None:
        write_json(attempt.takeover, {"schema": 1, **asdict(self)})


def others_at(attempt: AttemptPaths) -> list[AttemptPaths]:
    """The other attempts at the same shard, oldest first."""
    found = [
        AttemptPaths(folder, attempt.run)
        for folder in folders_in(attempt.root.parent)
        if is_attempt(folder.name) and folder.name != attempt.name
    ]
    return sorted(found, key=lambda other: order_of(other.name))


def take_over(attempt: AttemptPaths, identity: str) -> Taken:
    """Begin an attempt: with what an earlier one of the same `identity` has finished, or with nothing.

    An empty identity takes nothing over: the pipeline does not say what is finished.

    Raises:
        OSError: the storage refuses.
    """
    attempt.root.mkdir(parents=True, exist_ok=True)
    why = ""
    for _ in range(_TRIES):
        mine, why = _candidates(attempt, identity)
        if not mine:
            break
        best = mine[-1]
        if not _move(best.work, attempt.work, attempt.name):
            continue  # another one was faster
        taken = _seal(attempt, identity, best)
        for other in mine[:-1]:
            discard(other, by=attempt.name)
        if taken is not None:
            return taken
        why = f"what {best.name} had staged is gone"
        break
    return _begin(attempt, identity, why)


def is_ours(attempt: AttemptPaths) -> bool:
    """Whether no other attempt has taken over what this one stages.

    Raises:
        OSError: the storage does not say.
    """
    try:
        return _Identity.read(attempt).attempt == attempt.name
    except (FileNotFoundError, NotADirectoryError):
        return False


def taken_over_by(attempt: AttemptPaths) -> str:
    """The attempt that has taken over what this one had staged; empty where none has."""
    return str((read_object(attempt.work) or {}).get("taken_over_by") or "")


def read_taken(attempt: AttemptPaths) -> Taken:
    """What an attempt has begun with, as far as it says."""
    try:
        value = read_json(attempt.takeover)
        return made(Taken, checked(Taken, value)) if isinstance(value, dict) else Taken()
    except (OSError, ValueError):
        return Taken()


def begin_anew(attempt: AttemptPaths, why: str) -> None:
    """What was taken over is of no use: forget what is finished; what is staged is for the caller to remove.

    Raises:
        OSError: the storage refuses.
    """
    shutil.rmtree(attempt.checkpoint)
    Taken(anew=why).write(attempt)


def discard(attempt: AttemptPaths, by: str = "") -> None:
    """Remove what an attempt has staged and finished; `by` is the attempt in whose favour."""
    gone = attempt.root / "removed"
    shutil.rmtree(gone, ignore_errors=True)  # by one that died at it
    try:
        if by:
            _move(attempt.work, gone, by)
        elif attempt.work.is_dir():
            attempt.work.rename(gone)
    except OSError as error:
        log.warning("%s cannot be removed: %s", attempt.work, error)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(attempt: AttemptPaths) -> None:
    """The shard is done: remove what its attempts have left, and what a command kept for later ones."""
    for other in (*others_at(attempt), attempt):
        discard(other)
    shutil.rmtree(attempt.state, ignore_errors=True)


@dataclass(frozen=True)
class _Identity:
    """identity.json: whose `work` it is, and what it belongs to."""

    identity: str
    attempt: str
    """The attempt that has sealed it last."""
    kept: bool = False
    """Whether attempts before that one have kept something."""

    def write(self, paths: AttemptPaths) -> None:
        write_json(paths.identity, {"schema": 1, **asdict(self)})

    @classmethod
    def read(cls, paths: AttemptPaths) -> _Identity:
        """Raises FileNotFoundError where there is none, or it is damaged."""
        try:
            value = read_json(paths.identity)
            return cls(str(value["identity"]), str(value["attempt"]), bool(value["kept"]))  # type: ignore[index]
        except (ValueError, KeyError, TypeError):
            raise FileNotFoundError(str(paths.identity)) from None


def _candidates(attempt: AttemptPaths, identity: str) -> tuple[list[AttemptPaths], str]:
    """Attempts that have finished something, the one with most last; and why others do not count."""
    found, why = [], ""
    for other in others_at(attempt):
        count = count_finished(other) if other.checkpoint.is_dir() else 0
        if not count:
            continue
        try:
            same = bool(identity) and _Identity.read(other).identity == identity
        except FileNotFoundError:
            same = False
        if same:
            found.append((count, order_of(other.name), other))
        else:
            why = f"{other.name} ran other code, another pipeline or other input"
    return [other for _, _, other in sorted(found, key=lambda each: each[:2])], "" if found else why


def _move(old: Path, new: Path, by: str) -> bool:
    """Take a folder away, with a file in its place; False where it is not there any more.

    In one step where the file system can exchange two names; else a writer that lives on may make the folder again in
    between: that goes too.
    """
    shutil.rmtree(new, ignore_errors=True)
    if not old.is_dir():
        return False
    write_json(new, {"taken_over_by": by})
    try:
        if exchange.exchange(old, new):
            return new.is_dir()
        new.unlink()
        old.rename(new)
    except FileNotFoundError:
        new.unlink(missing_ok=True)
        return False
    for _ in range(_TRIES):
        try:
            with old.open("x") as stream:
                stream.write(json.dumps({"taken_over_by": by}) + "\n")
        except (FileExistsError, IsADirectoryError):
            shutil.rmtree(old, ignore_errors=True)
        else:
            break
    return True


def _seal(attempt: AttemptPaths, identity: str, other: AttemptPaths) -> Taken | None:
    """Make what was taken over ours alone; None where its outputs are gone: published, or removed."""
    if not attempt.outputs.is_dir():
        return None
    before = _Identity.read(attempt)
    holder = AttemptPaths(attempt.root.parent / before.attempt, attempt.run)
    logs = list(read_finished(attempt.checkpoint))
    finished: set[str] = set().union(*(each.sources for each in logs))
    last = last_finished(attempt.checkpoint)
    mine = attempt.checkpoint / FOLDER / f"taken-over-by-{attempt.name}.jsonl"
    write_atomic(mine, "".join(_log_lines(logs)))
    _carry_rows(holder, attempt, finished)
    for path in log_files(attempt.checkpoint):
        if path != mine:
            path.unlink(missing_ok=True)
    (attempt.outputs / MARKER).unlink(missing_ok=True)  # of one that could not be published
    kept = before.kept or _has_kept(holder)
    taken = Taken(of=other.name, sources_before=len(finished), last_finished=last, kept=kept)
    taken.write(attempt)
    _Identity(identity, attempt.name, kept).write(attempt)
    return taken


def _log_lines(logs: list[Finished]) -> Iterator[str]:
    stages = next((each.stages for each in logs if each.stages is not None), [])
    yield json.dumps({"schema": 1, "stages": stages}) + "\n"
    parts = list(distinct(each.parts for each in logs))
    for counted in (True, False):
        for sources, work in _joined(part for part in parts if (part.work is not None) is counted):
            yield json.dumps({"finished": sorted(sources), **(work.to_json() if work else {})}) + "\n"


def _joined(parts: Iterable[Part]) -> Iterator[tuple[set[str], Work | None]]:
    """The same in fewer lines, none of which is too long; of what has the same number of stages."""
    sources: set[str] = set()
    work: Work | None = None
    for part in parts:
        same = work is None or part.work is None or len(work.counts) == len(part.work.counts)
        if sources and (len(sources) >= _IN_ONE_LINE or not same):
            yield sources, work
            sources, work = set(), None
        sources |= part.sources
        if part.work is not None:
            work = work or Work()
            work.add(part.work)
    if sources:
        yield sources, work


def _carry_rows(holder: AttemptPaths, attempt: AttemptPaths, finished: set[str]) -> None:
    """Rows that were left out of partitions which are finished: nobody comes across them again."""
    rows = [
        line
        for line in read_jsonl(holder.failures, LIST_BYTES)
        if isinstance(line, dict) and whole(line.get("rows")) is not None and line.get("source") in finished
    ]
    if rows:
        write_atomic(attempt.failures, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rows))


def _has_kept(holder: AttemptPaths) -> bool:
    """Whether an attempt has kept something; it has, where it does not say."""
    try:
        progress = read_json(holder.progress)
    except (OSError, ValueError):
        return True
    return not isinstance(progress, dict) or not nothing_kept(progress, resumed=True)


def _begin(attempt: AttemptPaths, identity: str, why: str) -> Taken:
    if attempt.work.is_file():
        attempt.work.unlink()
    discard(attempt)  # of no use
    attempt.outputs.mkdir(parents=True, exist_ok=True)
    _Identity(identity, attempt.name).write(attempt)
    taken = Taken(anew=why)
    taken.write(attempt)
    return taken
