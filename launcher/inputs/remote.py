"""Files of remote stores, by fsspec address; fsspec and the client of a store are loaded only where one is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.address import show
from curator_slurm.launcher.inputs.input_file import InputFile

_MAGIC = frozenset("*?[")
_THREADS = 16


@dataclass(frozen=True)
class RemoteFile:
    """What a store says about a file; `bytes` is None if the store does not say."""

    bytes: int | None = None
    is_folder: bool = False


def list_remote(address: str) -> tuple[list[InputFile], list[str]]:
    """All files that an address, a folder or a glob names, sorted, and those skipped for the `_` in their names.

    Raises:
        StorageError: the store cannot be used.
    """
    with _readable_errors(address):
        store, inner = _store(address)
        skipped: list[str] = []
        files = {file.path: file for file in _files(store, inner, skipped)}
        return [files[path] for path in sorted(files)], skipped


def ask_remote(address: str) -> RemoteFile | None:
    """What a store says about one file; None if it does not exist.

    Raises:
        StorageError: the store cannot be asked.
    """
    with _readable_errors(address):
        store, inner = _store(address)
        try:
            info = store.info(inner)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return RemoteFile(_size(info), info.get("type") == "directory")


def ask_all(addresses: Sequence[str]) -> Iterator[RemoteFile | None]:
    """`ask_remote` of each, many at once."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="remote") as pool:
        yield from pool.map(ask_remote, addresses)


def open_remote(address: str) -> BinaryIO:
    """A remote file, to be read.

    Raises:
        StorageError: the store cannot be used, or there is no such file.
    """
    with _readable_errors(address):
        store, inner = _store(address)
        stream: BinaryIO = store.open(inner, "rb")
        return stream


def _store(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    found: tuple[Any, str] = url_to_fs(address)
    return found


def _files(store: Any, inner: str, skipped: list[str]) -> Iterator[InputFile]:
    roots: Mapping[str, Mapping[str, Any]]
    try:
        roots = {inner: store.info(inner)}
    except (FileNotFoundError, NotADirectoryError):
        roots = store.glob(inner, detail=True) if _MAGIC & set(inner) else {}
    for root, info in roots.items():
        if info.get("type") != "directory":
            yield _file(store, root, info)
        elif not (root != inner and inner.endswith("**")):
            for name, below in store.find(root, detail=True).items():
                parts = name[len(root) :].strip("/").split("/")
                if any(part.startswith(".") for part in parts):
                    continue
                if parts[-1].startswith("_"):
                    skipped.append(name)
                else:
                    yield _file(store, name, below)


def _file(store: Any, name: str, info: Mapping[str, Any]) -> InputFile:
    return InputFile(str(store.unstrip_protocol(name)), _size(info))


def _size(info: Mapping[str, Any]) -> int | None:
    size = info.get("size")
    return size if isinstance(size, int) and size >= 0 else None


@contextlib.contextmanager
def _readable_errors(address: str) -> Iterator[None]:
    """Turn the many kinds of errors of stores into StorageError."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"{show(address)}: no such file") from error
    except ImportError as error:
        raise StorageError(f"{show(address)} needs a package that is not installed: {error}") from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise StorageError(f"{show(address)} cannot be read: {type(error).__name__}: {text}") from error
