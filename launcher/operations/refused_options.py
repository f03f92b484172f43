"""Which of our options a site refuses, found after sbatch has refused a job, and the keys to set for it.

A job_submit plug-in of a site says no in its own words, or in none. So the script is tried by `sbatch --test-only`
with options left out: what it is taken without is what the site refuses. Nothing is submitted.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.slurm.client import Slurm

PATIENCE_S = 20.0
"""For all trials of one job together."""
_DIRECTIVE = re.compile(r"#SBATCH --(?P<name>[\w-]+)(?:=(?P<value>.*))?")
_FIXED = frozenset({"job-name", "nodes", "ntasks", "ntasks-per-node", "output", "cpus-per-task"})
"""What a job is not itself without."""


@dataclass(frozen=True)
class Cure:
    """A change of the script that a site may want, and the setting that makes it.

    `replacement` stands in place of the option where sbatch takes it; None leaves the option out.
    """

    setting: str
    replacement: str | None = None


_CURES: dict[str, tuple[Cure, ...]] = {
    "export": (Cure("slurm.export: none", "--export=NONE"), Cure("slurm.export: never")),
    "mem": (Cure("slurm.mem: never"),),
    "gpus-per-node": (Cure("slurm.gpus: gres", "--gres=gpu:{value}"), Cure("slurm.gpus: never")),
    "gres": (Cure("slurm.gpus: gpus_per_node", "--gpus-per-node={count}"), Cure("slurm.gpus: never")),
    "exclusive": (Cure("slurm.exclusive: never"),),
    "nodelist": (Cure("slurm.nodelist: never"),),
    "nodefile": (Cure("slurm.nodelist: never"),),
    "exclude": (Cure("slurm.nodelist: never"),),
    "no-kill": (Cure("slurm.no_kill: never"),),
    "no-requeue": (Cure("slurm.no_requeue: never"),),
    "requeue": (
        Cure("slurm.requeue: never", "--no-requeue"),
        Cure("slurm.requeue: never, and slurm.no_requeue: never"),
    ),
    "signal": (Cure("slurm.signal: never"),),
    "open-mode": (Cure("slurm.open_mode: never"),),
}
"""Options that sites refuse -> what they take in their place, the first that works."""
_WHOLE_NODE = Cure("slurm.whole_node_mem: AMOUNT (such as 450G), or slurm.mem: never")
_OF_SPEC = {"time": "resources.time", "partition": "resources.partition", "account": "resources.account"}
_MISSING = {
    "time": ("--time=1", "resources.time, or slurm.time_required: true and a default in the site file"),
    "exclusive": ("--exclusive", "slurm.exclusive: always"),
}
"""Options that sites demand, each with a value to try."""


@dataclass(frozen=True)
class OptionFinding:
    """An option that sbatch refuses or misses, and what to set."""

    option: str
    setting: str
    missing: bool = False

    def __str__(self) -> str:
        if self.missing:
            return f"sbatch takes the job with {self.option}: set {self.setting}"
        return f"sbatch takes the job without {self.option}: set {self.setting}"


def name_settings(script: Path, run_dir: Path, refused: SlurmError) -> str:
    """What to set for a site that has refused this script; empty where trials do not tell."""
    lines = script.read_text().splitlines(keepends=True)
    try:
        findings = list(_Trials(Slurm().within(PATIENCE_S), run_dir, lines).findings())
    except (SlurmError, OSError):
        return ""
    if not findings and "account" in refused.stderr.lower() and "account" not in options_of(lines):
        findings = [OptionFinding("--account", "resources.account", missing=True)]
    if not findings:
        return ""
    told = "".join(f"\n  {finding}" for finding in findings)
    return (
        f"By `sbatch --test-only`:{told}\n"
        "`slurm` is a section of the site file, or of ~/.config/curator-slurm/config.yaml (`curator-slurm site show`)."
    )


def options_of(lines: Sequence[str]) -> dict[str, int]:
    """Options in `#SBATCH` lines of a script -> numbers of their lines; those of the first component."""
    found: dict[str, int] = {}
    for number, line in enumerate(lines):
        if line.startswith("#SBATCH hetjob"):
            break
        if match := _DIRECTIVE.fullmatch(line.rstrip("\n")):
            found[match["name"]] = number
    return found


class _Trials:
    """One script with other options."""

    def __init__(self, slurm: Slurm, run_dir: Path, lines: Sequence[str]) -> None:
        self._slurm, self._run_dir, self._lines = slurm, run_dir, lines
        self._options = options_of(lines)

    def findings(self) -> Iterator[OptionFinding]:
        """Options that are refused: without all of them the job is taken, with each it is not; and those it lacks."""
        taken = self._first_taken()
        if taken is None:
            return
        suspects, added = taken
        for name in added:
            option, setting = _MISSING[name]
            if name not in self._options:
                yield OptionFinding(option.partition("=")[0], setting, missing=True)
        extra: dict[str, str | None] = {f"+{name}": _MISSING[name][0] for name in added}
        without: dict[str, str | None] = dict.fromkeys(suspects)
        for name in suspects:
            alone = {other: change for other, change in without.items() if other != name}
            if self._taken({**alone, **extra}):
                without = alone
                continue
            yield self._cure(name, {**alone, **extra})

    def _first_taken(self) -> tuple[list[str], list[str]] | None:
        """Options without which sbatch takes the job, and those to add for it; habits of sites are suspected first."""
        removable = [name for name in self._options if name not in _FIXED]
        habits = [name for name in removable if name in _CURES]
        for suspects in (habits, removable):
            addable = [name for name in _MISSING if name not in self._options or name in suspects]
            for added in chain.from_iterable(combinations(addable, number) for number in range(len(addable) + 1)):
                more = {f"+{name}": _MISSING[name][0] for name in added}
                if self._taken({**dict.fromkeys(suspects), **more}):
                    return suspects, list(added)
        return None

    def _cure(self, name: str, others: dict[str, str | None]) -> OptionFinding:
        value = self._value(name)
        option = f"--{name}" + (f"={value}" if value else "")
        if name == "mem" and value == "0" and self._taken({**others, name: "--mem=100M"}):
            return OptionFinding(option, _WHOLE_NODE.setting)
        cures = _CURES.get(name, (Cure(_OF_SPEC.get(name, f"resources.sbatch.{name}")),))
        for cure in cures[:-1]:
            text = (cure.replacement or "").format(value=value, count=value.removeprefix("gpu:"))
            if self._taken({**others, name: text}):
                return OptionFinding(option, cure.setting)
        return OptionFinding(option, cures[-1].setting)

    def _value(self, name: str) -> str:
        match = _DIRECTIVE.fullmatch(self._lines[self._options[name]].rstrip("\n"))
        return (match["value"] or "").strip("'\"") if match else ""

    def _taken(self, changes: dict[str, str | None]) -> bool:
        """Whether sbatch takes the script with these options changed: left out (None), replaced, or added (+name)."""
        by_line = {self._options[name]: change for name, change in changes.items() if not name.startswith("+")}
        lines = [
            line if number not in by_line else f"#SBATCH {by_line[number]}\n" if by_line[number] else ""
            for number, line in enumerate(self._lines)
        ]
        lines[1:1] = [f"#SBATCH {change}\n" for name, change in changes.items() if name.startswith("+") and change]
        with tempfile.TemporaryDirectory(prefix="curator-slurm-") as folder:
            script = Path(folder, "job.sbatch")
            script.write_text("".join(lines))
            return self._slurm.test_only(script, self._run_dir).accepted
