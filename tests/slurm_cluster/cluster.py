"""The cluster by hand: `python tests/slurm_cluster/cluster.py up`, then `exec`, `kill-node`, `down`."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from slurm_cluster import requirements  # noqa: E402
from slurm_cluster.api import SlurmCluster  # noqa: E402
from slurm_cluster.errors import ClusterError  # noqa: E402
from slurm_cluster.options import LOGIN, SUBMITTER, Options  # noqa: E402


def up(arguments: argparse.Namespace) -> None:
    """Boot and say how to go on."""
    began = time.monotonic()
    cluster = SlurmCluster()
    cluster.up(
        Options(
            nodes=arguments.nodes,
            cpus=arguments.cpus,
            memory_mb=arguments.mem,
            gpus=arguments.gpus,
            accounting=arguments.accounting,
            max_array=arguments.max_array,
            proctrack=arguments.proctrack,
            hosts_loopback=arguments.hosts_loopback,
            gateway=arguments.gateway,
            conf=tuple(arguments.conf),
            expose=tuple(str(Path(d).absolute()) for d in arguments.expose),
        )
    )
    print(f"{arguments.nodes} nodes are up after {time.monotonic() - began:.1f} s in {cluster.layout.root}")
    print(f"A shell as the user {SUBMITTER}:  {sys.executable} {sys.argv[0]} exec")
    print(f"Shared storage: {cluster.shared}")


def down(arguments: argparse.Namespace) -> None:
    """Stop everything."""
    SlurmCluster().down(purge=arguments.purge)


def status(_: argparse.Namespace) -> None:
    """Show power and cables, then Slurm's own view."""
    cluster = SlurmCluster()
    state = cluster.state
    for name, address in state.addresses.items():
        power = "on" if cluster.is_on(name) else "OFF"
        cable = "connected" if cluster.is_connected(name) else "CUT OFF"
        print(f"{name:8} {address:15} {power:4} {cable:10} PID 1 is {state.inits[name].pid} on the host")
    print("users:", ", ".join(f"{user} ({uid})" for user, uid in state.users.items()))
    if cluster.is_on(LOGIN):
        print(cluster.run(["sinfo", "-N", "-o", "%N %P %t %c %m %G"], user=None).stdout, end="")


def execute(arguments: argparse.Namespace) -> None:
    """Become a command on a node."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    user = None if arguments.user == "root" else arguments.user
    env = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
    full = SlurmCluster().command_line(
        command or ["bash"], user=user, node=arguments.node, cwd=arguments.chdir, env=env
    )
    os.execvp(full[0], full)


def kill_node(arguments: argparse.Namespace) -> None:
    """Cut power, or only the network."""
    if arguments.cut:
        SlurmCluster().cut_node(arguments.name)
    else:
        SlurmCluster().kill_node(arguments.name)


def restore_node(arguments: argparse.Namespace) -> None:
    """Undo kill-node."""
    SlurmCluster().restore_node(arguments.name)


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    main_parser = argparse.ArgumentParser(
        description="A multi-node Slurm cluster on one machine. $SLURM_CLUSTER_DIR says where it lives."
    )
    commands = main_parser.add_subparsers(required=True)
    default = Options()

    p = commands.add_parser("up", help="build and start the cluster")
    p.add_argument("--nodes", type=int, default=default.nodes)
    p.add_argument("--cpus", type=int, default=default.cpus, help="CPUs that each node claims")
    p.add_argument("--mem", type=int, default=default.memory_mb, help="MB that each node has, enforced")
    p.add_argument("--gpus", type=int, default=default.gpus, help="fake GPUs on each node")
    p.add_argument("--no-accounting", dest="accounting", action="store_false", help="no slurmdbd: sacct fails")
    p.add_argument("--max-array", type=int, default=default.max_array, help="MaxArraySize")
    p.add_argument("--proctrack", choices=["cgroup", "linuxproc"], default=default.proctrack)
    p.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="set a line of slurm.conf")
    p.add_argument("--expose", action="append", default=[], metavar="DIR", help="let users reach DIR on every node")
    p.add_argument("--hosts-loopback", action="store_true", help="a node's own name is 127.0.1.1 on it")
    p.add_argument("--no-gateway", dest="gateway", action="store_false", help="nodes get no default route")
    p.set_defaults(act=up, accounting=requirements.accounting_is_possible(), gateway=default.gateway)

    p = commands.add_parser("down", help="stop everything; files stay")
    p.add_argument("--purge", action="store_true", help="remove the files, too")
    p.set_defaults(act=down)

    p = commands.add_parser("status", help="show nodes")
    p.set_defaults(act=status)

    p = commands.add_parser("exec", help="run a command (default: a shell) on the login node")
    p.add_argument("--node", default=LOGIN)
    p.add_argument("--user", default=SUBMITTER, help=f"default {SUBMITTER}")
    p.add_argument("--chdir", metavar="DIR", help="default: the user's home")
    p.add_argument("command", nargs=argparse.REMAINDER)
    p.set_defaults(act=execute)

    p = commands.add_parser("kill-node", help="cut a node's power")
    p.add_argument("name")
    p.add_argument("--cut", action="store_true", help="pull only the network cable")
    p.set_defaults(act=kill_node)

    p = commands.add_parser("restore-node", help="give a node its power and cable back")
    p.add_argument("name")
    p.set_defaults(act=restore_node)
    return main_parser


def main() -> None:
    """Run one command; a ClusterError is a message, not a traceback."""
    arguments = parser().parse_args()
    try:
        arguments.act(arguments)
    except ClusterError as error:
        sys.exit(f"cluster.py: {error}")


if __name__ == "__main__":
    main()
