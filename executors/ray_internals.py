"""Everything private of Ray that we use, and nothing of it anywhere else; importable without Ray.

Each function does without Ray's part where the installed version has changed it: see `NAMES`, and `Feature.lost`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from curator_slurm.executors.private_names import Feature, PrivateName, PrivateNames

AUTHENTICATION = "authentication"
FOLDER = "folder"
HEAD_NODE = "head node"
OBJECT_STORE = "object store"
ACTOR_TABLE = "actor table"
WORKER_PROCESS = "worker process"
ACTOR_CLASS = "actor class"
DATA_STEPS = "data steps"
NODE_LIST = "node list"
MODULE_PATH = "module path"
NODE_SERVICES = "node services"

_FEATURES = (
    Feature(
        AUTHENTICATION,
        "Ray reads its token once in a process; it is made to read it again",
        "a process that has been in a Ray with a token may not be able to connect to another one",
    ),
    Feature(
        FOLDER,
        "a Ray that an executor starts for itself keeps its files in a folder of its own",
        "such a Ray keeps its files in /tmp/ray, and they stay there",
    ),
    Feature(
        HEAD_NODE,
        "the head node is told from others by a resource that it alone has",
        "`ignore_head_node` has no effect",
    ),
    Feature(
        OBJECT_STORE,
        "one raylet is asked how full the object store of all nodes is",
        "progress does not show how full the object store is",
    ),
    Feature(
        ACTOR_TABLE,
        "cosmos-xenna's workers are found by the actors of the job, and ended if they do not end by themselves",
        "worker processes of cosmos-xenna before 0.5.9 may outlive the run, where no node agent ends them",
    ),
    Feature(
        WORKER_PROCESS,
        "a worker process sees that it is one, and ends with its Ray",
        "worker processes of cosmos-xenna before 0.5.9 may outlive a driver that is killed",
    ),
    Feature(
        ACTOR_CLASS,
        "cosmos-xenna's resource monitor is made to end with its Ray, by a class derived from its own",
        "with `resource_monitor`, processes of the monitor may outlive a driver that is killed",
    ),
    Feature(
        DATA_STEPS,
        "Ray Data calls us at every step of its loop, and is ended where no node can hold a stage any more",
        "a run on RayDataExecutor whose last suitable node is gone waits for another one indefinitely",
    ),
    Feature(
        MODULE_PATH,
        "workers do not import from the folder that the driver runs in: the user's modules are those that were "
        "submitted, and may hide none of installed packages",
        "workers import the modules beside the spec as they are when they start, before installed ones",
    ),
    Feature(
        NODE_LIST,
        "the node agent asks Ray's control service which nodes are alive, without being a driver",
        "the node agent asks as a driver does, which takes some seconds each time",
    ),
    Feature(
        NODE_SERVICES,
        "a node's Ray is started without the services that a run does not need, and without waiting for the dashboard",
        "the node agent uses `ray start`, which takes some seconds longer",
    ),
)
_JOB = "ray.job_config:JobConfig"
_HEAD = "node:__internal_head__"
_STATE = "ray._private.state:GlobalState"
_NODE = "ray._private.node:Node"
_CALLBACK = "ray.data._internal.execution.execution_callback:ExecutionCallback"
_PROGRAM = "ray._private.services:start_ray_process"
_PARAMS = "ray._private.parameter:RayParams"
SERVICE_PARAMETERS = (
    *("node_ip_address", "node_name", "temp_dir", "num_cpus", "num_gpus", "memory", "object_store_memory"),
    *("node_manager_port", "object_manager_port", "metrics_agent_port", "dashboard_agent_listen_port"),
    *("runtime_env_agent_port", "metrics_export_port", "min_worker_port", "max_worker_port", "gcs_server_port"),
    *("gcs_address", "no_monitor", "include_dashboard", "dashboard_host", "dashboard_port"),
    *("ray_client_server_port", "labels"),
)

NAMES = PrivateNames(
    package="ray",
    tested=("2.52.1", "2.60.0"),
    features=_FEATURES,
    names=(
        PrivateName(AUTHENTICATION, "ray._raylet:Config.initialize", ("config_list",)),
        PrivateName(AUTHENTICATION, "ray._raylet:AuthenticationTokenLoader.instance", ()),
        PrivateName(AUTHENTICATION, "ray._raylet:AuthenticationTokenLoader.reset_cache", ()),
        PrivateName(FOLDER, "ray:init", ("_temp_dir",)),
        PrivateName(HEAD_NODE, f"resource:{_HEAD}", check=lambda: _head_node_problem()),
        PrivateName(OBJECT_STORE, "ray._private.state:state"),
        PrivateName(
            OBJECT_STORE,
            "ray._private.internal_api:get_memory_info_reply",
            ("state", "timeout_seconds"),
            versions="2.60",
        ),
        PrivateName(ACTOR_TABLE, "ray._private.state:state"),
        PrivateName(ACTOR_TABLE, f"{_STATE}.actor_table", ("actor_id", "job_id")),
        PrivateName(WORKER_PROCESS, "ray:WORKER_MODE"),
        PrivateName(WORKER_PROCESS, "ray.runtime_context:RuntimeContext.worker"),
        PrivateName(ACTOR_CLASS, "ray.actor:_ActorClassMetadata.modified_class"),
        PrivateName(DATA_STEPS, f"{_CALLBACK}.on_execution_step", ("executor",)),
        PrivateName(DATA_STEPS, "ray.data:DataContext.custom_execution_callback_classes", versions="2.60"),
        PrivateName(MODULE_PATH, f"{_JOB}._serialize", ()),
        PrivateName(MODULE_PATH, f"{_JOB}._py_driver_sys_path"),
        PrivateName(NODE_LIST, "ray._raylet:GcsClient"),
        PrivateName(NODE_LIST, "ray._raylet:InnerGcsClient.get_all_node_info", ("timeout",)),
        PrivateName(NODE_SERVICES, _NODE, ("ray_params", "head", "shutdown_at_exit", "spawn_reaper")),
        PrivateName(NODE_SERVICES, f"{_NODE}.start_log_monitor", ()),
        PrivateName(NODE_SERVICES, f"{_NODE}.start_api_server", ("include_dashboard", "raise_on_failure")),
        PrivateName(NODE_SERVICES, f"{_NODE}.dead_processes", ()),
        PrivateName(NODE_SERVICES, f"{_NODE}.all_processes"),
        PrivateName(NODE_SERVICES, _PARAMS, check=lambda: _parameters_problem()),
        PrivateName(NODE_SERVICES, "ray._raylet:persist_port", ("dir", "node_id", "port_name", "port"), optional=True),
        PrivateName(NODE_SERVICES, _PROGRAM, ("command", "process_type", "fate_share")),
    ),
)

CONNECTION = (AUTHENTICATION, FOLDER, HEAD_NODE, OBJECT_STORE)
"""Features of every executor."""
ENGINE = (ACTOR_TABLE, WORKER_PROCESS, ACTOR_CLASS)
"""Features of XennaExecutor."""


def warn_of_changes(warning: Any, *features: str) -> None:
    """Warn of each of these features that is off, with what is lost."""
    NAMES.warn(warning, features)


def reload_authentication() -> None:
    """Let Ray read its authentication variables again: it keeps those of its import, and a token once it was used.

    Versions without these functions read the variables when they connect.
    """
    if NAMES.supports(AUTHENTICATION):
        raylet: Any = importlib.import_module("ray._raylet")
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def folder_option(folder: str) -> dict[str, str]:
    """Arguments of `ray.init` for a Ray that keeps its files in this folder."""
    return {"_temp_dir": folder} if NAMES.supports(FOLDER) else {}


def is_head(node: Mapping[str, Any]) -> bool:
    """Whether an entry of `ray.nodes()` is the head node."""
    return _HEAD in node.get("Resources", {})


def store_stats(timeout_s: float) -> Any:
    """Ray's counts of the object store over all nodes; None where this version does not give them.

    Raises:
        Exception: of gRPC, if no raylet answers in time.
    """
    if not NAMES.supports(OBJECT_STORE):
        return None
    api: Any = importlib.import_module("ray._private.internal_api")
    return api.get_memory_info_reply(_state(), timeout_seconds=timeout_s).store_stats


def actors_of_this_job() -> list[dict[str, Any]]:
    """All actors that this driver has started, dead or alive, as Ray's control service knows them."""
    if not NAMES.supports(ACTOR_TABLE):
        return []
    import ray

    job = ray.JobID(bytes.fromhex(ray.get_runtime_context().get_job_id()))
    table: dict[str, dict[str, Any]] = _state().actor_table(None, job_id=job)
    return list(table.values())


