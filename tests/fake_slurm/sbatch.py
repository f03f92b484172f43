"""sbatch: writes the job down and leaves a runner behind."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from fake_slurm import getopts
from fake_slurm.environment import gpus_per_node, megabytes
from fake_slurm.store import Store, indexes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(store: Store, arguments: list[str]) -> int:
    """Submit; options of the command line win over those in the script."""
    options, words = getopts.parse("sbatch", arguments)
    try:
        script = _script(options, words)
        options = {**getopts.parse("sbatch", _directives(script))[0], **options}
        facts = _facts(store, options, words)
    except _RefusedError as refused:
        print(f"sbatch: error: {refused}", file=sys.stderr)
        return 1
    if "test-only" in options:
        if facts["nodes"] > store.settings["nodes"]:
            print("allocation failure: Requested node configuration is not available", file=sys.stderr)
            return 1
        print(
            f"sbatch: Job 1 to start at 2026-01-01T00:00:00 using {facts['nodes']} processors on nodes n1 "
            f"in partition {facts['partition']}",
            file=sys.stderr,
        )
        return 0
    number = _accept(store, facts, script)
    if "parsable" in options:
        print(number)
    elif "quiet" not in options:
        print(f"Submitted batch job {number}")
    return 0


def _accept(store: Store, facts: dict[str, Any], script: bytes) -> int:
    """The number of the job, which a process of its own takes in, as slurmctld would: whoever ends this one meanwhile
    has submitted a job all the same, and one that runs."""
    number = store.take_ids(max(1, len(facts["tasks"])))
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
            folder = store.create({**facts, "id": number}, script)
            subprocess.Popen(
                [*store.command_line("_run"), str(number)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(folder / "runner.log").open("wb"),
                start_new_session=True, cwd="/", env={**os.environ, "FAKE_SLURM_STATE": str(store.folder)},
            )  # fmt: skip
            code = 0
        finally:
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"job {number} was not taken in")
    return number


class _RefusedError(Exception):
    """sbatch says no."""


def _script(options: dict[str, str], words: list[str]) -> bytes:
    if "wrap" in options:
        return f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{options['wrap']}\n".encode()
    if not words:
        text = sys.stdin.buffer.read()
    else:
        try:
            text = Path(words[0]).read_bytes()
        except OSError:
            raise _RefusedError(f"Unable to open file {words[0]}") from None
    if not text.startswith(b"#!"):
        raise _RefusedError(
            "This does not look like a batch script.  The first\nsbatch: error: line must start with #!"
        )
    if b"\r\n" in text:
        raise _RefusedError("Batch script contains DOS line breaks (\\r\\n)")
    return text


def _directives(script: bytes) -> list[str]:
    """Read #SBATCH lines up to the first command."""
    words: list[str] = []
    for line in script.decode(errors="surrogateescape").splitlines():
        if line.startswith("#SBATCH"):
            words += shlex.split(line[len("#SBATCH") :], comments=True)
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _check_rules(options: dict[str, str], settings: dict[str, Any]) -> None:
    """Refuse what a job_submit plug-in of the site refuses, `option` or `option=value`; and what lacks an option."""
    for option, value in options.items():
        for rule in (option, f"{option}={value}"):
            if rule in settings.get("refused_options", ()):
                print(f"sbatch: error: --{rule} is not allowed here", file=sys.stderr)
                raise _RefusedError("Batch job submission failed: Unspecified error")
    for option in settings.get("needed_options", ()):
        if option not in options:
            print(f"sbatch: error: --{option} is needed here", file=sys.stderr)
            raise _RefusedError("Batch job submission failed: Unspecified error")


def _facts(store: Store, options: dict[str, str], words: list[str]) -> dict[str, Any]:
    settings = store.settings
    _check_rules(options, settings)
    partition = options.get("partition", settings["default_partition"])
    if partition not in settings["partitions"]:
        print(f"sbatch: error: invalid partition specified: {partition}", file=sys.stderr)
        raise _RefusedError("Batch job submission failed: Invalid partition name specified")
    tasks, max_running = indexes(options["array"]) if options.get("array") else ([], None)
    if tasks and tasks[-1] >= settings["max_array_size"]:
        raise _RefusedError("Batch job submission failed: Invalid job array specification")
    _check_limit(store, max(1, len(tasks)))
    _check_size(options, settings)
    directory = options.get("chdir", str(Path.cwd()))
    return {
        "name": options.get("job-name", "wrap" if "wrap" in options else Path(words[0]).name if words else "sbatch"),
        "partition": partition,
        "tasks": tasks,
        "max_running": max_running,
        "nodes": int(options.get("nodes", "1").split("-")[0]),
        "time_limit": _seconds(options["time"]) if "time" in options else None,
        "hold": "hold" in options,
        "requeue": "no-requeue" not in options,
        "comment": options.get("comment"),
        "submit_time": time.time(),
        "directory": directory,
        "submit_directory": str(Path.cwd()),
        "command": str(Path(words[0]).absolute()) if words else "(null)",
        "arguments": words[1:],
        "user": _user(),
        "options": options,
        "environment": _environment(options),
    }


def _check_limit(store: Store, more: int) -> None:
    """Refuse what is above the association's limit of jobs and elements in the queue."""
    limit = store.settings["max_submit_jobs"]
    if limit is None or more + sum(not element.final for job in store.all() for element in job.elements) <= limit:
        return
    print("sbatch: error: AssocMaxSubmitJobLimit", file=sys.stderr)
    raise _RefusedError(
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time "
        "limits)"
    )


def _check_size(options: dict[str, str], settings: dict[str, Any]) -> None:
    """Refuse what no node has; too many nodes are accepted and pend for ever, as with the real one."""
    if megabytes(options.get("mem", "0")) > settings["memory_mb"]:
        print("sbatch: error: Memory specification can not be satisfied", file=sys.stderr)
    elif int(options.get("cpus-per-task", "1")) <= settings["cpus"] and gpus_per_node(options) <= settings["gpus"]:
        return
    raise _RefusedError("Batch job submission failed: Requested node configuration is not available")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _seconds(text: str) -> int:
    """Read M, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        raise _RefusedError("Invalid --time specification")
    days, dash, rest = text.rpartition("-")
    parts = [int(p) for p in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def _environment(options: dict[str, str]) -> dict[str, str]:
    """Choose what of the submitter's environment the job gets."""
    if "export-file" in options:
        entries = Path(options["export-file"]).read_bytes().split(b"\0")
        pairs = (os.fsdecode(e).partition("=") for e in entries if e)
        return {name: value for name, _, value in pairs}
    export = options.get("export", "ALL")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SBATCH_", "FAKE_SLURM_"))}
    if export in ("NIL", "NONE"):
        chosen = {k: v for k, v in inherited.items() if k.startswith("SLURM_")}
        chosen["SLURM_EXPORT_ENV"] = export
        return chosen
    names = export.split(",")
    chosen = {k: v for k, v in inherited.items() if "ALL" in names or k.startswith("SLURM_") or k in names}
    chosen.update(dict(n.split("=", 1) for n in names if "=" in n))
    return chosen
