"""How a job looks in a notebook: a small table. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterator

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.visible import visible

_COLOURS = {
    RunState.COMPLETED: "#2e7d32",
    RunState.FAILED: "#c62828",
    RunState.INCOMPLETE: "#c62828",
    RunState.CANCELLED: "#6d6d6d",
    RunState.RUNNING: "#1565c0",
    RunState.DRAINING: "#1565c0",
    RunState.RESTARTING: "#1565c0",
}
_EVIDENCE_LINES = 10


def escape(text: str) -> str:
    """Text as HTML; what would turn the direction of writing is shown as in a terminal."""
    return html.escape(visible(text))


def job_html(run: Run, status: RunStatus) -> str:
    """A table of what a user wants to see of a run at a glance."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{value}</td></tr>"
        for name, value in _rows(run, status)
    )
    return f"<table>{rows}</table>"


def _rows(run: Run, status: RunStatus) -> Iterator[tuple[str, str]]:
    """Heading and HTML of each row; empty ones are left out."""
    colour = _COLOURS.get(status.state, "inherit")
    state = f"<b style='color:{colour}'>{escape(status.state)}</b>"
    yield escape(run.name), f"{state} {escape(status.failure_class or '')}"
    yield "Run", f"<code>{escape(run.run_id)}</code>"
    if run.record is not None and run.record.job_ids:
        yield "Jobs", escape(", ".join(run.record.job_ids))
    if status.message:
        yield "Message", escape(status.message)
    if status.evidence:
        yield "Evidence", f"<pre>{escape(chr(10).join(status.evidence[-_EVIDENCE_LINES:]))}</pre>"
    if status.next_step:
        yield "Next step", escape(status.next_step)
    for stage in status.stages:
        total = "" if stage.expected is None else f" of {stage.expected:,}"
        yield f"Stage {stage.name}", escape(f"{stage.tasks_in or 0:,}{total} tasks")
    yield "Run directory", f"<code>{escape(str(run.paths.root))}</code>"
    if status.outputs:
        yield "Outputs", f"<code>{escape(status.outputs)}</code>"
