"""Make directories of the host usable for ordinary users of a node, wherever they lie.

A clone or a Python below a home of mode 0700, such as /root, is out of reach for the cluster's users, and
one below /tmp is hidden by the node's own /tmp. In the node's mount namespace, and only there, a directory
that keeps others out is covered by an empty readable one, into which just the wanted directories are bound.
Nothing changes on the host.
"""

import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path


def normalise(directories: Iterable[str | Path]) -> list[Path]:
    """Order directories for `place`: real paths before their symbolic links, outer before inner."""
    given = {Path(d).absolute() for d in directories if Path(d).is_dir()}
    real = {d.resolve() for d in given}
    return sorted(real) + sorted(given - real)


def stage(directories: Iterable[Path], stage_root: Path) -> dict[Path, Path]:
    """Keep hold of directories at a second place, before anything covers them."""
    staged = {}
    for number, directory in enumerate(directories):
        staged[directory] = stage_root / str(number)
        staged[directory].mkdir(parents=True)
        _mount("--rbind", directory, staged[directory])
    return staged


def place(staged: dict[Path, Path]) -> None:
    """Make every staged directory reachable at its own path, then let go of the second place."""
    for directory, source in staged.items():
        wall = _wall(directory.parent)
        if wall:
            _cover(wall)
        if not _same(directory, source):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            _mount("--rbind", source, directory)
        if not _open_to_others(directory, stat.S_IROTH | stat.S_IXOTH):
            _cover(directory)
            for entry in source.iterdir():
                _bind_entry(entry, directory / entry.name)
    for source in staged.values():
        subprocess.run(["umount", "-l", source], check=True)


def _wall(directory: Path) -> Path | None:
    """Return the outermost directory on the way to `directory` that others cannot enter."""
    for step in [*reversed(directory.parents), directory]:
        if step.exists() and not _open_to_others(step, stat.S_IXOTH):
            return step
    return None


def _open_to_others(directory: Path, bits: int) -> bool:
    return directory.stat().st_mode & bits == bits


def _same(a: Path, b: Path) -> bool:
    return a.exists() and a.samefile(b)


def _cover(directory: Path) -> None:
    _mount("-t", "tmpfs", "-o", "mode=755", "exposed", directory)


def _bind_entry(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(mode=0o755)
    else:
        target.touch()
    _mount("--rbind", source, target)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)
