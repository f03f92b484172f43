"""Which options of sbatch a site refuses, found by `sbatch --test-only`, which submits nothing.

Rules of a job_submit plug-in are shown by no command; the plug-in itself answers here as it will when a run is
submitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.plan.drain_notice import DRAIN_SIGNAL
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers

_OF_NODES = re.compile("node configuration|odes required|odes are busy|DRAINED")
"""A refusal for want of nodes, or of memory on them, says nothing about the rules of the site."""
_ONE_OPTION = {
    "exclusive": "--exclusive",
    "no_kill": "--no-kill",
    "no_requeue": "--no-requeue",
    "signal": f"--signal={DRAIN_SIGNAL}@60",
    "open_mode": "--open-mode=append",
}
"""Key of `slurm` -> the option that it is about, where the only other value is `never`."""


@dataclass
class TrialResults:
    """Keys of `slurm` that are not as by default, each with its value and sbatch's words."""

    partition: str = ""
    habits: dict[str, tuple[Any, str]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    """Options that sbatch has taken."""
    unclear: list[str] = field(default_factory=list)
    """Options that it refused for want of nodes."""
    failure: str = ""
    """Why nothing could be tried."""


def try_habits(slurm: Slurm, answers: ClusterAnswers, account: str | None) -> TrialResults:
    """Try each option by itself, in the default partition; those of GPUs in the first that has some."""
    partition = _first(answers, gpus=False) or _first(answers, gpus=False, restricted=True)
    if partition is None:
        return TrialResults(failure="no partition is up")
    trial = _Trial(slurm, {"--partition": partition, "--time": "1", **({"--account": account} if account else {})})
    results = TrialResults(partition)
    if (refusal := trial.refusal()) is not None:
        results.failure = f"sbatch --test-only refuses the simplest job: {refusal}"
        return results
    _try_one_by_one(trial, results)
    _try_export(trial, results)
    _try_memory(trial, results)
    _try_nodes(trial, results, answers)
    _try_required(trial, results)
    with_gpus = _first(answers, gpus=True)
    if with_gpus is not None:
        _try_gpus(_Trial(slurm, {**trial.base, "--partition": with_gpus}), results)
    return results


def _first(answers: ClusterAnswers, *, gpus: bool, restricted: bool = False) -> str | None:
    """The default partition where it is up, or the first that is; `restricted`: also one that not everybody may use."""
    ordered = sorted(answers.partitions, key=lambda each: not each.is_default)
    names = [each.name for each in ordered if each.is_up and (restricted or not each.restricted)]
    return next((name for name in names if not gpus or any(group.gpus for group in answers.of(name))), None)


@dataclass
class _Trial:
    """Jobs of one node that differ in one option."""

    slurm: Slurm
    base: Mapping[str, str]

    def refusal(self, *options: str, without: str = "") -> str | None:
        """sbatch's words; None where it takes the job."""
        base = [f"{name}={value}" for name, value in self.base.items() if name != without]
        command = ["sbatch", "--test-only", "--nodes=1", "--ntasks=1", *base, *options, "--wrap=true"]
        try:
            self.slurm.run(command, retry=False)
        except SlurmError as error:
            if error.returncode is None:
                raise
            return refusal_words(error.stderr)
        return None


def refusal_words(stderr: str) -> str:
    """The first line of what sbatch says: that of a plug-in stands before sbatch's own."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in stderr.splitlines()]
    return next((line for line in lines if line), "without a word")


def _note(results: TrialResults, option: str, refusal: str | None, key: str, value: Any) -> bool:
    """Note a refusal as a habit; whether it was one."""
    if refusal is None:
        results.taken.append(option)
        return False
    if _OF_NODES.search(refusal):
        results.unclear.append(f"{option} ({refusal})")
        return False
    results.habits[key] = (value, f"sbatch --test-only {option}: {refusal}")
    return True


def _try_one_by_one(trial: _Trial, results: TrialResults) -> None:
    for key, option in _ONE_OPTION.items():
        _note(results, option, trial.refusal(option), key, "never")


def _try_export(trial: _Trial, results: TrialResults) -> None:
    if _note(results, "--export=NIL", trial.refusal("--export=NIL"), "export", "none"):
        _note(results, "--export=NONE", trial.refusal("--export=NONE"), "export", "never")


def _try_memory(trial: _Trial, results: TrialResults) -> None:
    if not _note(results, "--mem=100M", trial.refusal("--mem=100M"), "mem", "never"):
        _note(results, "--mem=0", trial.refusal("--mem=0"), "whole_node_mem", None)


def _try_nodes(trial: _Trial, results: TrialResults, answers: ClusterAnswers) -> None:
    """By a node that is left out: one that is named could be down."""
    group = next((group for group in answers.of(results.partition) if group.nodes > 1 and group.example), None)
    if group is not None:
        option = f"--exclude={group.example}"
        _note(results, option, trial.refusal(option), "nodelist", "never")


def _try_required(trial: _Trial, results: TrialResults) -> None:
    if "--account" in trial.base:
        _note(results, "no --account", trial.refusal(without="--account"), "account_required", True)
    _note(results, "no --time", trial.refusal(without="--time"), "time_required", True)


def _try_gpus(trial: _Trial, results: TrialResults) -> None:
    by_gres = trial.refusal("--gres=gpu:1")
    per_node = trial.refusal("--gpus-per-node=1")
    if by_gres is not None and per_node is not None and not _OF_NODES.search(by_gres + per_node):
        results.habits["gpus"] = ("never", f"--gpus-per-node=1: {per_node}; --gres=gpu:1: {by_gres}")
    elif _note(results, "--gpus-per-node=1", per_node, "gpus", "gres"):
        results.taken.append("--gres=gpu:1")
    else:
        _note(results, "--gres=gpu:1", by_gres, "gres", "never")
