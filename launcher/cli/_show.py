"""The text view of a run: what `status` prints, and the summary at the end of `run` and `watch`."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import Any

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._terminal import coloured_state
from curator_slurm.launcher.states import RunState

_INDENT = 11


def status_lines(overview: Mapping[str, Any], width: int) -> list[str]:
    """Everything about a run, for a reader who wants to know what to do next."""
    lines = [f"{'Run':<{_INDENT}}{overview['run_id']}  ({overview['name']})"]
    failure = _failure(overview)
    lines += entry("State", coloured_state(overview["state"]) + (f"  {failure}" if failure else ""))
    for warning in overview["warnings"]:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", overview["message"], width)
    lines += _evidence(overview)
    lines += wrapped("Next", overview["next_step"], width)
    lines += entry("Job", _job(overview))
    lines += wrapped("Nodes", " ".join(overview["nodes"]), width)
    lines += entry("Time", _times(overview))
    lines += _stages(overview, width)
    lines += _now(overview, width)
    lines += wrapped("Store", words.object_store(overview["object_store"] or {}), width)
    lines += _files(overview)
    return lines


def summary_lines(overview: Mapping[str, Any], width: int) -> list[str]:
    """How a run ended: what was read, kept and dropped, what failed, and where everything is."""
    state = coloured_state(overview["state"])
    failure = _failure(overview)
    head = f"Run {overview['run_id']} {state}" + (f": {failure}" if failure else "")
    took = _elapsed(overview)
    lines = [head + (f" after {words.duration(took)}" if took is not None else "")]
    lines += wrapped("", overview["message"], width)
    if overview["state"] != RunState.COMPLETED:
        lines += _evidence(overview)
        lines += wrapped("Next", overview["next_step"], width)
    lines += _stages(overview, width)
    lines += wrapped("Store", words.object_store(overview["object_store"] or {}), width)
    lines += _files(overview)
    return lines


def _failure(overview: Mapping[str, Any]) -> str:
    """The failure class, unless the state says it all."""
    failure = overview["failure_class"]
    return str(failure) if failure and failure != overview["state"] else ""


def entry(label: str, text: str) -> list[str]:
    """A line beside its label; none without text."""
    return [f"{label:<{_INDENT}}{text}"] if text else []


def wrapped(label: str, text: str | None, width: int) -> list[str]:
    """A paragraph beside its label; lines of the text stay lines."""
    lines = [
        part
        for line in (text or "").splitlines()
        for part in (textwrap.wrap(line, width - _INDENT, break_long_words=False, break_on_hyphens=False) or [""])
    ]
    return [f"{label if number == 0 else '':<{_INDENT}}{line}".rstrip() for number, line in enumerate(lines)]


def _evidence(overview: Mapping[str, Any]) -> list[str]:
    """Log lines as they are: they are to be searched for, so they are not wrapped."""
    lines = [line.rstrip() for entry in overview["evidence"] for line in str(entry).splitlines()]
    return [f"{'Evidence' if number == 0 else '':<{_INDENT}}| {line}" for number, line in enumerate(lines)]


def _job(overview: Mapping[str, Any]) -> str:
    job_id = overview["job_id"]
    if job_id is None:
        return ""
    where = "this machine" if overview["cluster"] == "local" else "Slurm"
    return f"{job_id} ({where})"


def _elapsed(overview: Mapping[str, Any]) -> float | None:
    started = overview["started"]
    if started is None:
        return None
    final = RunState(overview["state"]).is_final
    ended = overview["ended"] if final else time.time()
    return None if ended is None else float(ended) - float(started)


def _times(overview: Mapping[str, Any]) -> str:
    return ", ".join(_time_parts(overview))


def _time_parts(overview: Mapping[str, Any]) -> Iterator[str]:
    submitted, started, ended = overview["submitted"], overview["started"], overview["ended"]
    if submitted is not None:
        yield f"submitted {words.clock(submitted)}"
        if started is not None and started - submitted >= 1:
            yield f"waited {words.duration(started - submitted)}"
        elif started is None and overview["state"] == RunState.PENDING:
            yield f"waiting for {words.duration(time.time() - submitted)}"
    elapsed = _elapsed(overview)
    if elapsed is not None:
        yield f"{'ran' if ended else 'running for'} {words.duration(elapsed)}"


def _stages(overview: Mapping[str, Any], width: int) -> list[str]:
    table = words.stage_table(overview["stages"], width - _INDENT)
    return [f"{'Stages' if number == 0 else '':<{_INDENT}}{line}" for number, line in enumerate(table)]


def _now(overview: Mapping[str, Any], width: int) -> list[str]:
    """What each stage is at, while the run goes on."""
    if overview["state"] != RunState.RUNNING:
        return []
    busy = [(words.shorten(str(stage.get("name", "?")), 28), words.stage_notes(stage)) for stage in overview["stages"]]
    text = "\n".join(f"{name}: {', '.join(notes.values())}" for name, notes in busy if notes)
    return wrapped("Now", text, width)


def _files(overview: Mapping[str, Any]) -> list[str]:
    paths = overview["paths"]
    lines = []
    failed = overview["tasks_failed"]
    if failed:
        where = f", listed in {paths['failures']}" if paths["failures"] else ""
        lines += entry("Failed", f"{words.count(failed)} task{'' if failed == 1 else 's'}{where}")
    if overview["state"] == RunState.COMPLETED:
        lines += entry("Outputs", paths["outputs"] or "")
    lines += entry("Log", paths["driver_log"] or paths["slurm_log"] or "")
    return lines + entry("Run dir", paths["run_dir"])
