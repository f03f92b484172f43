"""The text views of a sharded run: one screen however many shards, a table of what failed, all about one shard."""

from __future__ import annotations

import time
from collections.abc import Sequence

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._attempts import bad_node_words
from curator_slurm.launcher.cli._show import blame_lines, entry, evidence_lines, pipeline_lines, wrapped
from curator_slurm.launcher.cli._terminal import coloured_state
from curator_slurm.launcher.ranges import parse_numbers, some_numbers
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.shard_status import ShardState
from curator_slurm.launcher.status.views import AttemptView, OpenShard, RunView, ShardsView, ShardView
from curator_slurm.launcher.visible import visible_line

_BAR = 30


def shards_lines(view: RunView, width: int) -> list[str]:
    """Everything about the run on one screen."""
    shards = view.shards
    lines = [*entry("Run", f"{view.run_id}  ({view.name})")]
    done, total = words.count(shards.done), words.several(shards.total, "shard")
    lines += entry("State", f"{coloured_state(view.state)}  {done} of {total} done")
    for warning in view.warnings:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", view.message, width)
    lines += entry("Shards", _counts(shards))
    lines += entry("Progress", _progress(view))
    lines += _failed(shards, width)
    lines += _slowest(shards)
    lines += wrapped("Bad nodes", bad_node_words(view.bad_nodes), width)
    lines += wrapped("Next", view.next_step, width)
    lines += wrapped("Jobs", _jobs(view), width)
    lines += wrapped("Collect", _collect(view), width)
    lines += entry("Run dir", view.paths.run_dir)
    return lines


def _counts(shards: ShardsView) -> str:
    counts = {state: getattr(shards, state.value) for state in ShardState}
    parts = [f"{words.count(count)} {state.replace('_', ' ')}" for state, count in counts.items() if count]
    return ", ".join(parts) or "none"


def _progress(view: RunView) -> str:
    shards = view.shards
    share = shards.done / max(shards.total, 1)
    filled = int(share * _BAR)
    parts = [f"[{'#' * filled}{'-' * (_BAR - filled)}] {int(share * 100)}%"]
    if not view.state.is_final:
        rate, eta = shards.rate_per_hour, shards.eta_s
        parts += [f"{words.several(round(rate, 1), 'shard')}/h" if rate else ""]
        parts += [f"about {words.duration(eta)} left" if eta else ""]
    parts += [f"a shard takes {words.duration(shards.typical_s)}" if shards.typical_s else ""]
    return ", ".join(part for part in parts if part)


def _failed(shards: ShardsView, width: int) -> list[str]:
    lines = []
    for number, (failure, group) in enumerate(shards.failed_by_class.items()):
        numbers = some_numbers(parse_numbers(group.shards), max(width - 45, 20))
        lines += entry("Failed" if number == 0 else "", f"{words.count(group.count):>6} {failure:<18} {numbers}")
    for number, status in enumerate(shards.failing):
        tries = words.several(status.attempts, "attempt")
        message = " ".join(status.message.split())
        text = f"shard {status.shard} ({tries}): {message or status.failure_class}"
        lines += entry("Failing" if number == 0 else "", words.shorten(text, width - 11))
    return lines


def _slowest(shards: ShardsView) -> list[str]:
    texts = [
        f"shard {status.shard} ({status.job_id}) running for {words.duration(status.seconds)}"
        for status in shards.slowest
    ]
    return [line for number, text in enumerate(texts) for line in entry("Slowest" if number == 0 else "", text)]


def _jobs(view: RunView) -> str:
    ids = [submission.job_id for submission in view.submissions if submission.job_id]
    shown = ids if len(ids) <= 8 else [*ids[:4], "...", *ids[-3:]]
    retries = sum(submission.purpose == "retry" for submission in view.submissions)
    notes = [f"{retries} from retries"] if retries else []
    notes += [words.several(view.restarts, "restart")] if view.restarts else []
    return " ".join(shown) + (f"  ({', '.join(notes)})" if notes else "")


