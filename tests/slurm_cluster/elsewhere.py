"""Slurm's commands outside the default PATH, as at sites with their own build; those of another version are on it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_cluster.api import SlurmCluster
from slurm_cluster.machine import SYSTEM_PATH

FOLDER = Path("/run/opt/slurm/bin")
"""Each node's own: /run is."""
PATH = f"{FOLDER}:{sys.prefix}/bin:{SYSTEM_PATH}"
"""What a module file makes of a user's PATH."""
WRONG = FOLDER.parents[1] / "other-slurm" / "bin"
"""Commands of another version in a folder of their own, such as a user's login files may put first on PATH."""
_COMMANDS = "sbatch srun scancel scontrol sinfo squeue sacct sacctmgr"
_MOVE = f"""
mkdir -p {FOLDER} {WRONG}
printf '#!/bin/sh\\necho "$0: error: Insane message length" >&2\\nexit 1\\n' >{FOLDER}/../other-version
chmod 755 {FOLDER}/../other-version
for name in {_COMMANDS}; do
    real=$(command -v $name)
    cp {FOLDER}/../other-version {WRONG}/$name
    cp "$real" {FOLDER}/ && mount --bind {FOLDER}/../other-version "$real" || exit 1
done
"""
_BACK = f"""
for name in {_COMMANDS}; do umount --lazy "$(command -v $name)"; done
rm -rf {FOLDER.parent} {WRONG.parent}
"""


@contextmanager
def slurm_elsewhere(cluster: SlurmCluster) -> Iterator[None]:
    """On all nodes, for the time of the block."""
    inits = list(cluster.state.inits.values())
    try:
        for init in inits:
            _in_mounts_of(init.pid, _MOVE, check=True)
        yield
    finally:
        for init in inits:
            _in_mounts_of(init.pid, _BACK, check=False)


def _in_mounts_of(pid: int, script: str, *, check: bool) -> None:
    command = ["nsenter", "-t", str(pid), "-m", "-p", "env", "-i", f"PATH={SYSTEM_PATH}", "sh", "-c", script]
    subprocess.run(command, check=check, stderr=None if check else subprocess.DEVNULL)
