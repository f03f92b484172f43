"""The session folder of a node: short enough for sockets, private, gone at the end; where Ray spills."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from curator_slurm.launcher.agent import session
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.plan.local_disk import LocalDisk

GIB = 1 << 30
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(session, "_SHORT", folder)
    return folder


def modes(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_a_session_is_where_it_was_asked_for(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_TEMP_DIR", 400)
    local = tmp_path / "local"
    local.mkdir()
    made = session.make_session_dir(local, "4711")
    assert made.parent == local
    assert modes(made) == 0o700
    assert list(short.iterdir()) == []
    session.remove_session(made)
    assert list(local.iterdir()) == []


def test_of_a_path_that_is_too_long_for_sockets_only_links_are_short(tmp_path: Path, short: Path) -> None:
    local = tmp_path / ("long" * 20)
    local.mkdir()
    made = session.make_session_dir(local, "4711")
    assert made.parent == short
    (data,) = local.iterdir()
    assert modes(made) == modes(data) == 0o700
    (made / "ray" / "session").mkdir()
    (made / "tmp" / "file").write_text("much")
    assert (data / "tmp" / "file").read_text() == "much"
    assert (data / "ray" / "session").is_dir()
    session.remove_session(made)
    assert list(local.iterdir()) == list(short.iterdir()) == []


def test_both_folders_of_a_killed_agent_are_swept(tmp_path: Path, short: Path) -> None:
    local = tmp_path / ("long" * 20)
    local.mkdir()
    killed = session.make_session_dir(local, "1")
    owner = json.loads((killed / "owner.json").read_text())
    (killed / "owner.json").write_text(json.dumps({**owner, "started": owner["started"] - 1000}))
    lives = session.make_session_dir(local, "2")
    assert list(short.iterdir()) == [lives]
    assert len(list(local.iterdir())) == 1


def test_nothing_is_left_where_the_short_folder_cannot_be_made(tmp_path: Path, short: Path) -> None:
    local = tmp_path / ("long" * 20)
    local.mkdir()
    short.rmdir()
    with pytest.raises(BootstrapError, match="cannot create a folder for Ray's session"):
        session.make_session_dir(local, "4711")
    assert list(local.iterdir()) == []
    with pytest.raises(BootstrapError, match=r"/nowhere'.*No such file"):
        session.make_session_dir(tmp_path / "nowhere", "4711")


def test_a_folder_that_somebody_names_as_data_is_not_removed(tmp_path: Path, short: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    made = session.make_session_dir(short, "1")
    (made / "owner.json").write_text(json.dumps({"data": str(other)}))
    session.remove_session(made)
    assert other.is_dir()


def test_variables_of_the_job_are_known_on_the_node() -> None:
    environ = {"SLURM_JOB_ID": "4711"}
    assert session.folder_of("/run/job_${SLURM_JOB_ID}/x", environ) == Path("/run/job_4711/x")
    assert session.folder_of(None, environ) == Path("/tmp")
    with pytest.raises(BootstrapError, match="Slurm does not set SLURM_NONE on this node"):
        session.folder_of("/run/${SLURM_NONE}", environ)
    assert session.folder_of("${SLURM_TMPDIR}/x", {"SLURM_TMPDIR": "/local/7"}) == Path("/local/7/x")
    with pytest.raises(BootstrapError, match="which is 4711/x on this node: no absolute path"):
        session.folder_of("${SLURM_JOB_ID}/x", environ)


@pytest.mark.parametrize(
    ("disk", "free", "fits"),
    [
        (LocalDisk(), 0, True),
        (LocalDisk(size=100 * GIB), 2 * GIB, True),
        (LocalDisk(size=100 * GIB), GIB // 2, False),
        (LocalDisk(size=GIB // 4), GIB // 2, True),
        (LocalDisk(size=GIB // 4), GIB // 8, False),
    ],
)
def test_room_is_checked_where_the_site_says_how_much_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: LocalDisk, free: int, fits: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(200 * GIB, 200 * GIB - free, free))
    if fits:
        session.check_room(tmp_path, disk)
        return
    with pytest.raises(BootstrapError, match=r"MiB free on this node, and a run needs"):
        session.check_room(tmp_path, disk)


def test_where_and_how_much_ray_spills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000 * GIB, 300 * GIB, 600 * GIB))
    shared = tmp_path / "spill"
    assert session.spilling(tmp_path, LocalDisk(), shared) == {}
    assert session.spilling(tmp_path, LocalDisk(size=100 * GIB), shared) == {
        "RAY_local_fs_capacity_threshold": "0.5000"
    }
    assert session.spilling(tmp_path, LocalDisk(size=900 * GIB), shared)["RAY_local_fs_capacity_threshold"] == "0.9500"
    assert session.spilling(tmp_path, LocalDisk(is_memory=True, size=GIB), shared) == {
        "RAY_object_spilling_directory": str(shared),
        "RAY_local_fs_capacity_threshold": "1",
    }
    assert not shared.exists()


def test_a_session_of_a_dead_owner_in_another_namespace_stays(short: Path) -> None:
    made = session.make_session_dir(short, "1")
    (made / "owner.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0, "scope": "elsewhere"}))
    session.sweep_sessions(short)
    assert made.is_dir()


@pytest.mark.parametrize(("host", "is_held", "stays"), [("", False, False), ("", True, True), ("another", False, True)])
def test_a_session_of_another_namespace_or_boot_is_judged_by_its_lock(
    short: Path, host: str, is_held: bool, stays: bool
) -> None:
    """As after a power cut, and as from one container to the next."""
    made = session.make_session_dir(short, "1")
    owner = json.loads((made / "owner.json").read_text())
    assert owner["host"]
    (made / "owner.json").write_text(json.dumps({**owner, "scope": "elsewhere", "host": host or owner["host"]}))
    if not is_held:
        os.close(session._held.pop(made))
    session.sweep_sessions(short)
    assert made.is_dir() == stays
    session.remove_session(made)
    assert made not in session._held
