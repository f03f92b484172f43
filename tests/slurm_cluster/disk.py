"""Shared storage that can be frozen: one file system in a file, mounted at the same place on the host and all nodes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_cluster.api import SlurmCluster

_SIZE = "200M"


class Disk:
    """A mounted file system that all nodes share; while it is frozen, every write to it waits, and reads go on."""

    def __init__(self, folder: Path) -> None:
        """Refer to the file system that is mounted over a folder."""
        self.folder = folder

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let every write wait until the end of the block."""
        _run("fsfreeze", "--freeze", str(self.folder))
        try:
            yield
        finally:
            _run("fsfreeze", "--unfreeze", str(self.folder))


@contextmanager
def mounted_disk(cluster: SlurmCluster, folder: Path, image: Path) -> Iterator[Disk]:
    """Mount a new file system over a folder, for the time of the block.

    One loop device in all mount namespaces is one file system: it is frozen everywhere at once. A node that is switched
    on again is without it.
    """
    _run("truncate", f"--size={_SIZE}", str(image))
    _run("mkfs.ext4", "-q", str(image))
    device = _run("losetup", "--find", "--show", str(image)).strip()
    places = [[], *(["nsenter", "-t", str(init.pid), "-m"] for init in cluster.state.inits.values())]
    try:
        for place in places:
            _run(*place, "mount", device, str(folder))
        yield Disk(folder)
    finally:
        for place in places:
            subprocess.run([*place, "umount", "--lazy", str(folder)], check=False, stderr=subprocess.DEVNULL)
        _run("losetup", "--detach", device)
        image.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
