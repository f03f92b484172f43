"""One node's Ray: prepared, started, started again if it dies at birth, and taken down without a trace."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.launcher.agent import (
    ephemeral_ports,
    gpu_health,
    ports,
    preflight,
    processes,
    ray_access,
    ray_logs,
    ray_process,
    session,
)
from curator_slurm.launcher.agent.allocation import visible_gpus
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.credentials import issue_certificate
from curator_slurm.launcher.agent.interfaces import at_port, host_of, version_of
from curator_slurm.launcher.agent.leaving import take_steps
from curator_slurm.launcher.agent.network import node_address
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.local_disk import LocalDisk, local_disk
from curator_slurm.launcher.plan.node_facts import addressing
from curator_slurm.launcher.runs.attempt_records import NodeState
from curator_slurm.launcher.runs.phases import Phase

START_ATTEMPTS = 3
"""`ray start` gives a raylet 30 s to register and dies on a loaded node; it is then started again."""

_STOP_GRACE_S = 0.5
"""For Ray to end in peace; its driver has ended, so that nothing is lost by its end."""


class Node:
    """This node's part of the Ray cluster."""

    def __init__(self, context: AgentContext) -> None:
        self.context = context
        self.session_dir: Path | None = None
        self.address = ""
        self.ray: ray_process.RayProcess | None = None
        self.starts = 0
        self.waiting: int | None = None
        """The driver that waits for Ray: a start of Ray that fails must not end it."""
        self.environment: dict[str, str] = {}
        """For processes that shall use this node's Ray; there once Ray has been started, or will not be."""
        self.disk = LocalDisk()
        self.versions = preflight.versions()
        """Those that must be the same on every node."""
        self._spilling: dict[str, str] = {}
        self._others_spill = False
        """To the run directory: nodes of some group do."""
        self._ports: ports.PortBlock | None = None
        self._ready: ray_process.RayProcess | None = None
        """Has been started, and waits for what to start."""
        self._expected_tls = False
        """By the process that is ready."""

    def prepare(self) -> None:
        """Make every check that can be made before Ray starts, and the session folder.

        Without Ray (`cluster.ray: false`) the node needs no address and no shared memory; its name stands for it.

        Raises:
            BootstrapError: with the failure class and the cure.
        """
        context = self.context
        spec, allocation = context.plan.spec, context.allocation
        if spec.cluster.ray:
            ray_access.check_version()
            self.address = self._own_address()
            preflight.check_shared_memory(ray_process.shared_memory_size(), ray_process.MIN_OBJECT_STORE)
        else:
            self.address = allocation.node_name
        self._check_gpus()
        tag = re.sub("[^0-9]", "", allocation.job_id)[-8:]
        self.disk = local_disk(context.plan, context.group)
        self._others_spill = any(local_disk(context.plan, group.name).is_memory for group in spec.resources.groups)
        folder = session.folder_of(self.disk.path, os.environ)
        self.session_dir = session.make_session_dir(folder, tag)
        if context.environment.pop(session.NO_HOME, ""):
            context.environment["HOME"] = str(self.session_dir / "tmp")
        session.check_room(folder, self.disk)
        self._spilling = session.spilling(folder, self.disk, context.node.spill)
        if self.disk.is_memory:
            context.node.spill.mkdir(mode=0o700, exist_ok=True)
        context.reached(Phase.PREFLIGHT)
        context.report(
            NodeState.READY,
            "ready for Ray" if spec.cluster.ray else "ready",
            address=self.address,
            session_dir=str(self.session_dir),
            versions=self.versions,
        )
        log.info(
            "%s is ready: address %s, %d CPUs, %d GPUs, %d MB, session in %s",
            allocation.node_name,
            self.address,
            allocation.cpus,
            allocation.gpus,
            allocation.memory >> 20,
            self.session_dir,
        )
        for note in allocation.notes:
            log.info(note)
        if not allocation.local and (note := session.note_on_memory(folder, self.disk)):
            log.warning(note)
        if not spec.cluster.ray:
            temporary = self.session_dir / "tmp"
            temporary.mkdir(mode=0o700, exist_ok=True)
            self.environment = {
                **context.environment,
                "TMPDIR": str(temporary),
                processes.MARKER: str(self.session_dir),
            }
        else:
            self._make_ready()

    def _check_gpus(self) -> None:
        """Ask the GPUs that Slurm has given, if any; on this machine alone logical ones may stand in.

        Raises:
            BootstrapError: one is missing or sick.
        """
        allocation = self.context.allocation
        if not allocation.gpus or allocation.local:
            return
        report = gpu_health.ask_gpus()
        if not report.tool:
            log.info("neither %s is there to ask about GPUs", " nor ".join(gpu_health.TOOLS))
        if report.driver:
            self.versions[preflight.GPU_DRIVER] = report.driver
        try:
            gpu_health.check_gpus(report, allocation.gpus, visible_gpus(os.environ))
        except BootstrapError as error:
            if self.context.plan.spec.cluster.check_gpus:
                raise
            log.warning("%s (cluster.check_gpus is false)", error)

    def _own_address(self, head: str | None = None) -> str:
        allocation = self.context.allocation
        return node_address(allocation.node_name, addressing(self.context.plan), local=allocation.local, head=head)

    def _follow_family(self, head: str) -> None:
        """Take an address of the family that the head's has: Ray's nodes call each other.

        Raises:
            BootstrapError: this node has none that will do.
        """
        if version_of(head) in (None, version_of(self.address)):
            return
        self.address = self._own_address(head)
        log.info("the head's address is %s, so this node's is %s", head, self.address)
        self.context.report(self.context.status.state, address=self.address)

    def _port_range(self) -> tuple[int, int]:
        """From where Ray's ports are taken on this node."""
        used, said = ephemeral_ports.range_of(self.context.plan)
        if said:
            log.warning(said)
        return used

    def _make_ready(self) -> None:
        """Start the process that will be Ray, with a fresh block of ports: it imports while a head is waited for."""
        assert self.session_dir is not None
        context = self.context
        allocation, cluster = context.allocation, context.plan.spec.cluster
        self._ports = ports.reserve_ports(self._port_range(), allocation.cpus)
        heap, store = ray_process.split_memory(
            self._memory_for_ray(), cluster.object_store_fraction, ray_process.shared_memory_size()
        )
        takes_tasks = not (allocation.is_head and context.plan.spec.has_own_head)
        node = ray_process.RayNode(
            address=self.address,
            ports=self._ports,
            session_dir=str(self.session_dir),
            cpus=allocation.cpus if takes_tasks else 0,
            gpus=allocation.gpus if takes_tasks else 0,
            memory=heap if takes_tasks else 0,
            object_store=store,
            dashboard=context.plan.spec.dashboard,
            metrics=cluster.metrics,
            nodes=len(allocation.nodes),
            group=context.group,
        )
        Path(node.temporary_dir).mkdir(mode=0o700, exist_ok=True)
        environment = self._environment_for(node)
        self._expected_tls = context.encrypted
        self._ready = ray_process.RayProcess(node, environment, context.node.ray_output, context.umask)

    def _memory_for_ray(self) -> int:
        """What the job has here, without what is for files in memory.

        Raises:
            BootstrapError: nothing is left.
        """
        whole = self.context.allocation.memory
        kept = self.disk.memory(whole)
        if not kept:
            return whole
        folder = self.disk.path or "/tmp"
        log.info("%d of %d MB are kept for files in %s, which is memory", kept >> 20, whole >> 20, folder)
        if whole - kept < 2 * ray_process.MIN_OBJECT_STORE:
            raise BootstrapError(
                FailureClass.ENVIRONMENT,
                f"the job has {whole >> 20} MB on {self.context.allocation.node_name}, and {kept >> 20} MB of them are "
                "kept for files in memory (storage.node_local): too little is left for Ray",
                "ask for more memory (resources.mem_per_node), or set storage.node_local.size in a site file",
            )
        return whole - kept

    def _environment_for(self, node: ray_process.RayNode) -> dict[str, str]:
        context = self.context
        xenna = context.plan.spec.uses_xenna
        base = {**self._spilling, **context.environment}
        return ray_process.ray_environment(base, node, context.credentials, xenna=xenna)

    def start_ray(self, head_address: str | None = None, head_raylet: str | None = None) -> ray_process.RayProcess:
        """Start Ray; as the head where `head_address` is None."""
        context = self.context
        self._drop_ray()
        self.starts += 1
        if self._ready is not None and self._expected_tls != context.encrypted:  # Ray reads that when it is imported
            self._ready.stop(0.0)
            self._free_ports()
            self._ready = None
        if self._ready is None:
            self._make_ready()
        assert self._ready is not None
        if head_address is not None:
            self._follow_family(host_of(head_address))
        node = replace(self._ready.node, address=self.address, head_address=head_address, head_raylet=head_raylet)
        if context.encrypted:
            assert self.session_dir is not None
            issue_certificate(context.cluster, self.session_dir, [context.allocation.node_name, self.address])
        self.environment = self._environment_for(node)
        self.ray, self._ready = self._ready, None
        self.ray.begin(node, self.environment)
        log.info("starting Ray (pid %d) with ports %d-%d", self.ray.pid, node.ports.first, node.ports.last)
        return self.ray

    def check_ray(self, head_address: str | None = None, head_raylet: str | None = None) -> bool:
        """If Ray has died at its start, start it again, a few times; True if it had to be.

        Raises:
            BootstrapError: it died too often; carries what it printed.
        """
        assert self.ray is not None
        code = self.ray.exit_code()
        if code is None:
            return False
        lines = self.ray.last_lines()
        log.warning("Ray ended with exit code %s:\n  %s", code, "\n  ".join(lines))
        if self.starts >= START_ATTEMPTS:
            raise BootstrapError(
                FailureClass.ENVIRONMENT,
                f"Ray died {several(self.starts, 'time')} while starting on "
                f"{self.context.allocation.node_name}; last output: " + (lines[-1] if lines else "nothing"),
                f"read {self.context.node.ray_output}",
            )
        self._kill_leftovers(but=self.waiting)
        self.context.stop.wait(0.5 * self.starts)
        self.start_ray(head_address, head_raylet)
        return True

    def refuses_strangers(self) -> bool:
        """Whether Ray on this node turns away callers without the token; False while it does not answer.

        Raises:
            BootstrapError: it lets them in.
        """
        assert self.ray is not None
        ray, name = self.ray.node, self.context.allocation.node_name
        manager = at_port(ray.address, ray.ports["node_manager"])
        doors = [ray_access.Door(f"Ray's node manager on {name}", manager, ray_access.NODE_MANAGER)]
        if ray.head_address is None:
            control = ray_access.Door(f"Ray's control service on {name}", ray.gcs_address, ray_access.CONTROL_SERVICE)
            doors.append(control)
        return all(ray_access.refuses_strangers(door, self.context.credentials) for door in doors)

    def note_phases(self) -> None:
        """Take over what Ray's process has noted."""
        for name, moment in (self.ray.phases() if self.ray is not None else {}).items():
            with contextlib.suppress(ValueError):
                self.context.reached(Phase(name), moment)

    def take_down(self) -> None:
        """Stop Ray, kill what is left of it, keep its logs, remove the session folder. Never raises."""
        began = time.monotonic()
        self.context.reached(Phase.ENDING)
        take_steps(
            ("noting what Ray has reached", self.note_phases),
            ("ending Ray and what it has started", self._end_processes),
            ("keeping Ray's logs", self._keep_logs),
            ("removing the session folder", self._remove_session),
            ("freeing the ports", self._free_ports),
        )
        log.info("cleaned up in %.1f s", time.monotonic() - began)

    def _end_processes(self) -> None:
        """All at once: who is asked one after the other has all the time that others take."""
        if self.session_dir is not None:
            names = processes.kill_ours(str(self.session_dir), _STOP_GRACE_S)
            log.info("ended %s", ", ".join(names) or "nothing")
        if self.ray is not None:
            self.ray.stop(0.0)
        self.context.reached(Phase.RAY_STOPPED)

    def _keep_logs(self) -> None:
        if self.ray is not None and self.session_dir is not None:
            packed = ray_logs.collect_ray_logs(self.session_dir / "ray", self.context.node.ray_logs)
            log.info("collected %d Ray log files", packed)
            self.context.reached(Phase.LOGS_PACKED)

    def _remove_session(self) -> None:
        if self.session_dir is not None:
            session.remove_session(self.session_dir)
        context = self.context
        spilled = {context.node.spill} if self.disk.is_memory else set()
        if context.allocation.is_head and (self.disk.is_memory or self._others_spill):  # lost nodes leave theirs
            spilled.update(context.cluster.nodes.glob(f"*/{context.node.spill.name}"))
        for folder in spilled:
            shutil.rmtree(folder, ignore_errors=True)

    def _free_ports(self) -> None:
        if self._ports is not None:
            self._ports.release()

    def _drop_ray(self) -> None:
        if self.ray is not None:
            self.ray.stop(0.0)
            self._free_ports()

    def _kill_leftovers(self, but: int | None = None) -> None:
        if self.session_dir is not None:
            names = processes.kill_ours(str(self.session_dir), but=but)
            if names:
                log.info("ended what was left: %s", ", ".join(names))
