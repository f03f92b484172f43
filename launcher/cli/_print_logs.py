"""What `curator-slurm logs` prints."""

from __future__ import annotations

import time
from collections.abc import Callable

from curator_slurm.launcher.cli._terminal import say, say_exactly, say_json
from curator_slurm.launcher.errors import StorageError, UsageError
from curator_slurm.launcher.files import is_there
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status import logs
from curator_slurm.launcher.status.early import from_files
from curator_slurm.launcher.status.logs import LogFile, Wanted
from curator_slurm.launcher.visible import visible_line, visible_log

STATE_INTERVAL_S = 2.0
FAILED_LINES = 20
"""Of each failed shard, unless -n is given."""


def print_logs(
    run: Run,
    wanted: Wanted,
    lines: int | None,
    *,
    failed: bool,
    follow: bool,
    raw: bool,
    list_only: bool,
    as_json: bool,
) -> None:
    """Print the logs of a run that are wanted, or their names."""
    if (wanted.shard is not None or failed) and not (run.record and run.record.array):
        raise UsageError(f"run {run.run_id} has no shards")
    if run.record is not None and run.paths.secrets.is_dir():
        from_files(run)  # whoever finds a run over removes its secrets
    write = _say_raw if raw else _say_log
    if failed:
        _failed(run, FAILED_LINES if lines is None else lines, write)
        return
    if list_only:
        _list(logs.log_files(run, wanted.shard, wanted.attempt), as_json)
    elif follow:
        _follow(run, wanted, lines, write)
    else:
        _print(run, wanted, lines, write)


def _list(files: list[LogFile], as_json: bool) -> None:
    if as_json:
        entries = [{"kind": file.kind, "node": file.node or None, "path": str(file.path)} for file in files]
        say_json(entries)
        return
    for file in files:
        say(visible_line(f"{file.label:<16} {file.path}"))


def _print(run: Run, wanted: Wanted, lines: int | None, write: Callable[[str], None]) -> None:
    files = logs.select(logs.log_files(run, wanted.shard, wanted.attempt), wanted)
    if not files:
        say(_none_yet(run, wanted), err=True)
        return
    _say_fallback(files[0], wanted)
    for number, file in enumerate(files):
        if len(files) > 1:
            _header(file, first=number == 0)
        try:
            parts = logs.read(file, lines)
        except StorageError as error:
            if len(files) == 1:
                raise
            say(f"Error: {error}", err=True)
            continue
        text = ""
        for text in parts:
            write(text)
        if text and not text.endswith("\n"):
            write("\n")


def _follow(run: Run, wanted: Wanted, lines: int | None, write: Callable[[str], None]) -> None:
    last: LogFile | None = None
    for chunk in logs.follow(run, wanted, lines, _is_over(run, wanted.shard)):
        if last is None:
            _say_fallback(chunk.file, wanted)
        if chunk.file != last and (last is not None or wanted.everything):
            _header(chunk.file, first=last is None)
        last = chunk.file
        write(chunk.text)
    if last is None:
        say(_none_yet(run, wanted), err=True)


def _failed(run: Run, lines: int, write: Callable[[str], None]) -> None:
    shown = 0
    for log in logs.failed_logs(run, lines):
        say(f"{chr(10) if shown else ''}==> shard {log.shard} ({log.failure_class}): {log.path or 'no log'} <==")
        write(log.text if log.text.endswith("\n") else f"{log.text}\n")
        shown += 1
    if not shown:
        say("No shard has failed.", err=True)


def _is_over(run: Run, shard: int | None) -> Callable[[], bool]:
    """Whether the run has ended, or its shard is done, looked up every few seconds."""
    from curator_slurm.launcher.status.watch import Watcher

    watcher = Watcher(run)
    checked, over = float("-inf"), False

    def check() -> bool:
        nonlocal checked, over
        if not over and time.monotonic() - checked >= STATE_INTERVAL_S:
            over = (shard is not None and is_there(run.paths.done(shard))) or watcher.poll().state.is_final
            checked = time.monotonic()
        return over

    return check


def _header(file: LogFile, *, first: bool) -> None:
    say(f"{'' if first else chr(10)}==> {visible_line(f'{file.label}: {file.path}')} <==")


def _say_log(text: str) -> None:
    say(visible_log(text), nl=False)


def _say_raw(text: str) -> None:
    say_exactly(text, on_terminal=True)


def _say_fallback(file: LogFile, wanted: Wanted) -> None:
    if wanted.falls_back and file.kind != "driver":
        say("There is no driver log yet; this is the log of the batch script.", err=True)


def _none_yet(run: Run, wanted: Wanted) -> str:
    what = "no such log" if not wanted.falls_back else "no log"
    return f"Run {run.run_id} has {what} yet; `curator-slurm status {run.run_id}` shows how far it is."
