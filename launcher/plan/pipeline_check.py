"""Whether the pipeline of a plan can be made, asked of the Python that the job will use: what comes after the queue
otherwise. The pipeline is made in a child (driver/dry_build.py), with the driver's own code, and nothing is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curator_slurm.common.addresses import is_remote
from curator_slurm.launcher.inputs.address import local_path
from curator_slurm.launcher.inputs.local import matches
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs.user_code import collect_code

LIMIT_S = 60.0
"""A module that takes longer to import is left to the job."""
CHILD = "curator_slurm.launcher.driver.dry_build"
_CODE = "code"
_MOST_INPUTS = 3
_KILLED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU, signal.SIGILL)
"""Limits of this machine, or its processor: no proof of anything on a node."""
_KEPT = re.compile(r"KRB5CCNAME|.*SCRATCH.*")
_PARTS_MISSING = re.compile(r"No module named '?curator_slurm\.")


@dataclass(frozen=True)
class Finding:
    """What was found about a setting, by its dotted key: an error, or what is only worth knowing."""

    key: str
    message: str
    is_error: bool = True


def look(plan: Plan, environ: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the pipeline of a plan, as far as this machine can tell; LIMIT_S at most."""
    if plan.spec.pipeline.command is not None:
        return []
    python, why_not = _interpreter(plan)
    if python is None:
        return [_not_looked_at(why_not)]
    with tempfile.TemporaryDirectory(prefix="curator-slurm-validate-", ignore_cleanup_errors=True) as scratch:
        found = list(_findings(plan, _Child(plan, environ, python, Path(scratch), LIMIT_S)))
        copy = f"{scratch}/{_CODE}/"
        return [replace(each, message=each.message.replace(copy, f"{plan.spec_dir}/")) for each in found]


def _not_looked_at(why: str) -> Finding:
    return Finding("pipeline", f"the pipeline was not looked at: {why}", is_error=False)


def _interpreter(plan: Plan) -> tuple[str | None, str]:
    """The Python of the job, or why this machine does not have it."""
    if plan.containers:
        return None, "its software is in a container, which only the nodes start"
    conda = plan.spec.environment.conda
    if plan.python is None and not (conda and conda.startswith("/")):
        return None, f"only the nodes activate the conda environment {conda}; its prefix as a path would tell more"
    python = plan.python or f"{conda}/bin/python"
    if not os.access(python, os.X_OK):
        return None, f"{python} is not on this machine"
    return python, ""


class _Child:
    """The process that makes the pipeline, and what it has said."""

    def __init__(self, plan: Plan, environ: Mapping[str, str], python: str, scratch: Path, limit_s: float) -> None:
        self.python, self.limit_s = python, limit_s
        self.code: int | None = None
        """None: it had to be ended."""
        self.words = ""
        """Of Python itself, before our code ran."""
        command = [python, "-P", "-m", CHILD, "--scratch", str(scratch), *(f"--file={path}" for path in _inputs(plan))]
        cwd = plan.spec_dir if Path(plan.spec_dir).is_dir() else scratch
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(plan, environ, scratch),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            self.code, self.words, self.said, self.crash = 126, f"{error.strerror}", [], []
            return
        lines = self._talk(process, plan.to_yaml().encode())
        self.said = [value for line in lines if isinstance(value := _json(line), dict)]
        self.crash = [line for line in lines if not line.startswith("{")]

    def _talk(self, process: subprocess.Popen[bytes], text: bytes) -> list[str]:
        try:
            out, err = process.communicate(text, self.limit_s)
            self.code = process.returncode
        except subprocess.TimeoutExpired as late:
            out, err = late.stdout or b"", late.stderr or b""
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError, ValueError):
                    assert pipe is not None
                    pipe.close()
        self.words = err.decode(errors="replace")
        return out.decode(errors="replace").splitlines()

    @property
    def doing(self) -> tuple[str, str]:
        """What it was doing last, and the key of that."""
        last = next((value for value in reversed(self.said) if "at" in value), {})
        return str(last.get("at", "starting Python")), str(last.get("key", "pipeline"))


