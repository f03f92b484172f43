"""The GPUs of this node before anything runs on them: as many as promised, answering, and without faults of hardware.

`ask_gpus` calls the vendor's own tool; everything else computes from what that has printed. Tests put a stand-in in
place of the tool, on PATH or as `run`: nothing here was ever run beside a real GPU.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import several
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.command_process import run_to_its_end

ANSWER_S = 60.0
"""A driver that keeps nothing loaded takes some seconds for each GPU; one that has lost a GPU may never answer."""
TOOLS = ("nvidia-smi", "rocm-smi")

_FIELDS = (
    "index",
    "uuid",
    "driver_version",
    "mig.mode.current",
    "ecc.errors.uncorrected.volatile.total",
    "retired_pages.pending",
    "remapped_rows.pending",
    "remapped_rows.failure",
    "gpu_recovery_action",
)
"""Of `nvidia-smi --query-gpu`; drivers that do not know one of them refuse it by name."""
_NOT_A_FIELD = re.compile(r'Field "([a-z_.]+)" is not a valid field')
_LOST = re.compile(r"GPU is lost|Unknown Error|requires reset|fallen off the bus|\bXid\b|ERR!", re.IGNORECASE)
_ROCM_QUERY = ("--showid", "--showuniqueid", "--showdriverversion", "--json")

Run = Callable[[Sequence[str], float], subprocess.CompletedProcess[str]]
"""Runs a command for so many seconds at most, as `run_tool` does."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as the tool sees it; `faults` are reasons not to use it, in words."""

    index: str
    uuid: str = ""
    driver: str = ""
    faults: tuple[str, ...] = ()
    is_divided: bool = False
    """Into instances (MIG), which Slurm counts, and the tool does not."""


@dataclass(frozen=True)
class GpuReport:
    """What a node's tool has said; `failure` is why it has said nothing, and `tool` empty where there is none."""

    tool: str = ""
    gpus: Sequence[Gpu] = ()
    failure: str = ""

    @property
    def driver(self) -> str:
        """The driver's version; empty where it is not known."""
        return next((gpu.driver for gpu in self.gpus if gpu.driver), "")


