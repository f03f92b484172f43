"""Starter specs that `init` writes: one for each way to define the pipeline."""

from __future__ import annotations

import re
from pathlib import Path

from curator_slurm.launcher.spec.value_types import NAME_PATTERN

PURPOSES = {
    "stages": "the stages are listed in the spec, each as a class with its arguments; needs no Python code",
    "entry": "a function of your Python module builds the pipeline",
    "command": "any program, run on the first node with RAY_ADDRESS set",
}

_HEAD = """\
# A run of curator-slurm. All settings: docs/spec.md of curator-slurm. Check it: curator-slurm validate {file}
name: {name}
"""

_PIPELINES = {
    "stages": """
# The stages of the pipeline: classes and the arguments of their constructors.
# ${input.files} is the list of input files, ${output_dir} the folder for outputs.
pipeline:
  stages:
    - use: curator_slurm.executors.stages:JsonlReader
      with: {file_paths: "${input.files}", files_per_partition: 4}
    # - use: my_project.stages:MyFilter        # modules next to this file can be used
    #   with: {threshold: 0.5}
    #   resources: {cpus: 1}
    - use: curator_slurm.executors.stages:JsonlWriter
      with: {path: "${output_dir}"}
""",
    "entry": """
# A function that returns the pipeline; modules next to this file can be imported.
# ${input.files} is the list of input files, ${output_dir} the folder for outputs.
pipeline:
  entry: pipelines:build          # the function build in {module}
  args:
    files: "${input.files}"
    output: "${output_dir}"
""",
    "command": """
# Any program, run on the first node; ray.init(address="auto") there joins the cluster of all nodes.
# Bash runs it. ${input.files} is the list of input files, ${output_dir} the folder for outputs.
pipeline:
  command: python train.py --output "${output_dir}" "${input.files}"
""",
}

MODULE = "pipelines.py"
"""The module that the spec of an entry names."""

ENTRY_CODE = '''\
"""The pipeline of {file}."""

from curator_slurm.executors import Pipeline
from curator_slurm.executors.stages import JsonlReader, JsonlWriter, ScoreFilter, WordCountFilter


def build(files: list[str], output: str) -> Pipeline:
    """Called once on the first node; the arguments are pipeline.args of the spec."""
    return Pipeline(
        name="{name}",
        stages=[
            JsonlReader(file_paths=files, files_per_partition=4),
            ScoreFilter(WordCountFilter(min_words=5), text_field="text"),
            JsonlWriter(path=output),
        ],
    )
'''

_EXECUTOR = """
# Which executor runs the stages: xenna (streaming, autoscaling), ray_data or ray_actor_pool.
executor:
  backend: xenna
"""

_INPUT = """
# Files, folders or globs; relative paths are relative to this file.
input:
  paths:
    - "data/*.jsonl"
"""

_SHARDS = """
# The input in parts, each processed by an element of a job array. `curator-slurm plan {file}` shows them before
# anything is submitted, `curator-slurm collect` publishes them as one dataset.
shards:
  files_per_shard: 100
  # per_element: 4              # shards that one element processes, on one Ray cluster
  max_running: 20               # elements at a time
"""

_TAIL = """
# Resources to request from Slurm. Without Slurm, the run uses this machine and ignores this section.
resources:
  nodes: 2
  # gpus_per_node: 4
  # cpus_per_node: 32
  # mem_per_node: 200G
  time: 1:00:00
  # partition: gpu
  # account: my_project
  # sbatch: {constraint: h100, exclusive: true}     # any other option of sbatch

# The software on the nodes; default: the Python that submits.
# environment:
#   venv: /shared/envs/curator
#   modules: [cuda/12.6]
#   env: {HF_HOME: /shared/hf}
#   secrets: [HF_TOKEN]         # names only; values are read from your shell at submission
#   setup: ["ulimit -n 65536"]

# Where outputs are published when the run has succeeded; default: `outputs` in the run directory.
# output:
#   path: results

# Run directories, on storage that every node can access; default: ~/curator-slurm/runs
# storage:
#   runs: /shared/${USER}/curator-slurm
"""


def starter(kind: str, name: str, file: str = "spec.yaml", *, shards: bool = False) -> str:
    """The text of a starter spec."""
    head = _HEAD.format(file=file, name=f'"{name}"' if name.lower() in ("null", "true", "false") else name)
    executor = "" if kind == "command" else _EXECUTOR
    pipeline = _PIPELINES[kind].replace("{module}", MODULE)
    if shards:
        pipeline = pipeline.replace(
            "${input.files} is the list of input files", "${shard.files} is the list of a shard's files"
        )
        pipeline = pipeline.replace("${input.files}", "${shard.files}")
    return head + pipeline + executor + _INPUT + (_SHARDS.format(file=file) if shards else "") + _TAIL


def entry_code(name: str, file: str = "spec.yaml") -> str:
    """The module that the starter spec of kind `entry` names."""
    return ENTRY_CODE.format(name=name, file=file)


def is_name(text: str) -> bool:
    """Whether a run can have this name."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def name_for(spec_path: Path) -> str:
    """A name for runs of this spec: that of its folder, as far as it can be one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", spec_path.absolute().parent.name).strip("-._")[:63]
    return name or "my-run"
