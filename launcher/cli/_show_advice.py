"""What `advise` prints, and the settings that `submit --like` takes."""

from __future__ import annotations

import shlex
import time

from curator_slurm.launcher.cli._show import entry, wrapped
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.report.advice import AdviceView, advise
from curator_slurm.launcher.report.build_report import build_report
from curator_slurm.launcher.report.gather_report import gather_records
from curator_slurm.launcher.runs.registry import Run, check_readable
from curator_slurm.launcher.status.views import to_json


def advice_about(run: Run) -> AdviceView:
    """All advice about a run.

    Raises:
        CuratorSlurmError: the run cannot be read.
    """
    records = gather_records(check_readable(run), time.time())
    return advise(records, build_report(records))


def print_advice(run: Run, as_json: bool) -> None:
    """Print it."""
    view = advice_about(run)
    say_json(to_json(view)) if as_json else say("\n".join(advice_lines(view, width())))


def advice_lines(view: AdviceView, limit: int) -> list[str]:
    """A line to copy for each setting, and why."""
    lines = entry("Run", f"{view.run_id}  ({view.name})")
    if not view.advice:
        return [*lines, *wrapped("Advice", f"None: {view.why_none}.", limit)]
    for each in view.advice:
        lines += ["", f"--set {shlex.quote(each.setting)}"]
        lines += wrapped("was", each.before, limit)
        lines += wrapped("because", each.evidence, limit)
        lines += wrapped("saves", each.saves, limit)
    return lines


def settings_like(run: Run) -> tuple[str, ...]:
    """The advised settings, each said on stderr: those of the command line count more.

    Those of stages are only said: the spec may list others, or in another order.
    """
    view = advice_about(run)
    taken = tuple(each.setting for each in view.advice if not each.key.startswith("pipeline."))
    for each in view.advice:
        how = "" if each.setting in taken else "not set, as your stages may be others: "
        said = f"--set {shlex.quote(each.setting)} (was {each.before}): {each.evidence}"
        say(f"Like {view.run_id}: {how}{said}", err=True)
    if not view.advice:
        say(f"Like {view.run_id}: nothing is set differently: {view.why_none}", err=True)
    return taken
