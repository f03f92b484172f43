"""The text views of a run's history: a table of attempts, and one line for each event."""

from __future__ import annotations

from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._attempts import attempt_table, usage_words
from curator_slurm.launcher.cli._show import entry
from curator_slurm.launcher.cli._terminal import say, say_json, width
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.describe_attempts import describe_attempts
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.run_events import EventsView, events_of
from curator_slurm.launcher.status.views import AttemptsView, to_json
from curator_slurm.launcher.visible import visible_line


def show_attempts(run: Run, shard: int | None, as_json: bool) -> RunStatus:
    """Print all attempts of a run, or those at one shard."""
    gathered, status = observe(run, shard, shares=True)
    view = describe_attempts(run, status, gathered, shard)
    say_json(to_json(view)) if as_json else say("\n".join(history_lines(view, width())))
    return status


def show_events(run: Run, shard: int | None, as_json: bool) -> None:
    """Print the events of a run, over all attempts."""
    view = events_of(run, shard)
    say_json(to_json(view)) if as_json else say("\n".join(event_lines(view)))


def history_lines(view: AttemptsView, limit: int) -> list[str]:
    """The whole history."""
    lines = [*entry("Run", f"{view.run_id}  ({view.name})"), *entry("Used", usage_words(view.usage))]
    return [*lines, *attempt_table(view.attempts, limit)] if view.attempts else [*lines, "No attempt yet."]


def event_lines(view: EventsView) -> list[str]:
    """One line for each event; the attempt where it changes."""
    lines = entry("Run", f"{view.run_id}  ({view.name})")
    if not view.events:
        return [*lines, "No event yet."]
    attempt: str | None = ""
    for each in view.events:
        if each.attempt is not None and each.attempt != attempt:
            attempt = each.attempt
            lines.append(f"==> {visible_line(attempt)} <==")
        who = f"{visible_line(each.node)}: " if each.node else ""
        lines.append(f"{words.clock(each.time)}  {each.seconds:+10.1f}  {who}{visible_line(each.message)}")
    return lines
