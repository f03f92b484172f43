"""The text view of a run: what `status` prints, and the summary at the end of `run` and `watch`."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._attempts import attempt_table, bad_node_words, usage_words
from curator_slurm.launcher.cli._terminal import coloured_state, shown_line
from curator_slurm.launcher.failure_classes import Blame
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.reports import StageReport
from curator_slurm.launcher.status.views import RunView, ShardView
from curator_slurm.launcher.visible import visible_line

_INDENT = 11


def status_lines(view: RunView, width: int) -> list[str]:
    """Everything about a run, for a reader who wants to know what to do next."""
    lines = entry("Run", f"{view.run_id}  ({view.name})")
    failure = _failure(view)
    lines += entry("State", coloured_state(view.state) + (f"  {failure}" if failure else ""))
    for warning in view.warnings:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", view.message, width)
    lines += evidence_lines(view.evidence)
    lines += blame_lines(view)
    lines += wrapped("Next", view.next_step, width)
    lines += entry("Job", _job(view))
    lines += wrapped("Nodes", words.nodes(view.nodes, view.node_reports), width)
    lines += wrapped("Bad nodes", bad_node_words(view.bad_nodes), width)
    lines += entry("Time", _times(view))
    lines += _attempts(view, width)
    lines += pipeline_lines(view, width)
    lines += _now(view, width)
    lines += wrapped("Store", words.object_store(view.object_store), width)
    lines += _files(view)
    return lines


def summary_lines(view: RunView, width: int) -> list[str]:
    """How a run ended: what was read, kept and dropped, what failed, and where everything is."""
    state = coloured_state(view.state)
    failure = _failure(view)
    head = f"Run {visible_line(view.run_id)} {state}" + (f": {failure}" if failure else "")
    took = _elapsed(view)
    lines = [head + (f" after {words.duration(took)}" if took is not None else "")]
    for warning in view.warnings:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", view.message, width)
    if view.state != RunState.COMPLETED:
        lines += evidence_lines(view.evidence)
        lines += blame_lines(view)
        lines += wrapped("Next", view.next_step, width)
    lines += _attempts(view, width)
    lines += pipeline_lines(view, width)
    lines += wrapped("Store", words.object_store(view.object_store), width)
    lines += _files(view)
    return lines


def _attempts(view: RunView, width: int) -> list[str]:
    """A table of the attempts, where there is more than one."""
    if len(view.attempts) < 2 or view.usage is None:
        return []
    table = attempt_table(view.attempts, width - _INDENT)
    lines = [f"{'Attempts' if number == 0 else '':<{_INDENT}}{line}" for number, line in enumerate(table)]
    return [*lines, *entry("Used", usage_words(view.usage))]


def _failure(view: RunView) -> str:
    """The failure class, unless the state says it all."""
    failure = view.failure_class
    return str(failure) if failure and failure.value != view.state.value else ""


def entry(label: str, text: str) -> list[str]:
    """A line beside its label; none without text."""
    return [f"{label:<{_INDENT}}{shown_line(text)}"] if text else []


def wrapped(label: str, text: str | None, width: int) -> list[str]:
    """A paragraph beside its label; lines of the text stay lines."""
    lines = [
        part
        for line in (text or "").splitlines()
        for part in (textwrap.wrap(line, width - _INDENT, break_long_words=False, break_on_hyphens=False) or [""])
    ]
    return [f"{label if number == 0 else '':<{_INDENT}}{line}".rstrip() for number, line in enumerate(lines)]


def evidence_lines(evidence: Sequence[str]) -> list[str]:
    """Log lines as they are: they are to be searched for, so they are not wrapped."""
    lines = [line.rstrip() for text in evidence for line in text.splitlines()]
    return [f"{'Evidence' if number == 0 else '':<{_INDENT}}| {line}" for number, line in enumerate(lines)]


def blame_lines(view: RunView | ShardView) -> list[str]:
    """Who has to change something; nothing where that is unknown."""
    return entry("Blame", view.blame if view.blame not in (None, Blame.UNKNOWN) else "")


def _job(view: RunView) -> str:
    job_id = view.job_id
    if job_id is None:
        return ""
    where = "this machine" if view.cluster == "local" else "Slurm"
    return f"{job_id} ({where})"


def _elapsed(view: RunView) -> float | None:
    started = view.started
    if started is None:
        return None
    final = view.state.is_final
    ended = view.ended if final else time.time()
    return None if ended is None else ended - started


def _times(view: RunView) -> str:
    return ", ".join(_time_parts(view))


def _time_parts(view: RunView) -> Iterator[str]:
    submitted, started, ended = view.submitted, view.started, view.ended
    if submitted is not None:
        yield f"submitted {words.clock(submitted)}"
        if started is not None and started - submitted >= 1:
            yield f"waited {words.duration(started - submitted)}"
        elif started is None and view.state == RunState.PENDING:
            yield f"waiting for {words.duration(time.time() - submitted)}"
    elapsed = _elapsed(view)
    if elapsed is not None:
        yield f"{'ran' if ended else 'running for'} {words.duration(elapsed)}"
    if view.eta_s and view.state == RunState.RUNNING:
        yield f"about {words.duration(view.eta_s)} left"


def pipeline_lines(view: RunView | ShardView, width: int) -> list[str]:
    """The table of stages; of a workflow, one for each of its pipelines, with their names; then what they said."""
    notes = [line for said in view.notes for line in wrapped("Note", visible_line(said), width)]
    if not view.earlier:
        return [*stage_lines(view.stages, width), *notes]
    lines = []
    for each in view.earlier:
        lines += entry("Pipeline", f"{visible_line(each.pipeline)}  {visible_line(each.state)}")
        lines += stage_lines(each.stages, width)
    return [*lines, *entry("Pipeline", visible_line(view.pipeline)), *stage_lines(view.stages, width), *notes]


def stage_lines(stages: Sequence[StageReport], width: int) -> list[str]:
    """The table of stages."""
    table = words.stage_table(stages, width - _INDENT)
    return [f"{'Stages' if number == 0 else '':<{_INDENT}}{line}" for number, line in enumerate(table)]


def _now(view: RunView, width: int) -> list[str]:
    """What each stage is at, while the run goes on."""
    if view.state not in (RunState.RUNNING, RunState.DRAINING):
        return []
    busy = [(words.shorten(visible_line(stage.name), 28), words.stage_notes(stage)) for stage in view.stages]
    text = "\n".join(f"{name}: {', '.join(notes.values())}" for name, notes in busy if notes)
    return wrapped("Now", text, width)


def _files(view: RunView) -> list[str]:
    paths = view.paths
    lines = []
    failed = words.failed_in_words(view.tasks_failed, view.rows_failed)
    if failed:
        where = f", listed in {paths.failures}" if paths.failures else ""
        lines += entry("Failed", f"{failed}{where}")
    if view.state == RunState.COMPLETED:
        lines += entry("Outputs", paths.outputs or "")
    lines += entry("Log", paths.driver_log or paths.slurm_log or "")
    return lines + entry("Run dir", paths.run_dir)
