"""Shared storage that can be frozen, full and read-only: a file system in a file, at one place on host and nodes."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from slurm_cluster.api import SlurmCluster

_SIZE = "200M"


class Disk:
    """A mounted file system that all nodes share; while it is frozen, every write to it waits, and reads go on."""

    def __init__(self, folder: Path, places: Sequence[Sequence[str]] = ()) -> None:
        """Refer to the file system that is mounted over a folder; `places` are prefixes of commands in each node."""
        self.folder = folder
        self._places = places

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let every write wait until the end of the block."""
        _run("fsfreeze", "--freeze", str(self.folder))
        try:
            yield
        finally:
            _run("fsfreeze", "--unfreeze", str(self.folder))

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let nothing more have room, for root neither, until the end of the block."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 10):
                    with suppress(OSError):
                        while file.write(bytes(size)) == size:
                            pass
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Let nobody open a file to write, until the end of the block; what is open, and working directories, go on.

        It is another mount over the same folder: one with open files cannot be made read-only.
        """
        with ExitStack() as undo:
            for place in self._places:
                _run(*place, "mount", "--bind", str(self.folder), str(self.folder))
                undo.callback(_run, *place, "umount", "--lazy", str(self.folder))
                _run(*place, "mount", "-o", "remount,bind,ro", str(self.folder))
            yield


@contextmanager
def mounted_disk(cluster: SlurmCluster, folder: Path, image: Path) -> Iterator[Disk]:
    """Mount a new file system over a folder, for the time of the block.

    One loop device in all mount namespaces is one file system: it is frozen everywhere at once. A node that is switched
    on again is without it.
    """
    _run("truncate", f"--size={_SIZE}", str(image))
    _run("mkfs.ext4", "-q", str(image))
    device = _run("losetup", "--find", "--show", str(image)).strip()
    # With its processes: umount reads /proc/self, which a node has for its own alone.
    places = [[], *(["nsenter", "-t", str(init.pid), "-m", "-p"] for init in cluster.state.inits.values())]
    try:
        for place in places:
            _run(*place, "mount", device, str(folder))
        yield Disk(folder, places)
    finally:
        for place in places:
            subprocess.run([*place, "umount", "--lazy", str(folder)], check=False, stderr=subprocess.DEVNULL)
        _run("losetup", "--detach", device)
        image.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