def is_worker_process() -> bool:
    """Whether this process is one of Ray's workers; False where this version does not tell."""
    if not NAMES.supports(WORKER_PROCESS):
        return False
    import ray

    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def class_of_actor(actor_class: Any) -> type | None:
    """The plain class behind a class decorated with `ray.remote`."""
    if not NAMES.supports(ACTOR_CLASS) or not hasattr(actor_class, "__ray_metadata__"):
        return None
    found: type = actor_class.__ray_metadata__.modified_class
    return found


def step_callback_base() -> type:
    """The class that Ray Data's callbacks derive from; `object` where this version has none."""
    if not NAMES.supports(DATA_STEPS):
        return object
    module: Any = importlib.import_module("ray.data._internal.execution.execution_callback")
    base: type = module.ExecutionCallback
    return base


def step_callback_setting() -> str | None:
    """The setting of Ray Data's context with the classes of its callbacks, where this version has it."""
    return "custom_execution_callback_classes" if NAMES.supports(DATA_STEPS) else None


def keep_current_folder_out() -> None:
    """Let no Ray that this process will be the driver of put its current folder on the module path of workers."""
    if not NAMES.supports(MODULE_PATH):
        return
    config: Any = importlib.import_module("ray.job_config").JobConfig
    serialize = config._serialize

    def without_current_folder(self: Any) -> Any:
        here = os.getcwd()  # noqa: PTH109 (as Ray does)
        self._py_driver_sys_path = [path for path in self._py_driver_sys_path if path != here]
        return serialize(self)

    config._serialize = without_current_folder


