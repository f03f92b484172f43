"""SlurmCluster: what tests and the command line do with a cluster."""

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_cluster import build, cgroups, guard, machine, requirements
from slurm_cluster.errors import ClusterError, ClusterInUseError
from slurm_cluster.layout import Layout, default_directory, default_network
from slurm_cluster.options import LOGIN, NEIGHBOUR, SUBMITTER, Options
from slurm_cluster.processes import Handle, Process, in_namespace_of
from slurm_cluster.state import State, load
from slurm_cluster.waiting import wait_for

REPOSITORY = machine.TESTS.parent

_LISTENING = """
import json, psutil, sys
uid = json.loads(sys.argv[1])
found = set()
for socket in psutil.net_connections("inet"):
    if socket.pid and (socket.status == "LISTEN" or socket.type.name == "SOCK_DGRAM"):
        process = psutil.Process(socket.pid)
        if uid in (None, process.uids().real):
            found.add((socket.laddr.ip, socket.laddr.port, process.name()))
print(json.dumps(sorted(found)))
"""


def default_exposures() -> tuple[str, ...]:
    """Return the clone, the running venv and the Python below it."""
    return tuple(dict.fromkeys([str(REPOSITORY), sys.prefix, sys.base_prefix]))


class SlurmCluster:
    """A cluster in a directory: there may be several, in different directories.

    The directory, not the object, is the cluster: what one process boots another can use. Paths under
    `shared` are the same on the host and on all nodes.
    """

    user = SUBMITTER
    other_user = NEIGHBOUR
    login = LOGIN

    def __init__(self, directory: Path | str | None = None, network: str | None = None) -> None:
        """Refer to a cluster, up or down; by default the one of `$SLURM_CLUSTER_DIR`."""
        self.layout = Layout(Path(directory).absolute() if directory else default_directory())
        self._network = network or default_network()

    # --- up and down ------------------------------------------------------------------------------

    def up(self, options: Options | None = None, *, owner: Handle | None = None, fresh: bool = False) -> None:
        """Boot; takes away first what a killed session left in this directory.

        `owner` is the process without which nobody needs the cluster any more: it is taken down when that has ended,
        however it did. `fresh` empties the shared
        storage, which otherwise is kept. Raises ClusterInUseError when a wanted cluster is up already.
        """
        machine.must_be_root()
        options = options or Options()
        options = replace(options, expose=(*default_exposures(), *options.expose))
        if reason := requirements.obstacle(accounting=options.accounting):
            raise ClusterError(reason)
        with self._lock():
            before = load(self.layout)
            if before and before.in_use:
                raise ClusterInUseError(f"the cluster in {self.layout.root} is up already: take it down first")
            self._clear()
            if fresh:
                build.remove(self.layout)
            try:
                state = build.prepare(self.layout, options, self._network, owner)
                if owner:
                    guard.start(self.layout, owner)
                self._boot(state)
            except BaseException:
                self._clear()
                raise

    def _boot(self, state: State) -> None:
        state.switch = machine.start_switch(state.network)
        state.save(self.layout)
        for name in state.addresses:  # the login node first
            machine.power_on(state, self.layout, name)
            if name == LOGIN:
                machine.wait_until_booted(state, self.layout, name)
        for name in state.options.node_names:
            machine.wait_until_booted(state, self.layout, name)
        self.wait_until_idle()
        if state.options.accounting:
            self.run(["sacctmgr", "-Qi", "add", "account", "lab"], user=None)
            for user in state.users:
                self.run(["sacctmgr", "-Qi", "add", "user", user, "account=lab"], user=None)

    def down(self, *, purge: bool = False, of: Handle | None = None) -> None:
        """Stop everything; files stay for reading, unless purged. With `of`, only if it has this owner."""
        machine.must_be_root()
        with self._lock():
            if of and not self.is_owned_by(of):
                return
            self._clear()
            if purge:
                build.remove(self.layout)

    def _clear(self) -> None:
        state = load(self.layout)
        for process in state.processes() if state else []:
            process.kill()
        cgroups.kill_members(self.layout.cgroup)
        cgroups.remove_cluster(self.layout.cgroup)
        machine.reap()
        self.layout.state.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time changes a cluster."""
        self.layout.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.layout.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- what there is ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of a cluster that is up."""
        state = load(self.layout)
        if not state:
            raise ClusterError(f"there is no cluster up in {self.layout.root}")
        return state

    @property
    def in_use(self) -> bool:
        """Whether the directory holds a running cluster that is not a leftover."""
        state = load(self.layout)
        return bool(state and state.in_use)

    def is_owned_by(self, owner: Handle) -> bool:
        """Whether the cluster that is up was started for this process."""
        state = load(self.layout)
        return bool(state and state.owner == owner)

    @property
    def nodes(self) -> list[str]:
        """Compute nodes: n1, n2, ..."""
        return self.state.options.node_names

    @property
    def shared(self) -> Path:
        """Shared storage, writable for everyone."""
        return self.layout.shared

    def home(self, user: str = SUBMITTER) -> Path:
        """A user's home, on the shared storage."""
        return self.layout.home(user)

    def uid(self, user: str = SUBMITTER) -> int:
        """A user's number (the group has the same)."""
        return self.state.users[user]

    def is_on(self, name: str) -> bool:
        """Whether a node has power."""
        return self._init(name).alive

    def is_connected(self, name: str) -> bool:
        """Whether a node has power and its cable is in."""
        return self.is_on(name) and machine.link_is_up(self.state, name)

    def _init(self, name: str) -> Handle:
        try:
            return self.state.inits[name]
        except KeyError:
            raise ClusterError(f"there is no node {name!r} in {self.layout.root}") from None

    # --- commands ---------------------------------------------------------------------------------

    def run(
        self,
        command: Sequence[str],
        *,
        user: str | None = SUBMITTER,
        node: str = LOGIN,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 120,
        check: bool = False,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on a node in a clean environment and return its output as text.

        The test venv's bin comes first on PATH; `env` adds to that environment. A command that outlives
        `timeout` is killed with its children, and the error shows what it had printed.
        """
        with self.popen(
            command, user=user, node=node, cwd=cwd, env=env,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        ) as process:  # fmt: skip
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired:
                machine.signal_group(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                raise ClusterError(
                    f"`{shlex.join(command)}` was not done after {timeout:g} s; stdout:\n{out}\nstderr:\n{err}"
                ) from None
            except BaseException:
                machine.signal_group(process.pid, signal.SIGKILL)
                raise
        if check and process.returncode:
            raise ClusterError(
                f"`{shlex.join(command)}` ended with {process.returncode}; stdout:\n{out}\nstderr:\n{err}"
            )
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def popen(
        self,
        command: Sequence[str],
        *,
        user: str | None = SUBMITTER,
        node: str = LOGIN,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a command on a node; the process returned is the gate into the node, not the command.

        The gate leaves with the command's exit status but does not hand on signals: find the command
        with `processes` to signal it, or kill the gate's process group to end both.
        """
        return subprocess.Popen(
            self.command_line(command, user=user, node=node, cwd=cwd, env=env), start_new_session=True, **options
        )

    def command_line(
        self,
        command: Sequence[str],
        *,
        user: str | None = SUBMITTER,
        node: str = LOGIN,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the host's command that runs `command` on a node."""
        init = self._init(node)
        if not init.alive:
            raise ClusterError(f"node {node} is off")
        home = str(self.home(user)) if user else "/root"
        environment = {
            "PATH": f"{sys.prefix}/bin:{machine.SYSTEM_PATH}",
            "HOME": home,
            "USER": user or "root",
            "LOGNAME": user or "root",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            **(env or {}),
        }
        uid = self.uid(user) if user else None
        prefix = machine.entry_command(init, str(cwd or (home if user else "/")), user, uid, environment)
        return [*prefix, *command]

    # --- accidents --------------------------------------------------------------------------------

    def kill_node(self, name: str) -> None:
        """Cut a node's power; of the login node, that is a crash of the controller."""
        with self._lock():
            self._init(name).kill()
            machine.reap()

    def cut_node(self, name: str) -> None:
        """Pull a node's network cable; its processes live on."""
        with self._lock():
            self._init(name)
            machine.set_link(self.state, name, up=False)

    def restore_node(self, name: str, *, wait: bool = True) -> None:
        """Give power or cable back, and wait until the node's daemons are up."""
        with self._lock():
            state = self.state
            if self._init(name).alive:
                machine.set_link(state, name, up=True)
            else:
                machine.power_on(state, self.layout, name)
                if wait:
                    machine.wait_until_booted(state, self.layout, name)

    def heal(self) -> None:
        """Undo all accidents, end all jobs and sweep the nodes, so that the next test finds the cluster as new."""
        state = self.state
        for name in state.addresses:
            if not self.is_connected(name):
                self.restore_node(name)
        if self._squeue():
            for user in state.users:
                self.run(["scancel", f"--user={user}"], user=None)
            wait_for("all jobs to be gone", lambda: not self._squeue(), 180)
        for user in state.users:
            self._sweep(user)
        if self._idle_nodes() != state.options.nodes:
            for name in self._unusable_nodes():
                self.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"], user=None)
            self.wait_until_idle()

    def _sweep(self, user: str) -> None:
        """Kill and remove what a user has left on the nodes."""
        for process in self.processes(user):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        wait_for(f"{user}'s processes to be gone", lambda: not self.processes(user), 30)
        for path in sorted(self._files(user).values(), key=lambda p: len(p.parts), reverse=True):
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    # --- what Slurm says --------------------------------------------------------------------------

    def _squeue(self, *arguments: str) -> list[str]:
        """Job ids and states; a controller that does not answer in time is asked again."""
        while True:
            asked = self.run(["squeue", "-h", "-r", "-o", "%i %T", *arguments], user=None)
            if asked.returncode == 0:
                return asked.stdout.splitlines()
            if "Invalid job id" in asked.stderr:
                return []
            if "Socket timed out" not in asked.stderr and "Unable to contact" not in asked.stderr:
                raise ClusterError(f"squeue: {asked.stderr}")

    def job_states(self, job: str | int) -> list[str]:
        """States of a job, or of the elements of an array, that squeue still knows."""
        return [line.split()[1] for line in self._squeue("-j", str(job), "-t", "all")]

    def wait_for_job(self, job: str | int, *, state: str | None = None, timeout: float = 300) -> None:
        """Wait until a job (all elements of an array) is in a state, or has left the queue."""

        def reached() -> bool:
            if state:
                states = self.job_states(job)
                return bool(states) and all(s == state for s in states)
            return not self._squeue("-j", str(job))

        try:
            wait_for(f"job {job} to be {state or 'gone'}", reached, timeout)
        except ClusterError as error:
            shown = self.run(["scontrol", "show", "job", str(job)], user=None)
            raise ClusterError(
                f"{error}; it is\n{shown.stdout or shown.stderr}\nlogs are in {self.layout.log}"
            ) from None

    def _idle_nodes(self) -> int:
        asked = self.run(["sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D %T"], user=None)
        words = asked.stdout.split()
        return int(words[0]) if words[1:] == ["idle"] else 0

    def _unusable_nodes(self) -> list[str]:
        """Nodes that Slurm has given up until someone says otherwise."""
        asked = self.run(["sinfo", "-h", "-N", "-p", "main", "-t", "drain,down", "-o", "%N"], user=None)
        return asked.stdout.split()

    def wait_until_idle(self, timeout: float = 180) -> None:
        """Wait until Slurm calls every node idle."""
        nodes = self.state.options.nodes
        wait_for("all nodes to be idle", lambda: self._idle_nodes() == nodes, timeout, f"see {self.layout.log}")

    # --- what is left on the nodes ----------------------------------------------------------------

    def processes(self, user: str | None = SUBMITTER, node: str | None = None) -> list[Process]:
        """List a user's processes on a node or on all; None means everybody's, daemons too."""
        state = self.state
        wanted = None if user is None else state.users[user]
        names = [node] if node else list(state.addresses)
        return [
            process
            for name in names
            if state.inits[name].alive
            for process in in_namespace_of(name, state.inits[name].pid)
            if wanted in (None, process.uid)
        ]

    def listening(self, node: str, user: str | None = SUBMITTER) -> list[tuple[str, int, str]]:
        """List where a user's processes listen on a node, TCP and UDP: address, port, and the command's name."""
        state = self.state
        uid = None if user is None else state.users[user]
        done = self.run([sys.executable, "-c", _LISTENING, json.dumps(uid)], user=None, node=node, check=True)
        return [tuple(found) for found in json.loads(done.stdout)]

    @contextmanager
    def capture(self, words: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Look for words in everything that the network carries; the dict given is filled when the block ends."""
        found: dict[str, Any] = {}
        switch = self.state.switch
        assert switch is not None
        command = ["nsenter", "-t", str(switch.pid), "-n", sys.executable, str(Path(__file__).with_name("capture.py"))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(list(words)), file=process.stdin, flush=True)
            assert process.stdout.readline() == "listening\n"
            try:
                yield found
            finally:
                process.stdin.close()
                found.update(json.loads(process.stdout.readline()))

    def files(self, user: str | None = SUBMITTER, node: str | None = None) -> list[str]:
        """List what a user has in /tmp, /var/tmp and /dev/shm of a node or of all, as `node:path`.

        A node without power still has its disk. None means everybody's files.
        """
        return list(self._files(user, node))

    def _files(self, user: str | None, node: str | None = None) -> dict[str, Path]:
        """Map each to where the host finds it."""
        state = self.state
        wanted = None if user is None else state.users[user]
        found = {}
        for name in [node] if node else state.addresses:
            disk = self.layout.node(name)
            roots = [("/tmp", disk / "tmp"), ("/var/tmp", disk / "var-tmp")]
            if state.inits[name].alive:
                roots.append(("/dev/shm", Path(f"/proc/{state.inits[name].pid}/root/dev/shm")))
            for shown, root in roots:
                for path in root.rglob("*"):
                    with suppress(OSError):
                        if wanted in (None, path.lstat().st_uid):
                            found[f"{name}:{shown}/{path.relative_to(root)}"] = path
        return found


def this_session() -> Handle:
    """Return the owner to name for a cluster that is needed only while this process lives."""
    return Handle.of(os.getpid())
