"""Nodes that failed again and again, and that a retry does without, where the site lets us name nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.plan.excluded_nodes import excluded, may_exclude
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.known_folders import known_folders
from curator_slurm.launcher.runs.node_faults import faults_folder, nodes_to_exclude, read_faults
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.spec.slurm_conf import cluster_name

PATIENCE_S = 15.0


@dataclass(frozen=True)
class KeptOut:
    """The value of --exclude, empty where there is none, and a note about it."""

    exclude: str = ""
    note: str = ""


def kept_out(run: Run, plan: Plan, script: Path, environ: Mapping[str, str]) -> KeptOut:
    """What a retry does without; nothing, with a note, where it could not start then."""
    if not may_exclude(plan):
        return KeptOut()
    folders = {faults_folder(run.paths), *(folder / faults_folder(run.paths).name for folder in known_folders(environ))}
    here = cluster_name()
    faults = [fault for fault in read_faults(folders) if not (here and fault.cluster) or fault.cluster == here]
    nodes = nodes_to_exclude(faults)
    if not nodes:
        return KeptOut()
    exclude, names = excluded(plan, nodes), ", ".join(nodes)
    try:
        answer = Slurm().within(PATIENCE_S).test_only(script, run.paths.root, [f"--exclude={exclude}"])
    except SlurmError:
        return KeptOut()
    if not answer.accepted:
        return KeptOut("", f"{names} failed at least twice lately, and the job could not start without: {answer.words}")
    return KeptOut(exclude, f"does without {names}, which failed at least twice lately (--exclude)")
