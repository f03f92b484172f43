"""How an executor connects to Ray: an existing connection, the cluster in RAY_ADDRESS, or a private Ray."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.quiet_ray import METRICS_OFF, PRESTART_OFF
from curator_slurm.executors import ray_internals
from curator_slurm.executors.requested_workers import fixed_workers

log = logging.getLogger(__name__)

MIN_LOCAL_CPUS = 4
"""Minimum number of logical CPUs of a Ray that an executor starts: several one-CPU stages must run on two cores."""


@contextlib.contextmanager
def ray_session(env_vars: Mapping[str, str] | None = None, stages: Sequence[Any] = ()) -> Iterator[Any]:
    """Connect to Ray for one run and disconnect after it; yields the ray module.

    A connection that the caller has made is used and kept. Else RAY_ADDRESS names the cluster. Without it a private
    one is started on this machine, with a folder and a token of its own, and ended with the run.
    `env_vars` are set in every worker of the run (where the connection is made here). A private Ray is given as many
    logical CPUs as one worker of each of the `stages` needs, so that any pipeline runs on any machine.
    """
    import ray

    if ray.is_initialized():
        _check_connected()
        yield ray
        return
    runtime_env = {"env_vars": dict(env_vars)} if env_vars else None
    with contextlib.ExitStack() as stack:
        if os.environ.get("RAY_ADDRESS"):
            ray_internals.reload_authentication()  # this process may have been in another cluster before
            with _quietly(ray):
                ray.init(address=os.environ["RAY_ADDRESS"], runtime_env=runtime_env, log_to_driver=True)
        else:
            _start_private(ray, stack, runtime_env, cpus_for(stages))
        stack.callback(ray.shutdown)
        _check_connected()
        yield ray


@contextlib.contextmanager
def _quietly(ray: Any) -> Iterator[None]:
    """Connect without a line on a dashboard that only the first node can open, and leave SIGTERM as it was.

    Ray's own handler of SIGTERM prints a native traceback, which reads like a crash in the log of a cancelled run.
    """
    logger, in_main_thread = (
        logging.getLogger(getattr(ray.init, "__module__", "ray")),
        threading.current_thread() is threading.main_thread(),
    )
    before = signal.getsignal(signal.SIGTERM)
    logger.addFilter(_names_no_dashboard)
    try:
        yield
    finally:
        logger.removeFilter(_names_no_dashboard)
        if in_main_thread and before is not None:
            signal.signal(signal.SIGTERM, before)


def _names_no_dashboard(record: logging.LogRecord) -> bool:
    return "View the dashboard" not in str(record.msg)


def _check_connected() -> None:
    """Warn of private names of Ray that have changed, now that all of them can be checked."""
    ray_internals.warn_of_changes(log.warning, *ray_internals.CONNECTION)


def alive_nodes() -> set[str]:
    """Ids of the nodes that are alive."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def dead_nodes() -> set[str]:
    """Ids of the nodes that Ray has had and has no more."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def cpus_for(stages: Sequence[Any]) -> int:
    """CPUs for the fixed number of workers, or one, of every stage, plus what the engines reserve."""
    total = 0.0
    for stage in stages:
        total += float(stage.resources.cpus) * (fixed_workers(stage, lambda: 1) or 1)
    return math.ceil(total / 0.95) + 1 if total else 0


def _start_private(ray: Any, stack: contextlib.ExitStack, runtime_env: dict[str, Any] | None, needed_cpus: int) -> None:
    """Start Ray on this machine for this process alone."""
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    quiet = {**METRICS_OFF, **PRESTART_OFF}
    stack.enter_context(environment(**{name: value for name, value in quiet.items() if name not in os.environ}))
    if not os.environ.get("RAY_AUTH_MODE"):
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        stack.callback(ray_internals.reload_authentication)
        stack.enter_context(environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token)))
        ray_internals.reload_authentication()
    real = len(os.sched_getaffinity(0))
    cpus = max(real, MIN_LOCAL_CPUS, needed_cpus)
    if cpus > real:
        log.warning("this machine has %d CPUs; the local Ray starts with %d logical CPUs, which share them", real, cpus)
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        runtime_env=runtime_env,
        **ray_internals.folder_option(str(folder / "ray")),
    )


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables of this process for the time of the context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
