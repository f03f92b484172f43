"""The batch script of a probe: the options of its job, and slurm_templates/probe.sh. Pure but for reading that file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm import slurm_templates
from curator_slurm.launcher.shell import sbatch_quote

OUTPUT = "probe.out"
"""In the folder of the job."""
TIME_LIMIT_S = 5 * 60
_HEAD = "#!/bin/sh\n"


@dataclass(frozen=True)
class ProbeTarget:
    """A partition that is to be probed, and what is known of it beforehand."""

    partition: str
    gpus: bool = False
    idle: bool = False
    """Whether a node is free: then the probe asks for a whole one, to see all of its CPUs."""
    max_time_s: int | None = None


def attempts(target: ProbeTarget) -> Iterator[tuple[str, ...]]:
    """Options beside the usual ones, to be tried one after the other until sbatch takes the job."""
    whole = ("--exclusive",) if target.idle else ()
    yield whole
    if target.gpus:
        yield (*whole, "--gres=gpu:1")
    if whole:
        yield ()
        if target.gpus:
            yield ("--gres=gpu:1",)


def probe_script(target: ProbeTarget, account: str | None, more: Sequence[str]) -> str:
    """The script for one partition."""
    minutes = max(1, min(TIME_LIMIT_S, target.max_time_s or TIME_LIMIT_S) // 60)
    options = [
        "--job-name=curator-slurm-probe",
        f"--partition={target.partition}",
        "--nodes=1",
        "--ntasks=1",
        f"--time={minutes}",
        f"--output={OUTPUT}",
        *([f"--account={account}"] if account else []),
        *more,
    ]
    lines = []
    for option in options:
        name, equals, value = option.partition("=")
        lines.append(f"#SBATCH {name}{equals}{sbatch_quote(value) if equals else ''}\n")
    text = Path(str(slurm_templates.__file__)).with_name("probe.sh").read_text(encoding="utf-8")
    return _HEAD + "".join(lines) + text.removeprefix(_HEAD)
