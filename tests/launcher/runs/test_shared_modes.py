"""What published files have: group, setgid bit and ACL of where they are put, and the user's umask."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_dirs import other_group

from curator_slurm.launcher.runs.shared_modes import Passed, hand_over, make_folders, passed_on

ACL = b"".join(
    [struct.pack("<I", 2)]
    + [
        struct.pack("<HHI", tag, permissions, name)
        for tag, permissions, name in (
            (0x01, 7, 0xFFFFFFFF),  # user::rwx
            (0x04, 5, 0xFFFFFFFF),  # group::r-x
            (0x08, 7, 4242),  # group:4242:rwx
            (0x10, 7, 0xFFFFFFFF),  # mask::rwx
            (0x20, 0, 0xFFFFFFFF),  # other::---
        )
    ]
)


@pytest.fixture
def umask_077() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def outputs(folder: Path) -> Path:
    """What programs with the umask 027 have written into a private folder."""
    tree = folder / "run" / "outputs"
    (tree / "deep").mkdir(parents=True)
    tree.chmod(0o700)
    (tree / "deep").chmod(0o750)
    for name, mode in (("data", 0o640), ("deep/tool", 0o750), ("deep/secret", 0o600)):
        (tree / name).touch()
        (tree / name).chmod(mode)
    (tree / "link").symlink_to("data")
    return tree


def project(folder: Path, mode: int) -> Path:
    path = folder / "project"
    path.mkdir()
    os.chown(path, -1, other_group())
    path.chmod(mode)
    return path


def modes(tree: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (tree, *tree.rglob("*")) if not path.is_symlink()}


def groups(tree: Path) -> set[int]:
    return {path.lstat().st_gid for path in (tree, *tree.rglob("*"))}


def test_the_group_of_a_folder_with_the_setgid_bit(tmp_path: Path) -> None:
    tree, place = outputs(tmp_path), project(tmp_path, 0o2770)
    hand_over(tree, passed_on(place / "out", 0o027))
    assert groups(tree) == {other_group()}
    assert modes(tree) == {"outputs": 0o2750, "data": 0o640, "deep": 0o2750, "tool": 0o750, "secret": 0o600}


def test_the_own_group_elsewhere(tmp_path: Path) -> None:
    tree, place = outputs(tmp_path), project(tmp_path, 0o770)
    for path in (tree, *tree.rglob("*")):  # as in a runs folder with the setgid bit
        os.chown(path, -1, other_group(), follow_symlinks=False)
    hand_over(tree, passed_on(place / "out", 0o002))
    assert groups(tree) == {os.getegid()}
    assert modes(tree) == {"outputs": 0o775, "data": 0o640, "deep": 0o750, "tool": 0o750, "secret": 0o600}


@pytest.mark.parametrize(("mode", "inside"), [(0o2770, other_group), (0o750, os.getegid)])
def test_an_empty_folder_that_is_there_already_is_taken_over(tmp_path: Path, mode: int, inside: object) -> None:
    tree, place = outputs(tmp_path), project(tmp_path, mode)
    hand_over(tree, passed_on(place, 0o022))
    assert (stat.S_IMODE(tree.stat().st_mode), tree.stat().st_gid) == (mode, other_group())
    assert (tree / "data").stat().st_gid == inside()  # type: ignore[operator]


@pytest.mark.usefixtures("umask_077")
def test_missing_folders_are_the_users(tmp_path: Path) -> None:
    place = project(tmp_path, 0o2775)
    make_folders(place / "a" / "b", 0o002)
    for folder in (place / "a", place / "a" / "b"):
        assert (stat.S_IMODE(folder.stat().st_mode), folder.stat().st_gid) == (0o2775, other_group())


@pytest.mark.usefixtures("umask_077")
def test_default_acls(tmp_path: Path) -> None:
    """As the kernel does it for what is made in place."""
    tree, place = outputs(tmp_path), project(tmp_path, 0o775)
    try:
        os.setxattr(place, "system.posix_acl_default", ACL)
    except OSError:
        pytest.skip("this file system has no ACLs")
    make_folders(place / "made", 0o022)
    (place / "made" / "file").touch(mode=0o666)
    hand_over(tree, passed_on(place / "out", 0o027))
    for published, made in (("", ""), ("deep", ""), ("data", "file")):
        for name in ("system.posix_acl_access", *(() if published == "data" else ("system.posix_acl_default",))):
            assert os.getxattr(tree / published, name) == os.getxattr(place / "made" / made, name)
    assert stat.S_IMODE((tree / "deep" / "secret").stat().st_mode) == 0o600


@pytest.mark.ordinary_user
def test_a_group_that_we_may_not_give(tmp_path: Path) -> None:
    tree = outputs(tmp_path)
    hand_over(tree, Passed(0o022, 0, setgid=True))  # root's
    assert groups(tree) == {os.getegid()}
