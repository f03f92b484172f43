"""Which cluster of the catalogue this is, by Slurm's ClusterName or by the name of this machine.

The entries are looked through as text: reading them all as YAML would take longer than most commands do.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from curator_slurm.launcher.site import catalogue
from curator_slurm.launcher.spec.slurm_conf import cluster_name

_LISTED = re.compile(r"(?m)^  (cluster_names|hosts|assumed): \[([^\n]*)\](?=\n)")


@dataclass(frozen=True)
class Recognised:
    """An entry of the catalogue, and by what it was recognised."""

    name: str
    by: str


@cache
def recognised() -> Recognised | None:
    """The entry of the cluster that this machine belongs to; None where none is known, or several might be it."""
    return match(cluster_name(), os.uname().nodename, socket.gethostname())


def match(cluster: str | None, *hosts: str) -> Recognised | None:
    """The entry for a ClusterName or a name of a machine."""
    by_name, by_host = set(), set()
    for name in catalogue.names():
        lists = dict(patterns(name))
        if cluster is not None and cluster.lower() in lists.get("cluster_names", ()):
            by_name.add(name)
        if any(fnmatchcase(host, pattern) for host in hosts for pattern in lists.get("hosts", ())):
            by_host.add(name)
    for found, key, by in (
        (by_name, "cluster_names", f"ClusterName {cluster}"),
        (by_host, "hosts", f"host name {hosts[0] if hosts else ''}"),
    ):
        if len(found) == 1:
            name = found.pop()
            return Recognised(name, f"{by} (a guess)" if key in dict(patterns(name)).get("assumed", ()) else by)
    return None


def patterns(name: str) -> Iterator[tuple[str, list[str]]]:
    """The lists `cluster_names` and `hosts` of an entry, and which of the two no source says."""
    for key, items in _LISTED.findall((catalogue.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")):
        yield key, [item.strip().strip("\"'") for item in items.split(",") if item.strip()]
