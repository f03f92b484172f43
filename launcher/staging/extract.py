"""Archives are read by the programs that a node has, else by what its Python has."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from curator_slurm.launcher.staging.local_copies import SharedError

DECOMPRESS = "--decompress"


def extract(path: Path, folder: Path) -> None:
    """Unpack an archive into a folder.

    Raises:
        SharedError: it cannot be read here, or not be written there.
    """
    with _plain(path) as stream:
        if tar := shutil.which("tar"):
            command = [tar, "-xpo", "-f", "-", "-C", str(folder)]
            result = subprocess.run(command, stdin=stream, stderr=subprocess.PIPE, check=False)
            said = result.stderr.decode(errors="replace").strip()[-200:] if result.returncode else ""
        else:
            said = _by_python(stream, folder)
    if said:
        raise SharedError(f"it cannot be unpacked into {folder.parent}: {said}")


def _by_python(stream: IO[bytes], folder: Path) -> str:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as reader:
            reader.extraction_filter = getattr(tarfile, "tar_filter", None)
            reader.extractall(folder)
    except (OSError, tarfile.TarError, EOFError) as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    """What is in a compressed file, as the reading end of a pipe."""
    zstd = shutil.which("zstd") if path.suffix == ".zst" else None
    own = [sys.executable, "-I", "-S", sys.argv[0], DECOMPRESS, str(path)]
    command = [zstd, "-q", "-d", "-c", str(path)] if zstd else own
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process.stdout
        process.stdout.close()
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise SharedError(f"{path.name} cannot be read: {said[-200:]}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def decompress(path: str) -> None:
    """Write what is in a compressed file to standard output, with what this Python has."""
    if path.endswith(".gz"):
        import gzip

        with gzip.open(path, "rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
        return
    with _zstd(path) as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)


def _zstd(path: str) -> IO[bytes]:
    import importlib

    with contextlib.suppress(ImportError):
        return importlib.import_module("compression.zstd").open(path, "rb")  # type: ignore[no-any-return]
    import site

    site.main()  # -S has left out what is installed
    try:
        return importlib.import_module("pyarrow").CompressedInputStream(path, "zstd")  # type: ignore[no-any-return]
    except ImportError:
        sys.exit("this node has no zstd: neither the program, nor Python 3.14, nor pyarrow")