def _collect(view: RunView) -> str:
    collected = view.collected
    if collected:
        rows = f", {words.several(collected.rows, 'row')}" if collected.rows is not None else ""
        what = "published" if collected.complete else "published in part"
        files = f"{words.several(collected.files, 'file')}{rows}, {words.size(collected.bytes)}"
        failed = words.failed_in_words(collected.tasks_failed, collected.rows_failed)
        return f"{what} to {collected.target} ({files})" + (f"; {failed} failed, in _failures.jsonl" if failed else "")
    if view.state == RunState.COMPLETED:
        jobs = view.collect_jobs
        waits = f"job {jobs[-1]} will publish the outputs; " if jobs else ""
        return f"{waits}`curator-slurm collect {view.run_id}` verifies and publishes the outputs"
    return ""


def failed_lines(rows: Sequence[OpenShard], width: int | None) -> list[str]:
    """A table of the shards that are neither done nor active; without a width, messages are whole."""
    table = [["SHARD", "CLASS", "JOB", "ATTEMPTS", "MESSAGE"], *map(_cells, rows)]
    sizes = [max(len(row[column]) for row in table) for column in range(4)]
    return [
        "  ".join(
            [
                *(cell.ljust(size) for cell, size in zip(row[:4], sizes, strict=True)),
                row[4] if width is None else words.shorten(row[4], max(width - sum(sizes) - 8, 10)),
            ]
        )
        for row in table
    ]


def _cells(row: OpenShard) -> list[str]:
    why = row.failure_class.value if row.failure_class else row.state.replace("_", " ")
    message = " ".join(row.message.split()) or "-"
    return [str(row.shard), why, visible_line(row.job_id or "-"), words.count(row.attempts), visible_line(message)]


def shard_lines(view: ShardView, width: int) -> list[str]:
    """Everything about one shard."""
    lines = entry("Run", f"{view.run_id}  ({view.name})")
    failure = view.failure_class if view.failure_class != view.state.value else None
    shown = coloured_state("completed" if view.state is ShardState.DONE else view.state, view.state.replace("_", " "))
    lines += entry("Shard", str(view.shard))
    lines += entry("State", shown + (f"  {failure}" if failure else ""))
    for warning in view.warnings:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", view.message, width)
    lines += evidence_lines(view.evidence)
    lines += blame_lines(view)
    lines += wrapped("Next", view.next_step, width)
    lines += entry("Job", view.job_id or "")
    lines += wrapped("Nodes", words.nodes(view.nodes, view.node_reports), width)
    lines += pipeline_lines(view, width)
    lines += wrapped("Store", words.object_store(view.object_store), width)
    planned = view.input
    first = f", such as {planned.paths[0]}" if planned.paths else ""
    lines += entry("Input", f"{words.several(planned.files, 'file')}, {format_size(planned.bytes)}{first}")
    if view.done:
        done = view.done
        rows = f", {words.several(done.rows, 'row')}" if done.rows is not None else ""
        lines += entry("Outputs", f"{words.several(done.files, 'file')}{rows}, {format_size(done.bytes)}")
        lines += entry("", f"of attempt {done.attempt}, published {words.clock(done.published)}")
        lines += entry("Failed", words.failed_in_words(done.tasks_failed, done.rows_failed))
    for number, attempt in enumerate(view.attempts):
        lines += entry("Attempts" if number == 0 else "", _attempt(attempt))
        lines += entry("", attempt.log or "")
    return lines


def _attempt(attempt: AttemptView) -> str:
    state = attempt.failure_class or attempt.state or "no outcome"
    took = ""
    if attempt.started and (attempt.ended or not attempt.state):
        took = f" after {words.duration((attempt.ended or time.time()) - attempt.started)}"
    message = " ".join(attempt.message.split())
    return f"{attempt.attempt}  {state}{took}" + (f": {words.shorten(message, 60)}" if message else "")
