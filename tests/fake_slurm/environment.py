"""The variables that Slurm gives a batch script and the tasks of a step."""

from __future__ import annotations

import os
import re

from fake_slurm.processes import ELEMENT, FOLDER
from fake_slurm.store import Element, Job, Store, node_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def batch_variables(store: Store, job: Job, element: Element, settings: dict[str, Any]) -> dict[str, str]:
    """Return the whole environment of the batch script.

    A job submitted with --export=NIL or NONE has no PATH with the real Slurm; here it gets one, so that its
    script finds the fake commands where it would find the real ones.
    """
    options = job.options
    cpus = int(options.get("cpus-per-task", settings["cpus"]))
    tasks_per_node = options.get("ntasks-per-node", "1")
    fake_path = f"{store.folder / 'bin'}:{SYSTEM_PATH}"
    environment = {
        "PATH": fake_path,
        **job.environment,
        FOLDER: str(store.folder),
        ELEMENT: element.shown_id,
        "SLURM_CLUSTER_NAME": "fake",
        "SLURM_CPUS_ON_NODE": str(cpus),
        "SLURM_JOBID": str(element.raw_id if element.task is not None else job.id),
        "SLURM_JOB_ID": str(element.raw_id if element.task is not None else job.id),
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_NODELIST": node_list(job.nodes),
        "SLURM_NODELIST": node_list(job.nodes),
        "SLURM_JOB_NUM_NODES": str(job.nodes),
        "SLURM_NNODES": str(job.nodes),
        "SLURM_JOB_CPUS_PER_NODE": f"{cpus}(x{job.nodes})" if job.nodes > 1 else str(cpus),
        "SLURM_TASKS_PER_NODE": f"{tasks_per_node}(x{job.nodes})" if job.nodes > 1 else tasks_per_node,
        "SLURM_JOB_PARTITION": job.partition,
        "SLURM_JOB_UID": str(os.getuid()),
        "SLURM_JOB_USER": job.user,
        "SLURM_JOB_QOS": "normal",
        "SLURM_SUBMIT_DIR": job.submit_directory,
        "SLURM_SUBMIT_HOST": "login",
        "SLURMD_NODENAME": "n1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_GTIDS": "0",
        "TMPDIR": "/tmp",
    }
    if "cpus-per-task" in options:
        environment["SLURM_CPUS_PER_TASK"] = options["cpus-per-task"]
    if "ntasks-per-node" in options:
        environment["SLURM_NTASKS_PER_NODE"] = tasks_per_node
        environment["SLURM_NTASKS"] = environment["SLURM_NPROCS"] = str(job.nodes * int(tasks_per_node))
    if "mem" in options:
        environment["SLURM_MEM_PER_NODE"] = str(megabytes(options["mem"]))
    if gpus := gpus_per_node(options):
        environment["SLURM_GPUS_ON_NODE"] = str(gpus)
        environment["CUDA_VISIBLE_DEVICES"] = environment["SLURM_JOB_GPUS"] = ",".join(map(str, range(gpus)))
    if "gpus-per-node" in options:
        environment["SLURM_GPUS_PER_NODE"] = options["gpus-per-node"]
    if element.restarts:
        environment["SLURM_RESTART_COUNT"] = str(element.restarts)
    if element.task is not None:
        tasks = job.tasks
        environment |= {
            "SLURM_ARRAY_JOB_ID": str(job.id),
            "SLURM_ARRAY_TASK_ID": str(element.task),
            "SLURM_ARRAY_TASK_COUNT": str(len(tasks)),
            "SLURM_ARRAY_TASK_MIN": str(tasks[0]),
            "SLURM_ARRAY_TASK_MAX": str(tasks[-1]),
            "SLURM_ARRAY_TASK_STEP": "1" if len(tasks) < 2 else str(tasks[1] - tasks[0]),
        }
    return environment


def step_variables(
    environment: dict[str, str], export: str, step: int, node: int, task: int, local: int, total: int
) -> dict[str, str]:
    """Return the environment of one task of a step."""
    chosen = dict(environment)
    if export in ("NIL", "NONE"):
        chosen = {k: v for k, v in environment.items() if k.startswith(("SLURM", "FAKE_SLURM_", "CUDA_"))}
    elif export != "ALL":
        names = export.split(",")
        chosen = {
            k: v
            for k, v in environment.items()
            if "ALL" in names or k in names or k.startswith(("SLURM", "FAKE_SLURM_", "CUDA_"))
        }
        chosen.update(dict(n.split("=", 1) for n in names if "=" in n))
    return chosen | {
        "SLURM_STEP_ID": str(step),
        "SLURM_STEPID": str(step),
        "SLURM_NTASKS": str(total),
        "SLURM_NPROCS": str(total),
        "SLURM_STEP_NUM_TASKS": str(total),
        "SLURM_STEP_NUM_NODES": environment["SLURM_JOB_NUM_NODES"],
        "SLURM_STEP_NODELIST": environment["SLURM_JOB_NODELIST"],
        "SLURM_NODEID": str(node),
        "SLURM_PROCID": str(task),
        "SLURM_LOCALID": str(local),
        "SLURMD_NODENAME": f"n{node + 1}",
    }


def gpus_per_node(options: dict[str, str]) -> int:
    """Read --gpus-per-node or --gres=gpu."""
    text = options.get("gpus-per-node") or next(
        (g for g in options.get("gres", "").split(",") if g.startswith("gpu")), ""
    )
    match = re.search(r"(?:^|:)(\d+)$", text)
    return int(match[1]) if match else 1 if text else 0


def megabytes(text: str) -> int:
    """Read 480G, 500M, 500 or 1T."""
    number, unit = re.fullmatch(r"(\d+)([KMGT]?)B?", text, re.IGNORECASE).groups()  # type: ignore[union-attr]
    return int(number) * {"K": 1, "": 1024, "M": 1024, "G": 1024**2, "T": 1024**3}[unit.upper()] // 1024
