"""How a job looks in a notebook: a small table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.decide import Decision

_COLOURS = {
    RunState.COMPLETED: "#2e7d32",
    RunState.FAILED: "#c62828",
    RunState.INCOMPLETE: "#c62828",
    RunState.CANCELLED: "#6d6d6d",
    RunState.RUNNING: "#1565c0",
}
_EVIDENCE_LINES = 10


def job_html(run: Run, decision: Decision) -> str:
    """A table of what a user wants to see of a run at a glance."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{value}</td></tr>"
        for name, value in _rows(run, decision)
    )
    return f"<table>{rows}</table>"


def _rows(run: Run, decision: Decision) -> Iterator[tuple[str, str]]:
    """Heading and HTML of each row; empty ones are left out."""
    colour = _COLOURS.get(decision.state, "inherit")
    state = f"<b style='color:{colour}'>{escape(decision.state)}</b>"
    yield escape(run.name), f"{state} {escape(decision.failure_class or '')}"
    yield "Run", f"<code>{escape(run.run_id)}</code>"
    if run.record is not None and run.record.job_ids:
        yield "Jobs", escape(", ".join(run.record.job_ids))
    if decision.message:
        yield "Message", escape(decision.message)
    if decision.evidence:
        yield "Evidence", f"<pre>{escape(chr(10).join(decision.evidence[-_EVIDENCE_LINES:]))}</pre>"
    if decision.next_step:
        yield "Next step", escape(decision.next_step)
    for stage in decision.stages:
        expected = stage.get("expected")
        total = "" if expected is None else f" of {expected:,}"
        yield f"Stage {stage.get('name')}", escape(f"{stage.get('tasks_in', 0):,}{total} tasks")
    yield "Run directory", f"<code>{escape(str(run.paths.root))}</code>"
    if decision.outputs:
        yield "Outputs", f"<code>{escape(decision.outputs)}</code>"
