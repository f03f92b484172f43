"""Nodes as some sites have them, for the time of a block: on the nodes of the session's cluster, without a boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from slurm_cluster import SlurmCluster

MEMORY = "/tmp/memory-of-a-node-that-has-no-disk"
"""A folder that is memory, which the kernel charges to the job that writes there; too long for sockets."""


@contextmanager
def odd_nodes(cluster: SlurmCluster, addresses: Mapping[str, str]) -> Iterator[None]:
    """Nodes by name with one more address each, whose own name is 127.0.1.1, without a gateway, and with MEMORY."""

    def on(node: str, *command: str) -> None:
        cluster.run(command, user=None, node=node, check=True)

    with ExitStack() as undo:
        for node, address in addresses.items():
            hosts = cluster.layout.hosts(node)  # it is the node's /etc/hosts, so it may not be replaced
            plain = hosts.read_text()
            undo.callback(hosts.write_text, plain)
            hosts.write_text(f"127.0.1.1\t{node}\n{plain}")
            gateway = cluster.run(["ip", "route", "show", "default"], user=None, node=node, check=True).stdout.split()
            on(node, "ip", "route", "del", "default")
            undo.callback(on, node, "ip", "route", "add", *gateway)
            on(node, "ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
            undo.callback(on, node, "ip", "addr", "del", f"{address}/64", "dev", "eth0")
            on(node, "mkdir", "-p", MEMORY)
            undo.callback(on, node, "rmdir", MEMORY)
            on(node, "mount", "-t", "tmpfs", "-o", "mode=1777", "memory", MEMORY)
            undo.callback(on, node, "umount", "--lazy", MEMORY)
        yield
