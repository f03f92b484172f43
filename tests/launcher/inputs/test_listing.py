"""Which files paths, folders, globs, lists and addresses name: each once, with its size, whatever is in the way."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import tempfile
from pathlib import Path

import pytest

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.listing import input_files, list_inputs
from curator_slurm.launcher.inputs.local import matches
from curator_slurm.launcher.spec.data_sections import InputSpec

NAMES = ["a.txt", "with space.txt", "quo'te.txt", 'dou"ble.txt', "new\nline.txt", "ü.txt", os.fsdecode(b"\xff.txt")]


def write(path: Path, size: int = 1) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return str(path)


def listing(*paths, manifest=None):
    return list_inputs(InputSpec(paths=[str(path) for path in paths], manifest=manifest and str(manifest)))


def names(*paths, **more):
    return [file.path for file in listing(*paths, **more).files]


@pytest.fixture
def as_nobody():
    """Be a user without rights for a while, where the tests run as root."""

    @contextlib.contextmanager
    def be_nobody():
        if os.geteuid() != 0:
            yield
            return
        os.setresuid(65534, 65534, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return be_nobody


@pytest.fixture
def memory():
    import fsspec

    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(
    "pattern", ["data", "data/", "data/*.txt", "data/**/*.txt", "data/**", "**", "*", "d*a/*", "d*/**"]
)
def test_names_and_sizes(tmp_path, pattern):
    paths = {write(tmp_path / "data" / name, size): size for size, name in enumerate(NAMES)}
    found = listing(f"{tmp_path}/{pattern}")
    assert {file.path: file.bytes for file in found.files} == paths
    assert [file.path for file in found.files] == sorted(paths)
    assert all(file.mtime_ns == Path(file.path).stat().st_mtime_ns for file in found.files)
    assert not found.notes
    assert input_files([f"{tmp_path}/{pattern}"]) == sorted(paths)


def test_hidden_names_and_those_with_an_underscore(tmp_path):
    data, under = write(tmp_path / "data" / "a"), write(tmp_path / "data" / "_under" / "b")
    hidden = write(tmp_path / "data" / ".git" / "x")
    write(tmp_path / "data" / ".hidden")
    marker = write(tmp_path / "data" / "_SUCCESS")
    found = listing(tmp_path / "data")
    assert [file.path for file in found.files] == [under, data]
    assert found.notes == [f"1 file skipped (the name begins with _): {marker}"]
    assert names(marker) == names(f"{tmp_path}/data/_*S") == [marker]
    assert names(f"{tmp_path}/data/.g*/x") == [hidden]
    (tmp_path / "data" / "a").unlink()
    (tmp_path / "data" / "_under" / "b").unlink()
    with pytest.raises(
        StorageError, match=r"no files match .*; all names there begin with _ and are skipped, such as .*_SUCCESS"
    ):
        listing(tmp_path / "data")


def test_globs_mean_what_they_mean_in_a_shell(tmp_path):
    for name in ("a/1.txt", "a/b/2.txt", "a/b/c/3.txt", "d/4.md", "[x].txt", "part.parquet/0", "part.parquet/deep/1"):
        write(tmp_path / name)

    def found(pattern):
        return [path.removeprefix(f"{tmp_path}/") for path in names(f"{tmp_path}/{pattern}")]

    assert found("a/**/*.txt") == ["a/1.txt", "a/b/2.txt", "a/b/c/3.txt"]
    assert found("**/b/*.txt") == ["a/b/2.txt"]
    assert found("**/b/**/*.txt") == ["a/b/2.txt", "a/b/c/3.txt"]
    assert found("**/**/3.txt") == ["a/b/c/3.txt"]
    assert found("[ad]/[!1].*") == ["d/4.md"]
    assert found("?/?.???") == ["a/1.txt"]
    assert found("[x].txt") == ["[x].txt"]
    assert found("*/") == sorted(
        ["a/1.txt", "a/b/2.txt", "a/b/c/3.txt", "d/4.md", "part.parquet/0", "part.parquet/deep/1"]
    )
    assert found("**/*.parquet") == found("*.parquet") == ["part.parquet/0", "part.parquet/deep/1"]
    assert found("a/../d/*") == ["a/../d/4.md"]


def test_links_in_circles_end(tmp_path):
    path = write(tmp_path / "data" / "a.txt")
    for number in range(8):
        (tmp_path / "data" / f"loop{number}").symlink_to(tmp_path / "data")
        (tmp_path / "data" / "sub").mkdir(exist_ok=True)
        (tmp_path / "data" / "sub" / f"up{number}").symlink_to(tmp_path)
    for pattern in ("data", "data/**/*.txt", "**/data/**/*.txt", "data/**", "*/**/a.txt"):
        assert [os.path.realpath(name) for name in names(tmp_path / pattern)] == [path], pattern
    assert len(list(matches(f"{tmp_path}/data/**/*.none"))) == 0


def test_linked_files_and_folders_count_once(tmp_path):
    a, b = write(tmp_path / "data" / "a"), write(tmp_path / "elsewhere" / "b")
    (tmp_path / "data" / "link-to-a").symlink_to(a)
    (tmp_path / "data" / "z").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "y").symlink_to(tmp_path / "elsewhere")
    found = listing(tmp_path / "data", b)
    assert [file.path for file in found.files] == [a, f"{tmp_path}/data/y/b"]
    assert found.notes == [f"2 files skipped (links to files that are listed already): {tmp_path}/data/link-to-a, {b}"]


def test_hard_links_are_files_of_their_own(tmp_path):
    a = write(tmp_path / "a")
    (tmp_path / "b").hardlink_to(a)
    assert names(tmp_path) == [a, f"{tmp_path}/b"]


def test_a_file_that_several_patterns_name_counts_once(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    found = listing(b, f"{tmp_path}/*", f"{tmp_path}//./a", f"file://{a}")
    assert [file.path for file in found.files] == [b, a]
    assert found.notes == [f"3 files listed more than once (counted once): {a}, {a}, {b}"]


def test_what_is_no_file_is_left_out_by_name(tmp_path):
    a = write(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{folder}/socket")
        finally:
            os.close(folder)
        for pattern in (tmp_path, f"{tmp_path}/*", f"{tmp_path}/**"):
            found = listing(pattern)
            assert [file.path for file in found.files] == [a]
            assert [note.partition(": ")[0] for note in found.notes] == [
                "2 files skipped (broken links, or just removed)",
                "2 files skipped (neither files nor folders)",
            ]
            assert "dangling" in found.notes[0]
            assert "fifo" in found.notes[1]


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("nothing/*", "; check the path"),
        ("nothing", "; check the path"),
        ("empty", "; it is a folder without files"),
        ("{a,b}.txt", "; braces are not expanded"),
        ("link", "; it is a broken link"),
        ("l*", "; there are only broken links"),
    ],
)
def test_what_is_not_there(tmp_path, pattern, part):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match=part):
        listing(tmp_path / pattern)


def test_nothing_is_left_out_for_want_of_permission(as_nobody):
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        locked, secret = top / "data" / "locked", Path(write(top / "data" / "secret"))
        write(locked / "a")
        write(top / "data" / "b")
        locked.chmod(0)
        secret.chmod(0)
        for pattern, what in {
            "data": "data/(locked|secret)",
            "data/**/b": "locked",
            "data/*/a": "locked/a",
            "data/locked/a": "locked/a",
            "**/data/**/a": "locked",
            "data/s*": "secret",
        }.items():
            with as_nobody(), pytest.raises(StorageError, match=f"{what} cannot be read: Permission denied"):
                listing(top / pattern)
        (top / "list.txt").write_text("data/b\ndata/secret\n")
        with as_nobody(), pytest.raises(StorageError, match=r"list.txt:2: .*secret cannot be read: Permission denied"):
            listing(manifest=top / "list.txt")
        locked.chmod(0o700)


def test_the_order_of_a_folder_does_not_matter(tmp_path, monkeypatch):
    for number in range(40):
        write(tmp_path / f"d{number % 7}" / f"{number}")
        (tmp_path / f"l{number % 5}").symlink_to(tmp_path / f"d{number % 3}") if number < 5 else None
    wanted = listing(tmp_path)
    real = os.scandir

    class Shuffled(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def scandir(path):
        with real(path) as entries:
            found = Shuffled(entries)
        random.shuffle(found)
        return found

    monkeypatch.setattr(os, "scandir", scandir)
    for pattern in (tmp_path, f"{tmp_path}/**", f"{tmp_path}/**/*"):
        assert listing(pattern) == wanted


def test_file_addresses_are_paths_of_this_machine(tmp_path):
    paths = [write(tmp_path / "data" / "a.txt", 3), write(tmp_path / "data" / "sub" / "b.txt", 4)]
    found = listing(f"file://{tmp_path}/data")
    assert [(file.path, file.bytes) for file in found.files] == [(paths[0], 3), (paths[1], 4)]
    assert names(f"file://{tmp_path}/data/*.txt") == paths[:1]


def test_remote_files(memory):
    for name, content in {"a.jsonl": b"12345", "sub/b.jsonl": b"", "_SUCCESS": b"", ".x": b"1"}.items():
        memory.pipe(f"/bucket/{name}", content)
    a, b = InputFile("memory:///bucket/a.jsonl", 5), InputFile("memory:///bucket/sub/b.jsonl", 0)
    assert listing("memory://bucket/*.jsonl").files == [a]
    assert listing("memory://bucket/**/*.jsonl").files == [a, b]
    assert listing("memory://bucket/a.jsonl", "memory://bucket/a.jsonl").files == [a]
    folder = listing("memory://bucket")
    assert folder.files == [a, b]
    assert folder.notes == ["1 file skipped (the name begins with _): /bucket/_SUCCESS"]


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("memory://bucket/nothing*", "no files match"),
        ("memory://nothing", "no files match"),
        ("nosuch://x/y", "nosuch://x/y"),
        ("github://a:b@c/d", "input.paths: github://a:b@c/d"),
    ],
)
def test_remote_files_that_are_not_there(memory, address, part, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=part):
        listing(address)


def test_progress_is_told(tmp_path):
    for number in range(1200):
        write(tmp_path / "data" / f"{number}")
    (tmp_path / "list.txt").write_text("".join(f"data/{number}\n" for number in range(1200)))
    told = []
    list_inputs(InputSpec(paths=[f"{tmp_path}/data"]), lambda *what: told.append(what))
    assert told[-1] == ("listing files", 1200, None)
    told.clear()
    list_inputs(InputSpec(manifest=f"{tmp_path}/list.txt"), lambda *what: told.append(what))
    assert ("looking up sizes", 1200, 1200) in told
    assert told[-1] == ("listing files", 1200, None)
