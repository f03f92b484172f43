"""The options of all executors by name: what can be known without any engine.

The login node checks specs against them, so this module imports nothing that is not cheap.
"""

from __future__ import annotations

import difflib
from typing import Any

POLICY_KEYS = ("on_task_error", "task_retries", "max_failed_tasks", "task_timeout_s", "ignore_failures")
"""Keys of an executor's config that make up its failure policy."""

RESOURCE_WAIT: dict[str, Any] = {"resource_wait_timeout_s": None, "resource_wait_interval_s": 1.0}
"""How long a run waits for a node that could hold its workers, and how often it looks, with their defaults."""

COMMON_KEYS = (*POLICY_KEYS, "ignore_head_node", *RESOURCE_WAIT)
"""Keys of the config of every executor."""

XENNA_DEFAULTS: dict[str, Any] = {
    "execution_mode": "streaming",
    "logging_interval": 60,
    "ignore_failures": False,
    "cpu_allocation_percentage": 0.95,
    "autoscale_interval_s": 180,
    "max_workers_per_stage": None,
    "resource_monitor": False,
}
"""Options of XennaExecutor that are ours or that we interpret, with their defaults."""

POOL_DEFAULTS: dict[str, Any] = {
    "reserved_cpus": 0.0,
    "reserved_gpus": 0.0,
    "runtime_env": None,
}
"""Options of RayActorPoolExecutor with their defaults."""

FIRST_XENNA, LAST_XENNA = "0.2.0", "0.5.12"
"""The cosmos-xenna versions that are supported."""

ENGINE_OPTIONS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("execution_mode", "num_setup_attempts_python", "num_run_attempts_python", "max_setup_failure_percentage"),
            *("ignore_failures", "reset_workers_on_failure", "slots_per_actor", "enable_work_stealing"),
            *("max_tasks_to_poll_per_chunk", "worker_max_lifetime_m", "worker_restart_interval_m"),
            *("logging_interval_s", "actor_pool_verbosity_level", "monitoring_verbosity_level"),
            *("log_worker_allocation_layout", "cpu_allocation_percentage", "clear_cuda_visible_devices_on_cpu_actors"),
            *("autoscale_interval_s", "autoscale_speed_estimation_window_duration_s"),
            *("autoscale_speed_estimation_min_data_points", "max_queued_multiplier", "max_queued_lower_bound"),
            *("autoscaler_verbosity_level", "executor_verbosity_level"),
        ),
        FIRST_XENNA,
    ),
    "enable_backlog_aware_scaledown": "0.3.0",
    "scale_down_grace_after_ready_s": "0.4.2",
    "scheduler": "0.5.0",
    "saturation_aware": "0.5.0",
}
"""Options of cosmos-xenna for pipelines and streaming -> the first supported version that has it."""

REFUSED: dict[str, str] = {
    "mode_specific": "set the streaming options themselves, such as `autoscale_interval_s`",
    "return_last_stage_outputs": "the executor returns the outputs of the last stage always",
    "failures_return_nones": "cosmos-xenna never reads it; use `on_task_error: skip`",
    "serving_drain_on_close": "serving mode is not available here",
    "serving_drain_timeout_s": "serving mode is not available here",
}
"""Options of cosmos-xenna that the executor decides itself -> why a user cannot set them."""

STAGE_OPTIONS = (
    *("num_workers_per_node", "num_setup_attempts_python", "num_run_attempts_python", "ignore_failures"),
    *("reset_workers_on_failure", "slots_per_actor", "worker_max_lifetime_m", "worker_restart_interval_m"),
    *("max_setup_failure_percentage", "over_provision_factor"),
)
"""What a stage may give in `xenna_stage_spec`, with every supported version."""

REFUSED_OF_STAGES: dict[str, str] = {
    "stage": "it is the stage itself",
    "num_workers": "use the num_workers() method of the stage, in a spec `num_workers` beside `use`",
}
"""Fields of cosmos-xenna's specification of a stage that the executor fills in -> why a user cannot."""

BACKENDS = {
    "xenna": "curator_slurm.executors.backends.xenna.executor:XennaExecutor",
    "ray_data": "curator_slurm.executors.backends.ray_data.executor:RayDataExecutor",
    "ray_actor_pool": "curator_slurm.executors.backends.ray_actor_pool.executor:RayActorPoolExecutor",
}
"""Back end -> module:Class of its executor."""

CLASSES = {backend: entry.rpartition(":")[2] for backend, entry in BACKENDS.items()}

OPTIONS: dict[str, tuple[str, ...]] = {
    "xenna": tuple({**XENNA_DEFAULTS, **ENGINE_OPTIONS}),
    "ray_data": (),
    "ray_actor_pool": tuple(POOL_DEFAULTS),
}
"""Back end -> what it takes besides the failure policy."""

LEFT_OUT: dict[str, str] = {
    key: CLASSES[backend]
    for backend, keys in OPTIONS.items()
    for key in keys
    if key not in (*POLICY_KEYS, "runtime_env")  # without its runtime_env a pipeline would not do the same
}
"""Options that the other executors leave out, and say so, so that changing the executor of a pipeline is one change ->
the class that they belong to."""


def refusal(backend: str, key: str, *, suggest: bool = True) -> str | None:
    """What is wrong with an option of a back end whatever is installed; None where some version takes it.

    Looking for the option that was meant takes milliseconds.
    """
    if key in REFUSED and backend == "xenna":
        return f"cannot be set: {REFUSED[key]}"
    if key in (*COMMON_KEYS, *OPTIONS[backend], *LEFT_OUT):
        return None
    engine = f" with any cosmos-xenna from {FIRST_XENNA} to {LAST_XENNA}" if backend == "xenna" else ""
    return f"is not an option of {CLASSES[backend]}{engine}{_suggestion(backend, key) if suggest else ''}"


def stage_refusal(key: str, *, suggest: bool = True) -> str | None:
    """What is wrong with a key of `xenna_stage_spec`; None where it is an option."""
    if key in REFUSED_OF_STAGES:
        return f"cannot be set here: {REFUSED_OF_STAGES[key]}"
    if key in STAGE_OPTIONS:
        return None
    near = difflib.get_close_matches(key.lower().replace("-", "_"), STAGE_OPTIONS, n=1) if suggest else []
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(STAGE_OPTIONS)}"
    return f"is not an option of cosmos-xenna for a stage; {hint}"


def _suggestion(backend: str, key: str) -> str:
    """The nearest option, of this back end before those of others."""
    own = [*COMMON_KEYS, *OPTIONS[backend]]
    for known in (own, list(LEFT_OUT)):
        if near := difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1):
            return f"; did you mean `{near[0]}`?"
    return "" if backend == "xenna" else f"; it has {', '.join(own)}"
