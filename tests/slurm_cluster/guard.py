"""Takes a cluster down when the session that started it is gone: also one that was killed, and cleaned up nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

from slurm_cluster import machine
from slurm_cluster.layout import Layout
from slurm_cluster.processes import Handle


def start(layout: Layout, owner: Handle) -> None:
    """Watch over a cluster from a process of its own, which ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "slurm_cluster.guard", layout.root, str(owner.pid), owner.start],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    machine.launched(process)


def main(directory: str, pid: str, start_time: str) -> None:
    from slurm_cluster.api import SlurmCluster

    owner, cluster = Handle(int(pid), start_time), SlurmCluster(directory)
    while owner.alive:
        if not cluster.is_owned_by(owner):
            return
        time.sleep(1)
    cluster.down(of=owner)


if __name__ == "__main__":
    main(*sys.argv[1:])
