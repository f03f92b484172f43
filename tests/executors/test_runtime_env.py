"""Ray's runtime environment of workers."""

from __future__ import annotations

from xenna_stages import Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_data.operators import plan_operators
from curator_slurm.executors.runtime_env import NOSET_CUDA, worker_env

COMMON = {"env_vars": {"BOTH": "common", "ONE": "1"}, "working_dir": "/w"}
OWN = {"env_vars": {"BOTH": "stage", "TWO": "2"}, "pip": ["x"]}
BOTH = {"env_vars": {"BOTH": "stage", "ONE": "1", "TWO": "2"}, "working_dir": "/w", "pip": ["x"]}


def test_a_stages_environment_is_added_to_what_all_have() -> None:
    assert worker_env(COMMON, OWN, gpus=0) == BOTH
    assert worker_env(COMMON, None, gpus=0) == COMMON
    assert worker_env(None, OWN, gpus=0) == OWN
    assert worker_env(None, None, gpus=0) == {}


def test_ray_assigns_the_gpus_of_a_worker_that_has_some() -> None:
    assert worker_env(None, None, gpus=0.5) == {"env_vars": {NOSET_CUDA: ""}}
    assert worker_env(COMMON, OWN, gpus=1)["env_vars"] == {**BOTH["env_vars"], NOSET_CUDA: ""}
    assert worker_env({"env_vars": None}, None, gpus=1) == {"env_vars": {NOSET_CUDA: ""}}


def test_ray_data_adds_a_stages_environment_to_that_of_its_remote_arguments() -> None:
    stage = Step("model")
    stage.runtime_env = OWN
    stage.ray_stage_spec = lambda: {"ray_remote_args": {"runtime_env": COMMON}}
    (plan,) = plan_operators([StageAdapter(stage)])
    assert plan.remote_args == {"runtime_env": BOTH}