def run_tool(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return run_to_its_end(command, {**os.environ, "LC_ALL": "C"}, timeout_s)


def ask_gpus(path: str | None = None, *, run: Run = run_tool, timeout_s: float = ANSWER_S) -> GpuReport:
    """What the tool of this node says, the first of TOOLS that is on `path` (PATH)."""
    found = ((name, shutil.which(name, path=path)) for name in TOOLS)
    tool, program = next(((name, program) for name, program in found if program), ("", ""))
    if not program:
        return GpuReport()
    try:
        return _nvidia(program, run, timeout_s) if tool == "nvidia-smi" else _rocm(program, run, timeout_s)
    except subprocess.TimeoutExpired:
        return GpuReport(tool, failure=f"{tool} has not answered within {timeout_s:g} s")
    except OSError as error:
        return GpuReport(tool, failure=f"{tool} cannot be started: {error.strerror}")


def _nvidia(program: str, run: Run, timeout_s: float) -> GpuReport:
    fields = list(_FIELDS)
    while True:
        command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
        done = run(command, timeout_s)
        refused = _NOT_A_FIELD.search(done.stdout + done.stderr)
        if refused is None or refused[1] not in fields:
            return parse_nvidia(fields, done.stdout, done.stderr, done.returncode)
        fields.remove(refused[1])


def parse_nvidia(fields: Sequence[str], stdout: str, stderr: str, returncode: int) -> GpuReport:
    """The report in what nvidia-smi has printed."""
    rows = [[value.strip() for value in row] for row in csv.reader(stdout.splitlines())]
    gpus = [_gpu(dict(zip(fields, row, strict=True))) for row in rows if len(row) == len(fields)]
    words = _first_line(stderr) or next((" ".join(row) for row in rows if row and len(row) != len(fields)), "")
    failure = ""
    if returncode or not gpus:
        failure = f"nvidia-smi: {words or f'exit code {returncode} and no GPUs'}"
    elif _LOST.search(words):
        failure = f"nvidia-smi: {words}"
    return GpuReport("nvidia-smi", gpus, failure)


def _gpu(values: Mapping[str, str]) -> Gpu:
    """A GPU from the fields of its row; those that it does not have are [N/A]."""
    faults = [f"{value.strip('[]')}" for value in dict.fromkeys(values.values()) if _LOST.search(value)]
    if errors := whole_number(values.get("ecc.errors.uncorrected.volatile.total", "")):
        faults.append(f"{errors} uncorrectable ECC errors since its driver was loaded")
    for field, words in (
        ("retired_pages.pending", "pages of its memory are to be retired"),
        ("remapped_rows.pending", "rows of its memory are to be remapped"),
        ("remapped_rows.failure", "rows of its memory could not be remapped"),
    ):
        if values.get(field, "").lower() in ("yes", "1"):
            faults.append(words)
    action = values.get("gpu_recovery_action", "")
    if action and action.lower() not in ("none", "n/a", "[n/a]", "[not supported]") and not _LOST.search(action):
        faults.append(f"its driver asks for: {action}, after an error (Xid)")
    return Gpu(
        index=values.get("index", ""),
        uuid=values.get("uuid", ""),
        driver=values.get("driver_version", ""),
        faults=tuple(faults),
        is_divided=values.get("mig.mode.current", "").lower() == "enabled",
    )


def _rocm(program: str, run: Run, timeout_s: float) -> GpuReport:
    done = run([program, *_ROCM_QUERY], timeout_s)
    return parse_rocm(done.stdout, done.stderr, done.returncode)


def parse_rocm(stdout: str, stderr: str, returncode: int) -> GpuReport:
    """The report in what rocm-smi has printed: how many there are, and the driver."""
    try:
        found = json.loads(stdout[stdout.index("{") :])
        system = found.get("system") or {}
        driver = next((str(value) for name, value in system.items() if "driver" in name.lower()), "")
        cards = {name: card for name, card in found.items() if re.fullmatch(r"card[0-9]+", name)}
        gpus = [Gpu(name.removeprefix("card"), str(card.get("Unique ID", "")), driver) for name, card in cards.items()]
    except (ValueError, AttributeError):
        gpus = []
    failure = ""
    if returncode or not gpus:
        failure = f"rocm-smi: {_first_line(stderr) or f'exit code {returncode} and no GPUs'}"
    return GpuReport("rocm-smi", gpus, failure)


def problems(report: GpuReport, promised: int, visible: Sequence[str]) -> list[str]:
    """What is wrong with the GPUs that a job has on this node: `visible` are their numbers or UUIDs.

    Without a device cgroup the tool sees the GPUs of others, too: these do not count where Slurm says which are ours.
    """
    if not report.tool or not promised:
        return []
    if report.failure:
        return [report.failure, *_faults(report.gpus)]
    if any(gpu.is_divided for gpu in report.gpus):
        return _faults(report.gpus)
    if len(report.gpus) < promised:
        missing = f"Slurm has given {several(promised, 'GPU')}, and {report.tool} sees {len(report.gpus)}"
        return [missing, *_faults(report.gpus)]
    return _faults(ours(report.gpus, visible))


def ours(gpus: Sequence[Gpu], visible: Sequence[str]) -> list[Gpu]:
    """Those of the job; all of them where that cannot be told."""
    named = [gpu for gpu in gpus if gpu.index in visible or any(name in gpu.uuid for name in visible if len(name) > 8)]
    return named if len(named) == len(visible) and named else list(gpus)


def check_gpus(report: GpuReport, promised: int, visible: Sequence[str]) -> None:
    """Raises BootstrapError where a GPU of the job on this node is missing or sick."""
    if found := problems(report, promised, visible):
        raise BootstrapError(
            FailureClass.NODE_FAILED,
            f"GPUs of this node: {'; '.join(found)}",
            "exclude the node (resources.sbatch.exclude) and tell the administrators of the cluster; "
            "cluster.check_gpus: false runs there all the same",
        )


def _faults(gpus: Sequence[Gpu]) -> list[str]:
    return [f"GPU {gpu.index}: {fault}" for gpu in gpus for fault in gpu.faults]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
