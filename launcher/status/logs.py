"""The log files of a run, and reading them as they grow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curator_slurm.common.plain_files import open_plain
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import StorageError, UsageError
from curator_slurm.launcher.files import is_there
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.status.attempt_files import attempts_at, newest_element, newest_elements
from curator_slurm.launcher.status.attempt_history import names_of_attempts
from curator_slurm.launcher.status.gather import places_of, status_of
from curator_slurm.launcher.status.shard_status import ShardState
from curator_slurm.launcher.tails import GrowingFile, last_lines, tail

FOLLOW_INTERVAL_S = 0.5


@dataclass(frozen=True)
class LogFile:
    """One log: `kind` is driver, slurm, agent or ray; `node` only for the last two."""

    kind: str
    path: Path
    node: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.node}".strip()


def log_files(run: Run, shard: int | None = None, attempt: str | None = None) -> list[LogFile]:
    """The logs of the newest attempt at a shard (None: at any) that exist, the driver's first, and of its element.

    An element whose cluster never came up has logs, too, but no attempt. `attempt` is another one, by its number, from
    1 for the first one, or its name.

    Raises:
        UsageError: there is no such attempt.
    """
    if attempt is not None:
        return _of_attempt(run, shard or 0, _attempt_named(run, shard, attempt))
    attempts = run.paths.existing_attempts() if shard is None else attempts_at(run.paths, shard)
    element_id = base_of(attempts[-1].name) if attempts else _element_id(run, shard)
    files = [LogFile("driver", attempt.driver_log) for attempt in attempts[-1:]]
    if element_id is not None:
        files.append(LogFile("slurm", run.paths.slurm_log(element_id)))
        name = attempts[-1].name if attempts else newest_element(run.paths, element_id)
        files += _of_nodes(run, name) if name else []
    return [file for file in files if is_there(file.path)]


def _of_attempt(run: Run, shard: int, name: str) -> list[LogFile]:
    """The logs of one attempt and its element; that of the batch script is of all starts of its job."""
    attempt = run.paths.attempt(shard, name)
    files = [LogFile("driver", attempt.driver_log), LogFile("slurm", run.paths.slurm_log(base_of(name)))]
    return [file for file in (*files, *_of_nodes(run, name)) if is_there(file.path)]


def _of_nodes(run: Run, element: str) -> Iterator[LogFile]:
    for node in ClusterPaths(run.paths.elements / element, run.paths).existing_nodes():
        yield LogFile("agent", node.agent_log, node.name)
        yield LogFile("ray", node.ray_output, node.name)


def _attempt_named(run: Run, shard: int | None, attempt: str) -> str:
    if shard is None and run.record is not None and run.record.array:
        raise UsageError("--attempt needs --shard N: each shard of the run has attempts of its own")
    names = names_of_attempts(run, shard or 0)
    if attempt in names:
        return attempt
    number = whole_number(attempt)
    if number is None or not 1 <= number <= len(names):
        there = ", ".join(f"{each} {name}" for each, name in enumerate(names[-20:], max(len(names) - 19, 1)))
        raise UsageError(f"there is no attempt {attempt}; there are: {there or 'none yet'}")
    return names[number - 1]


def _element_id(run: Run, shard: int | None) -> str | None:
    """The element that is to process a shard, or the newest of all."""
    if shard is None and (name := newest_element(run.paths)) is not None:
        return base_of(name)
    if run.record is not None and (shard is not None or not run.record.array):
        with contextlib.suppress(StorageError):
            place = places_of(read_submissions(run.paths), {}, newest_elements(run.paths)).get(shard or 0)
            return place.element_id or None if place else None
    return None


def last_output(run: Run) -> str:
    """The last line that the newest driver of a run has printed; empty where there is none."""
    drivers = [file for file in log_files(run) if file.kind == "driver"]
    return next(iter(last_lines(drivers[0].path, 1)), "") if drivers else ""


@dataclass(frozen=True)
class FailedLog:
    """What a failed shard logged last."""

    shard: int
    failure_class: str
    path: Path | None
    text: str


def failed_logs(run: Run, lines: int) -> Iterator[FailedLog]:
    """The ends of the driver logs of all shards that have failed (or of their batch scripts, where there is none)."""
    for status in status_of(run, shares=True).of(ShardState.FAILED):
        files = log_files(run, status.shard)
        path = files[0].path if files else None
        text = tail(path, lines) if path is not None else ""
        yield FailedLog(status.shard, str(status.failure_class), path, text or status.message)


@dataclass(frozen=True)
class Wanted:
    """Which logs to show: the driver's, or those named."""

    slurm: bool = False
    agent: str | None = None
    everything: bool = False
    driver: bool = False
    shard: int | None = None
    attempt: str | None = None

    @property
    def falls_back(self) -> bool:
        """Whether the Slurm log may stand in for a driver log that does not exist yet."""
        return not (self.slurm or self.agent or self.everything or self.driver)


def select(files: Sequence[LogFile], wanted: Wanted) -> list[LogFile]:
    """The files that are wanted, of those that exist."""
    if wanted.everything:
        return list(files)
    if wanted.agent is not None:
        found = [file for file in files if file.kind == "agent" and file.node == wanted.agent]
        nodes = sorted({file.node for file in files if file.kind == "agent"})
        if not found and nodes:
            raise UsageError(f"there is no agent log of {wanted.agent!r}; there are: {', '.join(nodes)}")
        return found
    kind = "slurm" if wanted.slurm else "driver"
    found = [file for file in files if file.kind == kind]
    if not found and wanted.falls_back:
        found = [file for file in files if file.kind == "slurm"]
    return found


def read(file: LogFile, lines: int | None) -> Iterator[str]:
    """The text of a log in parts, or its last lines; ends of lines as they are, progress bars among them.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        open_plain(file.path).close()
    except OSError as error:
        raise StorageError(f"the {file.label} log cannot be read: {storage_errors.what(error)}") from error
    return GrowingFile(file.path).parts() if lines is None else iter([tail(file.path, lines)])


@dataclass(frozen=True)
class LogChunk:
    """Text that a log grew by; `is_new` when it is the first of this file."""

    file: LogFile
    text: str
    is_new: bool


def follow(
    run: Run,
    wanted: Wanted,
    lines: int | None,
    is_over: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LogChunk]:
    """What the wanted logs grow by, until the run is over; logs that appear later, of its restarts, too, are taken up.

    Those of an attempt that another one has followed are read to their end first.
    """
    open_files: dict[Path, GrowingFile] = {}
    present: list[LogFile] = []
    while True:
        over = is_over()  # before reading, so that the last lines are read after the end
        before, present = present, select(log_files(run, wanted.shard, wanted.attempt), wanted)
        if wanted.falls_back and any(file.kind == "driver" for file in present):
            wanted = replace(wanted, driver=True)  # that of the batch script stands in at the start alone
        for file in [*(file for file in before if file not in present), *present]:
            growing = open_files.get(file.path)
            is_new = growing is None
            if growing is None:
                growing = open_files[file.path] = GrowingFile(file.path, lines)
            for text in growing.parts():
                yield LogChunk(file, text, is_new)
                is_new = False
        if over:
            return
        sleep(FOLLOW_INTERVAL_S)
