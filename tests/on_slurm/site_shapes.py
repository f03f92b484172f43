"""Shapes of a Slurm, each with what real sites refuse, and the site files with which one spec runs on it."""

from __future__ import annotations

from dataclasses import dataclass

SPEC = """\
name: shapes
input: {paths: ["data/*.jsonl"]}
pipeline: {entry: "five_lines:build", args: {files: "${shard.files}", folder: "${output_dir}"}}
executor: {backend: ray_actor_pool}
resources: {nodes: 2, cpus_per_node: 2, mem_per_node: 1800M}
"""
PIPELINE = """\
from curator_slurm.executors import Pipeline
from curator_slurm.executors.stages import JsonlReader, JsonlWriter


def build(files, folder):
    return Pipeline("shapes", stages=[JsonlReader(files), JsonlWriter(folder)])
"""
GPU_TYPES = ("a100", "a100", "h100")
PARTITIONS = (
    "whole Nodes=ALL MaxTime=60 OverSubscribe=EXCLUSIVE",
    "a100 Nodes=n1,n2 MaxTime=60",
    "h100 Nodes=n3 MaxTime=60",
)
KINDS = """
resources: {gpus: 2, gpu_type: %s, nodes: 1}
gpu_types: {a100: {gres_type: a100}, h100: {gres_type: h100}}
partitions:
  a100: {node_count: 2, cpus: 4, memory: 6000M, gpus: 2, gpu_type: a100}
  h100: {node_count: 1, cpus: 4, memory: 6000M, gpus: 2, gpu_type: h100}
"""


@dataclass(frozen=True)
class Shape:
    """A rule of a site, in Lua; a wrong site file, the setting that the error names, and a right site file.

    `asked` are lines that the batch script has then, `absent` beginnings of lines that it has not.
    """

    rule: str
    wrong: str
    names: str
    right: str
    asked: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


SHAPES = {
    "no memory": Shape(
        'if job.min_mem_per_node ~= nil then no("memory follows the cores here") end',
        "",
        "slurm.mem: never",
        "slurm: {mem: never}",
        absent=("--mem",),
    ),
    "not all memory by zero": Shape(
        'if has("mem=0") then no("--mem=0 is not allowed") end',
        "slurm: {mem: whole_node}",
        "slurm.whole_node_mem",
        "slurm: {mem: whole_node, whole_node_mem: 5G}",
        asked=("--mem=5G",),
    ),
    "no export": Shape(
        'if has("export") then no("use of --export is not supported") end',
        "",
        "slurm.export: never",
        "slurm: {export: never}",
        absent=("--export",),
    ),
    "export none": Shape(
        'if has("export=NIL") then no("--export=NIL breaks our prolog") end',
        "slurm: {export: nil}",
        "slurm.export: none",
        "slurm: {export: none}",
        asked=("--export=NONE",),
    ),
    "no node names": Shape(
        'if job.exc_nodes ~= nil or job.req_nodes ~= nil then no("jobs may not name nodes") end',
        "resources: {sbatch: {exclude: n3}}",
        "slurm.nodelist: never",
        "slurm: {nodelist: never}",
        absent=("--exclude",),
    ),
    "account and time": Shape(
        'if job.account == nil then no("please name an account") end\n'
        'if job.time_limit == slurm.NO_VAL then no("please set a time limit") end',
        "resources: {account: lab}",
        "resources.time, or slurm.time_required: true",
        "slurm: {account_required: true, time_required: true}\nresources: {account: lab, time: 10}",
        asked=("--account=lab", "--time=10"),
    ),
    "whole nodes": Shape(
        'if not has("exclusive") then no("nodes are given as a whole: use --exclusive") end',
        "resources: {partition: whole}",
        "slurm.exclusive: always",
        "slurm: {exclusive: always}\nresources: {partition: whole}",
        asked=("--exclusive", "--partition=whole"),
    ),
    "GPUs by gres": Shape(
        'if has("gpus%-per%-node") then no("ask for GPUs with --gres") end',
        "resources: {gpus_per_node: 1, nodes: 1}",
        "slurm.gpus: gres",
        "slurm: {gpus: gres}\nresources: {gpus_per_node: 1}",
        asked=("--gres=gpu:1",),
        absent=("--gpus-per-node",),
    ),
    "nothing about requeue": Shape(
        'if has("requeue") or has("no%-requeue") then no("requeueing is our business") end',
        "",
        "slurm.requeue: never, and slurm.no_requeue: never",
        "slurm: {requeue: never, no_requeue: never}",
        absent=("--requeue", "--no-requeue"),
    ),
    "no open mode": Shape(
        'if has("open%-mode") then no("--open-mode is not allowed") end',
        "",
        "slurm.open_mode: never",
        "slurm: {open_mode: never}",
        absent=("--open-mode",),
    ),
    "two kinds of GPU": Shape(
        'if has("gpus%-per%-node=a100") then no("the a100 are for another group") end',
        KINDS % "a100",
        "the a100 are for another group",
        KINDS % "h100",
        asked=("--partition=h100", "--gpus-per-node=h100:2"),
        options=("--set", "resources.nodes=1"),
    ),
    "arrays of eleven": Shape("", "", "", "", options=("--set", "shards.count=12", "--set", "resources.nodes=1")),
    "five jobs in the queue": Shape(
        "",
        "",
        "limits.submitted_jobs",
        "limits: {submitted_jobs: 5}",
        options=("--set", "shards.count=20", "--set", "shards.per_element=2", "--set", "resources.nodes=1"),
    ),
}
