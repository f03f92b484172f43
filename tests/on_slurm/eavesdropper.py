"""Another user who reads all command lines on all nodes, as `ps` shows them to everybody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

_SAMPLER = """
import os, sys, time
seen = set()
while not os.path.exists(sys.argv[1]):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as stream:
                line = stream.read()
        except OSError:
            continue
        if line not in seen:
            seen.add(line)
            print(line, flush=True)
    time.sleep(0.1)
"""
_OF_THE_CLUSTER = (b"setpriv\0--reuid", b"env\0-i\0PATH=")
"""How the test cluster itself enters a node."""


@contextmanager
def command_lines_of_all(cluster: SlurmCluster, folder: Path) -> Iterator[list[str]]:
    """Every command line of every process on every node, from now on; the list is filled at the end."""
    found: list[str] = []
    stop = folder / "stop"
    logs = {node: folder / f"command-lines-{node}" for node in (cluster.login, *cluster.nodes)}
    with ExitStack() as stack:
        samplers = []
        for node, log in logs.items():
            stream = stack.enter_context(log.open("wb"))
            command = ["python", "-I", "-S", "-c", _SAMPLER, str(stop)]
            samplers.append(cluster.popen(command, user=cluster.other_user, node=node, stdout=stream))
        try:
            wait_for("the eavesdroppers", lambda: all(log.stat().st_size for log in logs.values()), 60)
            yield found
        finally:
            stop.touch()
            for sampler in samplers:
                sampler.wait(60)
    for log in logs.values():
        for text in log.read_text().splitlines():
            line: bytes = ast.literal_eval(text)
            if not line.startswith(_OF_THE_CLUSTER):
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
