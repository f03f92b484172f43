"""How archives are compressed: by zstd where there is one, a program or a module of this Python, else by gzip."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

ZSTD, GZIP = "zst", "gz"
LEVEL = 3
"""Of zstd: more would take longer than the bytes that it saves."""


def best_format(*, in_image: bool = False) -> str:
    """What this machine can write; images are read by their own Python, which has gzip and maybe nothing else."""
    return ZSTD if not in_image and (shutil.which("zstd") or _module() is not None) else GZIP


@contextlib.contextmanager
def compressed(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes are in `path`, compressed, when the block has ended.

    Raises:
        OSError: they cannot be written.
    """
    if kind == GZIP:
        with gzip.open(path, "wb", compresslevel=1) as stream:
            yield cast("IO[bytes]", stream)
    elif program := shutil.which("zstd"):
        with _by_program(program, path) as written:
            yield written
    else:
        with _by_module(path) as written:
            yield written


@contextlib.contextmanager
def _by_program(program: str, path: Path) -> Iterator[IO[bytes]]:
    command = [program, "-q", f"-{LEVEL}", "-T0", "-o", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        yield process.stdin
        process.stdin.close()
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise OSError(f"zstd failed: {said[:200]}")
    except BrokenPipeError:
        raise OSError(f"zstd failed: {process.stderr.read().decode(errors='replace').strip()[:200]}") from None
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stderr.close()


@contextlib.contextmanager
def _by_module(path: Path) -> Iterator[IO[bytes]]:
    module = _module()
    assert module is not None
    if module.__name__ == "pyarrow":
        with module.OSFile(str(path), "wb") as below, module.CompressedOutputStream(below, "zstd") as stream:
            yield stream
    else:
        with module.open(str(path), "wb", level=LEVEL) as stream:
            yield stream


def _module() -> Any:
    """A module that has zstd: Python's own from 3.14 on, or pyarrow."""
    for name in ("compression.zstd", "pyarrow"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None
