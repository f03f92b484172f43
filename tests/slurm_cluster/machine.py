"""Power on and off: nodes as sets of namespaces, and the switch that joins them.

The switch is a network namespace of its own with a bridge in it. So nothing appears in the host's network,
two clusters cannot meet, and all of it vanishes with its processes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from slurm_cluster import cgroups
from slurm_cluster.config import PREFIX_BITS
from slurm_cluster.errors import ClusterError
from slurm_cluster.layout import Layout
from slurm_cluster.node_init import BOOTED, NodeSpec
from slurm_cluster.options import LOGIN
from slurm_cluster.processes import Handle, child_of
from slurm_cluster.state import State, tail
from slurm_cluster.waiting import wait_for

TESTS = Path(__file__).resolve().parent.parent
BRIDGE = "bridge0"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ENTER_GROUPS = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@"'
_RUN_INIT = "import sys; sys.path.insert(0, sys.argv[1]); from slurm_cluster.node_init import main; main()"

_launched: list["subprocess.Popen[bytes]"] = []
"""Processes that this one must reap."""


def launched(process: "subprocess.Popen[bytes]") -> None:
    """Keep a process of ours until it has ended: one that is dropped before is a warning."""
    _launched.append(process)


def reap() -> None:
    """Collect the exit status of what this process started and has ended."""
    _launched[:] = [p for p in _launched if p.poll() is None]


def start_switch(network: str) -> Handle:
    """Start the network: a bridge that also is the default gateway, and forwards nothing."""
    process = subprocess.Popen(
        ["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
    )
    launched(process)
    switch = Handle.of(process.pid)
    own, its = Path("/proc/self/ns/net"), Path(f"/proc/{process.pid}/ns/net")
    wait_for("the network's namespace", lambda: its.readlink() != own.readlink(), 20)
    in_switch(switch, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    in_switch(switch, "ip", "link", "set", "lo", "up")
    in_switch(switch, "ip", "link", "add", BRIDGE, "type", "bridge")
    in_switch(switch, "ip", "addr", "add", f"{network}.1/{PREFIX_BITS}", "dev", BRIDGE)
    in_switch(switch, "ip", "link", "set", BRIDGE, "up")
    return switch


def in_switch(switch: Handle | None, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command in the switch's network namespace."""
    if switch is None or not switch.alive:
        raise ClusterError("the cluster's network is gone: take the cluster down and up again")
    full = ["nsenter", "-t", str(switch.pid), "-n", *command]
    done = subprocess.run(full, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def set_link(state: State, name: str, *, up: bool) -> None:
    """Plug a node's cable in, or pull it out."""
    in_switch(state.switch, "ip", "link", "set", name, "up" if up else "down")


def link_is_up(state: State, name: str) -> bool:
    """Whether a node is connected."""
    return "state UP" in in_switch(state.switch, "ip", "link", "show", name, check=False).stdout


def power_on(state: State, layout: Layout, name: str) -> None:
    """Create a node's namespaces, plug its cable in and let its PID 1 boot; do not wait for that."""
    options = state.options
    doors = cgroups.create(layout.cgroup, name, None if name == LOGIN else options.memory_mb)
    flags = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    flags += ["--cgroup"] if doors else []
    init = [sys.executable, "-I", "-c", _RUN_INIT, str(TESTS)]
    with (layout.log / f"init.{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", _ENTER_GROUPS, "sh", *map(str, doors), "--", "unshare", *flags, *init],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd="/",
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
        )  # fmt: skip
    launched(process)
    wait_for(
        f"node {name} to start",
        lambda: process.poll() is not None or child_of(process.pid),
        30,
    )
    pid = child_of(process.pid)
    if pid is None:
        raise ClusterError(f"node {name} did not start: {tail(layout.log / f'init.{name}.log')}")
    state.inits[name] = Handle.of(pid)
    state.save(layout)
    in_switch(state.switch, "ip", "link", "del", name, check=False)
    in_switch(state.switch, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    in_switch(state.switch, "ip", "link", "set", name, "master", BRIDGE, "up")
    spec = NodeSpec(
        name=name,
        cluster=str(layout.root),
        address=state.addresses[name],
        gateway=f"{state.network}.1" if options.gateway else None,
        login=state.addresses[LOGIN],
        accounting=options.accounting,
        shm_mb=options.memory_mb // 2,
        tmp_mb=options.memory_tmp if name != LOGIN else 0,
        hierarchies=cgroups.hierarchies(),
        expose=list(options.expose),
    )
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(spec.to_line().encode())


def wait_until_booted(state: State, layout: Layout, name: str) -> None:
    """Wait for a node's daemons, and tell what its PID 1 said if they do not come."""
    init = state.inits[name]
    log = layout.log / f"init.{name}.log"
    booted = Path(f"/proc/{init.pid}/root{BOOTED}")
    wait_for(f"node {name} to boot", lambda: not init.alive or booted.exists(), 240, f"see {log}")
    if not init.alive:
        raise ClusterError(f"node {name} did not boot:\n{tail(log)}")


def entry_command(init: Handle, cwd: str, user: str | None, uid: int | None, env: dict[str, str]) -> list[str]:
    """Return the prefix that runs a command inside a node, as root or as one of its users."""
    enter = ["nsenter", "-t", str(init.pid), "-m", "-u", "-i", "-n", "-p"]
    enter += ["-C"] if cgroups.hierarchies() else []
    enter += [f"--wdns={cwd}"]
    if user:
        enter += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--init-groups"]
    return [*enter, "env", "-i", *(f"{key}={value}" for key, value in env.items())]


def must_be_root() -> None:
    """Namespaces, mounts and control groups need it."""
    if os.geteuid():
        raise ClusterError("only root can do this")


def signal_group(pid: int, number: int) -> None:
    """Signal a process group that may be gone already."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def describe(command: Sequence[str]) -> str:
    """Shorten a command for a message."""
    text = " ".join(command)
    return text if len(text) < 200 else text[:200] + "..."