def node_lister(address: str) -> Callable[[float], set[str]]:
    """A function from a timeout in seconds to the addresses of the nodes that are alive in the Ray at an address.

    It raises where there is no answer (yet).
    """
    if not NAMES.supports(NODE_LIST):
        return partial(_nodes_seen_by_a_driver, address)
    client = importlib.import_module("ray._raylet").GcsClient(address=address)

    def alive(timeout_s: float) -> set[str]:
        nodes = client.get_all_node_info(timeout=timeout_s)
        return {node.node_manager_address for node in nodes.values() if node.state == 0}

    return alive


_LIST_NODES = """
import json, sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(json.dumps([node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]))
"""
_DRIVER_S = 60.0


def _nodes_seen_by_a_driver(address: str, timeout_s: float) -> set[str]:
    """In a process of its own: a driver ends with its Ray, and takes some seconds to connect."""
    command = [sys.executable, "-c", _LIST_NODES, address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=max(timeout_s, _DRIVER_S))
    return set(json.loads(done.stdout.splitlines()[-1]))


def _state() -> Any:
    return importlib.import_module("ray._private.state").state


def _head_node_problem() -> str | None:
    """Known only in a Ray that is connected: one of its nodes must have the resource."""
    import ray

    if not ray.is_initialized() or any(map(is_head, ray.nodes())):
        return None
    return f"the head node has no resource {_HEAD}"


def _parameters_problem() -> str | None:
    """What is passed by name must be there, in whatever order."""
    try:
        found = inspect.signature(importlib.import_module("ray._private.parameter").RayParams).parameters
    except (ImportError, AttributeError):
        return "ray._private.parameter.RayParams is missing"
    missing = sorted(set(SERVICE_PARAMETERS) - set(found))
    return f"ray._private.parameter.RayParams does not take {', '.join(missing)}" if missing else None
