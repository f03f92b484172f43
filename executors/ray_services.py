"""Ray's services on one node, and only those that a run needs; importable without Ray.

`ray start` is one long program: it starts a dashboard on every head, waits for it before the node itself starts, and a
client server and agents of the dashboard that a run does not use. So the node is started as `ray start` does it, by
Ray's own (private) `Node`, without them. Where the installed Ray has changed these names, see
`ray_internals.NODE_SERVICES`, the caller uses `ray start`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.executors.ray_internals import NAMES, NODE_SERVICES

_LOG_MONITOR_NICENESS = 5
"""It forwards what workers print: everything else that starts is needed earlier."""
_POLL_S = 0.05
_CONNECT_S = 2.0
_NO_AGENT = '--dashboard_agent_command=/bin/sh -c "exec sleep infinity"'
"""A raylet wants an agent of the dashboard, and ends with it; it needs nothing of it."""
_AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_STATE_API = "--modules-to-load=StateHead"


@dataclass(frozen=True)
class Services:
    """What is started on a node. `parameters` are those of Ray's RayParams."""

    head: bool
    parameters: dict[str, Any]
    dashboard: Dashboard = Dashboard.OFF
    agents: bool = False
    """Start the dashboard's agent: of use to a dashboard, and for metrics."""


class RunningServices:
    """The services of a node, until they are stopped or one of them ends."""

    def __init__(self, node: Any, dashboard: Future[None]) -> None:
        self._node = node
        self._dashboard = dashboard

    def start_rest(self) -> None:
        """The log monitor, which nobody waits for while the cluster forms; back when the dashboard is there, too.

        Raises:
            Exception: of Ray, where the dashboard does not start.
        """
        base: Any = type(self._node).__mro__[1]
        base.start_log_monitor(self._node)
        for started in self._node.all_processes.get("log_monitor", ()):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, started.process.pid, _LOG_MONITOR_NICENESS)
        self._dashboard.result()

    def ended(self) -> list[tuple[str, int]]:
        """Services that have ended by themselves, with their exit codes."""
        with contextlib.suppress(RuntimeError):  # something was being added
            return [(str(kind), int(process.returncode)) for kind, process in self._node.dead_processes()]
        return []

    def processes(self) -> list[Any]:
        """Each as a `subprocess.Popen`."""
        return [started.process for group in self._node.all_processes.values() for started in group]


def can_start() -> bool:
    """Whether the installed Ray has what this module uses. Imports Ray."""
    return NAMES.supports(NODE_SERVICES)


def start_services(services: Services) -> RunningServices:
    """Start Ray on this node; back when the node is a member of its cluster.

    Raises:
        Exception: of Ray, if it does not come up in half a minute.
    """
    node_module: Any = importlib.import_module("ray._private.node")
    programs: Any = importlib.import_module("ray._private.services")
    parameters: Any = importlib.import_module("ray._private.parameter")

    dashboard: Future[None] = Future()

    class Node(node_module.Node):  # type: ignore[misc]
        """Waits for nothing but the node, and starts less."""

        def start_log_monitor(self) -> None:
            pass

        def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
            """The control service is there; the dashboard starts beside the node."""
            if services.dashboard is Dashboard.OFF:
                return
            start = partial(
                super().start_api_server, include_dashboard=include_dashboard, raise_on_failure=raise_on_failure
            )
            threading.Thread(target=_start_and_stay, args=(start, dashboard), daemon=True).start()

    programs.start_ray_process = _with_less(programs.start_ray_process, services)
    settings = dict(services.parameters)
    if not services.agents and _reads_ports():
        settings["metrics_agent_port"] = 0  # it is read from a file then, which says that there is none
    given = parameters.RayParams(**settings)
    node = Node(given, head=services.head, shutdown_at_exit=False, spawn_reaper=True)
    if not services.head or services.dashboard is Dashboard.OFF:
        dashboard.set_result(None)
    return RunningServices(node, dashboard)


def _start_and_stay(start: Callable[[], None], started: Future[None]) -> None:
    """In a thread that never ends: Ray's programs end with the thread that has started them."""
    try:
        start()
    except Exception as error:
        started.set_exception(error)
    else:
        started.set_result(None)
    threading.Event().wait()


def _with_less(start: Callable[..., Any], services: Services) -> Callable[..., Any]:
    """Ray's function that starts one of its programs, which leaves out what is not wanted of it."""

    def started(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        if process_type == "raylet" and not services.agents:
            _say_that_no_agent_listens(command)
            command = [_NO_AGENT if part.startswith("--dashboard_agent_command=") else part for part in command]
        if process_type == "dashboard" and services.dashboard is Dashboard.STATE:
            command = [*command, _STATE_API]
        return start(command, process_type, *args, **kwargs)

    return started


def _reads_ports() -> bool:
    """Whether raylets read the ports of agents from files, as newer versions do."""
    return hasattr(importlib.import_module("ray._raylet"), "persist_port")


def _say_that_no_agent_listens(command: list[str]) -> None:
    """In place of the agent: newer raylets wait for files with its ports, which are -1 where it does not listen."""
    if not _reads_ports():
        return
    raylet: Any = importlib.import_module("ray._raylet")
    options = dict(part.removeprefix("--").split("=", 1) for part in command if "=" in part)
    for name in _AGENT_PORTS:
        raylet.persist_port(options["session_dir"], options["node_id"], name, -1)


def wait_until_open(address: str, timeout_s: float, pause_s: float = _POLL_S) -> bool:
    """Wait until something listens at an address: Ray itself looks every one or two seconds."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(max(0.0, pause_s - (time.monotonic() - began)))