def _findings(plan: Plan, child: _Child) -> Iterator[Finding]:
    for value in child.said:
        key = str(value.get("key") or "pipeline")
        if "problem" in value:
            yield Finding(key, str(value["problem"]))
        elif "remark" in value:
            yield Finding(key, str(value["remark"]), is_error=False)
        elif "note" in value:
            yield Finding(key, f"`{key}` was not looked at: {value['note']}", is_error=False)
    if any(value.get("end") for value in child.said):
        return
    doing, key = child.doing
    if child.code is None:
        yield _not_looked_at(f"{doing} took more than {child.limit_s:g} s, and was ended")
    elif not child.said:
        yield _never_began(plan, child)
    elif child.code < 0 and signal.Signals(-child.code) not in _KILLED_FROM_OUTSIDE:
        frames = [line.strip() for line in child.crash if line.strip().startswith("File ")]
        frames = [line for line in frames if "/lib/python3" not in line] or frames
        where = f" ({frames[0]})" if frames else ""
        yield Finding(key, f"`{key}`: {doing} crashed Python with {signal.Signals(-child.code).name}{where}")
    elif child.code < 0:
        yield _not_looked_at(f"{doing} was ended by {signal.Signals(-child.code).name}")
    else:
        yield Finding(key, f"`{key}`: {doing} ended Python with exit code {child.code}")


def _never_began(plan: Plan, child: _Child) -> Finding:
    """Python did not get as far as our code."""
    words = child.words.strip().splitlines()
    last = words[-1] if words else f"it ended with exit code {child.code} and no word"
    environment = plan.spec.environment
    named = next((name for name in ("python", "venv", "conda") if getattr(environment, name)), "")
    if "No module named" in last and named and not (environment.modules or environment.setup):
        if _PARTS_MISSING.search(last):  # an older version: its job would run
            return _not_looked_at(f"curator-slurm in {child.python} is another version")
        return Finding(
            f"environment.{named}",
            f"`environment.{named}`: {child.python} cannot run curator-slurm: {last}; install it there",
        )
    return _not_looked_at(f"{child.python} cannot run curator-slurm here: {last}")


def _environment(plan: Plan, environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The variables of the job: on Slurm nothing of the submitter's shell."""
    spec = plan.spec.environment
    if plan.cluster is Cluster.LOCAL:
        base = dict(environ)
    else:
        user = pwd.getpwuid(os.getuid())
        base = {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}
        base |= {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
        }
    base |= spec.env | {name: environ[name] for name in spec.secrets if name in environ}
    code = scratch / _CODE  # as in a job: without modules that would hide installed ones
    if collect_code(Path(plan.spec_dir), code, ()) is not None:
        base["PYTHONPATH"] = os.pathsep.join(filter(None, [base.get("PYTHONPATH"), str(code)]))
    return base | {
        "TMPDIR": str(scratch),
        "NUMBA_CACHE_DIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CURATOR_SLURM_RUN_DIR": str(scratch),
        "CURATOR_SLURM_OUTPUT_DIR": str(scratch / "outputs"),
        "CURATOR_SLURM_SHARD": "0",
    }


def _inputs(plan: Plan) -> Sequence[str]:
    """A few files of the input, which stand for all; what is not listed in a moment has a name that stands in."""
    found: list[str] = []
    for pattern in (plan.spec.input.paths if plan.spec.input else ())[:_MOST_INPUTS]:
        if is_remote(pattern):
            found.append(pattern)
            continue
        with contextlib.suppress(OSError, ValueError):
            first = next((path for path in map(Path, matches(local_path(pattern)))), None)
            if first is not None and first.is_dir():
                first = next((Path(top, name) for top, _, names in os.walk(first) for name in names), None)
            found += [str(first)] if first is not None else []
    return found or [str(Path(plan.spec_dir, "input.jsonl"))]


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
