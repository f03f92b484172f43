"""The text views of a sharded run: one screen however many shards, a table of what failed, all about one shard."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._show import entry, wrapped
from curator_slurm.launcher.cli._terminal import coloured_state
from curator_slurm.launcher.ranges import parse_numbers, some_numbers
from curator_slurm.launcher.states import RunState

_STATES = ("done", "running", "pending", "failed", "cancelled", "not_submitted", "unknown")
_BAR = 30


def shards_lines(overview: Mapping[str, Any], width: int) -> list[str]:
    """Everything about the run on one screen."""
    shards = overview["shards"]
    lines = [*entry("Run", f"{overview['run_id']}  ({overview['name']})")]
    done, total = words.count(shards["done"]), words.count(shards["total"])
    lines += entry("State", f"{coloured_state(overview['state'])}  {done} of {total} shards done")
    for warning in overview["warnings"]:
        lines += wrapped("Warning", warning, width)
    lines += wrapped("", overview["message"], width)
    lines += entry("Shards", _counts(shards))
    lines += entry("Progress", _progress(overview))
    lines += _failed(shards, width)
    lines += _slowest(shards)
    lines += wrapped("Next", overview["next_step"], width)
    lines += wrapped("Jobs", _jobs(overview["submissions"]), width)
    lines += wrapped("Collect", _collect(overview), width)
    lines += entry("Run dir", overview["paths"]["run_dir"])
    return lines


def _counts(shards: Mapping[str, Any]) -> str:
    parts = [f"{words.count(shards[state])} {state.replace('_', ' ')}" for state in _STATES if shards[state]]
    return ", ".join(parts) or "none"


def _progress(overview: Mapping[str, Any]) -> str:
    shards = overview["shards"]
    share = shards["done"] / max(shards["total"], 1)
    filled = int(share * _BAR)
    parts = [f"[{'#' * filled}{'-' * (_BAR - filled)}] {int(share * 100)}%"]
    if not RunState(overview["state"]).is_final:
        rate, eta = shards["rate_per_hour"], shards["eta_s"]
        parts += [f"{words.count(round(rate, 1))} shards/h" if rate else ""]
        parts += [f"about {words.duration(eta)} left" if eta else ""]
    parts += [f"a shard takes {words.duration(shards['typical_s'])}" if shards["typical_s"] else ""]
    return ", ".join(part for part in parts if part)


def _failed(shards: Mapping[str, Any], width: int) -> list[str]:
    lines = []
    for number, (failure, group) in enumerate(shards["failed_by_class"].items()):
        numbers = some_numbers(parse_numbers(group["shards"]), max(width - 45, 20))
        lines += entry("Failed" if number == 0 else "", f"{words.count(group['count']):>6} {failure:<18} {numbers}")
    for number, status in enumerate(shards["failing"]):
        tries = words.several(status["attempts"], "attempt")
        message = " ".join(str(status["message"]).split())
        text = f"shard {status['shard']} ({tries}): {message or status['failure_class']}"
        lines += entry("Failing" if number == 0 else "", words.shorten(text, width - 11))
    return lines


def _slowest(shards: Mapping[str, Any]) -> list[str]:
    texts = [
        f"shard {status['shard']} ({status['job_id']}) running for {words.duration(status['seconds'])}"
        for status in shards["slowest"]
    ]
    return [line for number, text in enumerate(texts) for line in entry("Slowest" if number == 0 else "", text)]


def _jobs(submissions: Sequence[Mapping[str, Any]]) -> str:
    ids = [submission["job_id"] for submission in submissions if submission["job_id"]]
    shown = ids if len(ids) <= 8 else [*ids[:4], "...", *ids[-3:]]
    retries = sum(submission["purpose"] == "retry" for submission in submissions)
    return " ".join(shown) + (f"  ({retries} of retries)" if retries else "")


def _collect(overview: Mapping[str, Any]) -> str:
    collected = overview["collected"]
    if collected:
        rows = f", {words.count(collected['rows'])} rows" if collected["rows"] is not None else ""
        what = "published" if collected["complete"] else "published in part"
        files = f"{words.several(collected['files'], 'file')}{rows}, {format_size(collected['bytes'])}"
        return f"{what} to {collected['target']} ({files})"
    if overview["state"] == RunState.COMPLETED:
        jobs = overview["finishing_jobs"]
        waits = f"job {jobs[-1]} does it, or " if jobs else ""
        return f"{waits}`curator-slurm collect {overview['run_id']}` verifies and publishes the outputs"
    return ""


def failed_lines(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A table of the shards that are neither done nor active."""
    cells = [
        [
            " ".join(str(row["message"] or "").split()) or "-",
            str(row["shard"]),
            str(row["failure_class"] or row["state"]).replace("_", " ")
            if row["failure_class"] is None
            else row["failure_class"],
            row["job_id"] or "-",
            words.count(row["attempts"]),
        ]
        for row in rows
    ]
    header = ["SHARD", "CLASS", "JOB", "ATTEMPTS", "MESSAGE"]
    ordered = [[shard, failure, job, attempts, message] for message, shard, failure, job, attempts in cells]
    sizes = [max(len(row[column]) for row in [header, *ordered]) for column in range(4)]
    rest = max(width - sum(sizes) - 8, 10)
    return [
        "  ".join([*(cell.ljust(size) for cell, size in zip(row[:4], sizes, strict=True)), words.shorten(row[4], rest)])
        for row in [header, *ordered]
    ]


def shard_lines(details: Mapping[str, Any], width: int) -> list[str]:
    """Everything about one shard."""
    lines = entry("Run", f"{details['run_id']}  ({details['name']})")
    failure = details["failure_class"]
    state = str(details["state"])
    shown = coloured_state("completed" if state == "done" else state, state.replace("_", " "))
    lines += entry("Shard", str(details["shard"]))
    lines += entry("State", shown + (f"  {failure}" if failure and failure != state else ""))
    lines += wrapped("", details["message"] or details["reason"], width)
    lines += wrapped("Next", details["next_step"], width)
    lines += entry("Job", details["job_id"] or "")
    planned = details["input"]
    first = f", such as {planned['paths'][0]}" if planned["paths"] else ""
    lines += entry("Input", f"{words.several(planned['files'], 'file')}, {format_size(planned['bytes'])}{first}")
    if details["done"]:
        done = details["done"]
        rows = f", {words.count(done['rows'])} rows" if done["rows"] is not None else ""
        lines += entry("Outputs", f"{words.several(len(done['files']), 'file')}{rows}, {format_size(done['bytes'])}")
        lines += entry("", f"of attempt {done['attempt']}, published {words.clock(done['published'])}")
        if done["tasks_failed"]:
            lines += entry("Failed", words.several(done["tasks_failed"], "task"))
    for number, attempt in enumerate(details["attempts"]):
        lines += entry("Attempts" if number == 0 else "", _attempt(attempt))
        lines += entry("", attempt["log"] or "")
    return lines


def _attempt(attempt: Mapping[str, Any]) -> str:
    state = attempt["failure_class"] or attempt["state"] or "no outcome"
    took = ""
    if attempt["started"] and (attempt["ended"] or not attempt["state"]):
        took = f" after {words.duration((attempt['ended'] or time.time()) - attempt['started'])}"
    message = " ".join(str(attempt["message"] or "").split())
    return f"{attempt['attempt']}  {state}{took}" + (f": {words.shorten(message, 60)}" if message else "")
