"""Every private name of cosmos-xenna that XennaExecutor is built on, by what it is for."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from curator_slurm.executors.known_options import FIRST_XENNA, LAST_XENNA
from curator_slurm.executors.private_names import Feature, PrivateName, PrivateNames

WORKERS = "workers"
LIMITS = "limits"
TEARDOWN = "teardown"
GPU_NAMES = "gpu names"
STEALING = "work stealing"
STREAMED_CHUNKS = "streamed chunks"
BATCHED_CHUNKS = "batched chunks"
CLUSTER = "cluster"
SOLVER = "solver"
GROUPS = "groups of nodes"
PLANS = "plans"
NO_MONITOR = "no monitor"
MONITOR_END = "end of the monitor"
GPU_CHECK = "gpu check"
RUNTIME_ENV = "runtime env"
NESTED_OPTIONS = "nested options"
WORKER_IMPORTS = "imports of workers"

_FEATURES = (
    Feature(
        WORKERS,
        "the pool of a stage's workers: results carry reports, workers may die, a task that kills its workers is found",
        "a worker that dies fails the run (or, from 0.5.12 on, its task is dropped after some deaths, which fails the "
        "run in the end), the loss of a node makes the whole run start again, all outputs stay in Ray's object store "
        "until the end, and the workers of a stage are not counted in the progress",
    ),
    Feature(
        LIMITS,
        "a worker that the engine has planned is refused beyond the limit",
        "`max_workers_per_stage` and `max_workers` have no effect",
        needs=(WORKERS,),
    ),
    Feature(
        TEARDOWN,
        "a worker is asked to call `teardown` of its stage before it is ended",
        "`teardown` of stages may not be called",
        needs=(WORKERS,),
    ),
    Feature(
        GPU_NAMES,
        "a worker gets the GPUs of its node by the names that they have in Ray's CUDA_VISIBLE_DEVICES",
        "workers get GPUs by their number on the node, whatever CUDA_VISIBLE_DEVICES of Ray says",
        needs=(WORKERS,),
    ),
    Feature(
        STEALING,
        "a worker may die while the engine takes a task away from it",
        "with `enable_work_stealing`, a worker that dies at the wrong moment fails the run",
        needs=(WORKERS,),
    ),
    Feature(
        STREAMED_CHUNKS,
        "in streaming mode, several small tasks travel as one object, and several small batches share a call",
        "in streaming mode, every task is an object of its own, which makes pipelines of many small tasks slower",
        needs=(WORKERS,),
    ),
    Feature(
        BATCHED_CHUNKS,
        "in batch mode, several small tasks travel as one object",
        "in batch mode, every task is an object of its own, which makes pipelines of many small tasks slower",
        needs=(WORKERS,),
    ),
    Feature(
        CLUSTER,
        "CPUs are counted so that every pipeline fits, GPUs as Ray counts them",
        "a pipeline that asks for more CPUs than Ray has is refused, `ignore_head_node` has no effect, and GPUs are "
        "used only where NVML finds them",
    ),
    Feature(
        SOLVER,
        "the engine's solver is asked, before the run, whether it can place a worker of every stage",
        "a pipeline that just fits the cluster may wait for CPUs indefinitely",
        needs=(CLUSTER,),
    ),
    Feature(
        PLANS,
        "in streaming mode, the engine's solver is asked as soon as the speed of all stages is known, and followed "
        "where that pays",
        "numbers of workers change every `autoscale_interval_s`, and only then, whatever their start costs",
        needs=(WORKERS,),
    ),
    Feature(
        GROUPS,
        "stages that name a group of nodes stay on it: the engine's solver is asked for each group by itself",
        "a pipeline with a stage that names a group of nodes is refused",
        needs=(CLUSTER,),
    ),
    Feature(
        NO_MONITOR,
        "the engine's resource monitor is left out: it takes a CPU and a process on each node",
        "the engine's resource monitor runs, as with `resource_monitor: true`: it takes a CPU and a process on each "
        "node, and needs Ray's dashboard (`cluster.dashboard`)",
    ),
    Feature(
        MONITOR_END,
        "with `resource_monitor`, its processes end with the run",
        "with `resource_monitor`, its processes may outlive the run",
    ),
    Feature(
        GPU_CHECK,
        "the engine's check for GPUs in a worker accepts names that are neither number nor UUID (MIG)",
        "workers on GPUs that are named otherwise than by number or UUID (MIG) are refused",
    ),
    Feature(
        RUNTIME_ENV,
        "a stage's `runtime_env` may hold all that Ray takes, and a worker's GPUs are named as on its node",
        "of a stage's `runtime_env`, only `env_vars` is used, and GPUs are given to workers by number",
    ),
    Feature(
        NESTED_OPTIONS,
        "`saturation_aware` is written as a mapping",
        "`saturation_aware` cannot be given as a mapping",
    ),
    Feature(
        WORKER_IMPORTS,
        "a worker imports the engine's class of a stage, and not the whole engine",
        "each worker imports the whole engine: about 0.3 s of a CPU more",
    ),
)

_POOL = "cosmos_xenna.ray_utils.actor_pool"
_WORKER = "cosmos_xenna.ray_utils.stage_worker"
_STREAMING = "cosmos_xenna.pipelines.private.streaming"
_MONITORING = "cosmos_xenna.pipelines.private.monitoring"
_RESOURCES = "cosmos_xenna.pipelines.private.resources"
_SPECS = "cosmos_xenna.pipelines.private.specs"
_PROBLEM = "cosmos_xenna.pipelines.private.data_structures"
_SOLVER = "cosmos_xenna.pipelines.private.autoscaling_algorithms:FragmentationBasedAutoscaler"


def _read(feature: str, owner: str, *names: str) -> tuple[PrivateName, ...]:
    """Attributes of one class."""
    return tuple(PrivateName(feature, f"{owner}.{name}") for name in names)


_WORKERS_NAMES = (
    PrivateName(
        WORKERS,
        f"{_POOL}:ActorPool",
        (
            "worker_allocator", "cluster_port_registry", "stage_interface", "params", "name", "queue_params",
            "pool_params",
        ),
    ),
    PrivateName(WORKERS, f"{_POOL}:ActorPool.update", ()),
    PrivateName(WORKERS, f"{_POOL}:ActorPool.stop", ()),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._process_completed_task", ("actor", "slot_num", "is_primary")),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._handle_actor_death", ("wg_id", "exc"), "0.5.12", optional=True),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._delete_worker_group", ("worker_group_id",)),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._move_pending_actor_to_ready_or_handle_failure", ("actor_id",)),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._move_pending_node_actor_to_pending", ("node_id",)),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._pick_worker_group_for_task", ("task",)),
    PrivateName(WORKERS, f"{_POOL}:ActorPool._find_worker_groups_with_free_slots", ()),
    *_read(
        WORKERS, f"{_POOL}:ActorPool",
        "_actors_waiting_for_node_setup", "_allocator", "_completed_tasks", "_nodes_with_completed_setups", "_params",
        "_pending_actors", "_pending_node_actors", "_ready_actors", "_task_queue", "_task_result_metadatas",
        "_worker_groups", "_worker_groups_to_create", "_worker_groups_to_delete", "num_ready_actors",
        "slots_per_actor",
    ),
    PrivateName(WORKERS, f"{_POOL}:Task", ("task_data", "origin_node_id")),
    *_read(WORKERS, f"{_POOL}:_ReadyActor", "actor_ref", "metadata", "num_used_slots", "slots"),
    *_read(WORKERS, f"{_POOL}:_Slot", "clear_task", "get_task", "has_task"),
    *_read(WORKERS, f"{_POOL}:_SlotData", "object_ref", "scheduled_time", "task"),
    *_read(WORKERS, f"{_POOL}:_PendingActor", "actor_ref", "metadata", "setup_call_ref"),
    *_read(WORKERS, f"{_POOL}:_PendingNodeActor", "actor_ref", "metadata", "node_setup_call_ref"),
    *_read(WORKERS, f"{_POOL}:_WorkerGroup", "actors", "worker_group"),
    *_read(WORKERS, f"{_RESOURCES}:WorkerGroup", "allocations", "id"),
    *_read(WORKERS, "cosmos_xenna.pipelines.private.allocator:WorkerAllocator", "remove_worker"),
    *_read(WORKERS, f"{_WORKER}:TaskResultMetadata", "num_returns", "timing"),
    *_read(WORKERS, f"{_WORKER}:TimingInfo", "process_end_time_s", "process_start_time_s"),
)  # fmt: skip

NAMES = PrivateNames(
    package="cosmos-xenna",
    tested=(FIRST_XENNA, LAST_XENNA),
    features=_FEATURES,
    names=(
        *_WORKERS_NAMES,
        PrivateName(LIMITS, f"{_POOL}:ActorPool.add_actor_to_create", ("worker",)),
        PrivateName(TEARDOWN, f"{_POOL}:ActorPool._try_delete_ready_actor", ("actor_id",)),
        PrivateName(TEARDOWN, f"{_WORKER}:StageWorker"),
        PrivateName(TEARDOWN, f"{_WORKER}:TaskData", ("data_refs",)),
        PrivateName(
            GPU_NAMES,
            f"{_POOL}:ActorPool._create_actor_for_worker_group",
            ("worker_group", "allocation", "index", "world_size"),
        ),
        PrivateName(STEALING, f"{_POOL}:ActorPool._attempt_steal_one_task", ("donor", "receiver")),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue", ("samples_per_task_window",)),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue.add_task", ("task",)),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue.avg_samples_per_task", ()),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue.get_all_samples", ()),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue.maybe_get_batch", ("stage_batch_size",)),
        PrivateName(STREAMED_CHUNKS, f"{_STREAMING}:Queue.by_node_id"),
        PrivateName(
            BATCHED_CHUNKS,
            "cosmos_xenna.pipelines.private.batch:grouping.split_by_chunk_size",
            ("iterable", "chunk_size"),
        ),
        PrivateName(
            CLUSTER,
            "cosmos_xenna.ray_utils.cluster:make_cluster_resources_from_ray_nodes",
            ("cpu_allocation_percentage",),
        ),
        PrivateName(CLUSTER, f"{_RESOURCES}:ClusterResources", ("nodes",)),
        PrivateName(CLUSTER, f"{_RESOURCES}:NodeResources", ("used_cpus", "total_cpus", "gpus", "name")),
        PrivateName(CLUSTER, f"{_RESOURCES}:GpuResources", ("index", "uuid_", "used_fraction")),
        PrivateName(SOLVER, f"{_RESOURCES}:Resources", ("cpus", "gpus")),
        PrivateName(SOLVER, f"{_RESOURCES}:Resources.to_worker_shape", ("cluster_resources",)),
        PrivateName(
            SOLVER,
            f"{_PROBLEM}:ProblemStage",
            ("name", "stage_batch_size", "worker_shape", "requested_num_workers", "over_provision_factor"),
        ),
        PrivateName(
            SOLVER, f"{_PROBLEM}:ProblemStageState", ("stage_name", "workers", "slots_per_worker", "is_finished")
        ),
        PrivateName(SOLVER, f"{_PROBLEM}:ProblemState", ("stages",)),
        PrivateName(SOLVER, f"{_PROBLEM}:Problem", ("cluster_resources", "stages")),
        PrivateName(SOLVER, _SOLVER, ("speed_estimation_window_duration_s", "speed_estimation_min_data_points")),
        PrivateName(SOLVER, f"{_SOLVER}.setup", ("problem",)),
        PrivateName(SOLVER, f"{_SOLVER}.autoscale", ("time", "problem_state")),
        PrivateName(PLANS, f"{_STREAMING}:autoscaling_algorithms"),
        PrivateName(PLANS, _SOLVER, ("speed_estimation_window_duration_s", "speed_estimation_min_data_points")),
        PrivateName(PLANS, f"{_SOLVER}.setup", ("problem",)),
        PrivateName(PLANS, f"{_SOLVER}.autoscale", ("time", "problem_state")),
        PrivateName(PLANS, f"{_SOLVER}.update_with_measurements", ("time", "measurements")),
        *_read(PLANS, f"{_PROBLEM}:Solution", "stages"),
        *_read(PLANS, f"{_PROBLEM}:StageSolution", "deleted_workers", "new_workers", "slots_per_worker"),
        *_read(PLANS, f"{_PROBLEM}:ProblemWorkerGroupState", "resources"),
        *_read(PLANS, f"{_RESOURCES}:WorkerResourcesInternal", "node"),
        PrivateName(PLANS, f"{_POOL}:ActorPool.add_actor_to_delete", ("worker",)),
        PrivateName(GROUPS, _SOLVER, ("speed_estimation_window_duration_s", "speed_estimation_min_data_points")),
        PrivateName(GROUPS, f"{_SOLVER}.setup", ("problem",)),
        PrivateName(GROUPS, f"{_SOLVER}.autoscale", ("time", "problem_state")),
        PrivateName(GROUPS, f"{_SOLVER}.update_with_measurements", ("time", "measurements")),
        PrivateName(GROUPS, f"{_PROBLEM}:Problem", ("cluster_resources", "stages")),
        *_read(GROUPS, f"{_PROBLEM}:Measurements", "rust"),  # and of the others
        *_read(GROUPS, f"{_PROBLEM}:Solution", "stages"),
        *_read(GROUPS, f"{_PROBLEM}:StageSolution", "deleted_workers", "new_workers", "slots_per_worker"),
        *_read(GROUPS, f"{_PROBLEM}:ProblemWorkerGroupState", "id", "resources"),
        PrivateName(GROUPS, f"{_PROBLEM}:ProblemWorkerGroupState.make", ("id", "resources")),
        PrivateName(NO_MONITOR, f"{_MONITORING}:RayResourceMonitor", ()),
        PrivateName(NO_MONITOR, f"{_MONITORING}:RayResourceMonitor.update", ()),
        PrivateName(NO_MONITOR, f"{_MONITORING}:get_ray_actors", ("state",)),
        PrivateName(MONITOR_END, f"{_MONITORING}:NodeResourceMonitor"),
        PrivateName(MONITOR_END, f"{_MONITORING}:RayResourceMonitor._monitors"),
        PrivateName(GPU_CHECK, "cosmos_xenna.utils.gpu:get_num_gpus", ()),
        *_read(RUNTIME_ENV, "cosmos_xenna.ray_utils.runtime_envs:RuntimeEnv", "extra_env_vars"),
        PrivateName(RUNTIME_ENV, "cosmos_xenna.ray_utils.runtime_envs:RuntimeEnv.to_ray_runtime_env", ()),
        PrivateName(RUNTIME_ENV, "cosmos_xenna.ray_utils.runtime_envs:RuntimeEnv.format", ()),
        PrivateName(
            NESTED_OPTIONS,
            f"{_SPECS}:SaturationAwareConfig",
            versions="0.5.12",
            optional=True,
        ),
        PrivateName(WORKER_IMPORTS, f"{_SPECS}:Stage"),
        PrivateName(WORKER_IMPORTS, f"{_SPECS}:StageSpec"),
    ),
)

ACTOR_CLASSES = frozenset({"StageWorker", "NodeResourceMonitor"})
"""The classes of the engine's actors, as Ray's table of actors names them."""


def nested_options() -> Any:
    """The class of the options in `saturation_aware`; None where the installed version has none."""
    try:
        return importlib.import_module(_SPECS).SaturationAwareConfig
    except (ImportError, AttributeError):
        return None


def stage_classes() -> Any:
    """The module with the engine's `Stage` and `StageSpec`: a small one, else the engine as a whole."""
    with contextlib.suppress(ImportError):
        module = importlib.import_module(_SPECS)
        if hasattr(module, "Stage") and hasattr(module, "StageSpec"):
            return module
    return importlib.import_module("cosmos_xenna.pipelines.v1")
