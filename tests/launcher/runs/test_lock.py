"""The lock of a run: one holder at a time, and none that is dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curator_slurm.launcher.errors import RunBusyError, StorageError
from curator_slurm.launcher.runs import lock as locks
from curator_slurm.launcher.runs.lock import RunLock, is_locked


def held_by(path: Path, **holder: object) -> None:
    content = {"token": "x", "purpose": "retry", "host": "elsewhere", "pid": 12, **holder}
    path.write_text(json.dumps(content))


def test_it_is_there_while_held_and_gone_after(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with RunLock(path, "retry") as lock:
        assert is_locked(path)
        lock.check()
    assert not is_locked(path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path / ".lock", "retry"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(5):
            with RunLock(tmp_path / ".lock", "retry"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_who_waits_too_long_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with (
        RunLock(path, "retry of demo"),
        pytest.raises(RunBusyError, match=rf"retry of demo.*process {os.getpid()} on") as caught,
        RunLock(path, "retry", patience_s=0),
    ):
        pass
    assert str(path) in str(caught.value)


def test_a_holder_that_was_killed_is_no_holder(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom curator_slurm.launcher.runs.lock import RunLock\n"
        "with RunLock(Path(sys.argv[1]), 'retry'):\n    print('in', flush=True)\n    time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "in\n"
    assert is_locked(path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert path.exists()
    assert not is_locked(path)
    with RunLock(path, "retry", patience_s=0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_silent_holder_on_another_machine_loses_it_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    held_by(path)
    with pytest.raises(RunBusyError, match="elsewhere"), RunLock(path, "retry", patience_s=0, stale_s=60):
        pass
    with RunLock(path, "retry", patience_s=60, stale_s=0.3):
        pass


def test_a_holder_on_another_machine_that_shows_life_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    held_by(path)
    over = threading.Event()

    def touch() -> None:
        while not over.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        with pytest.raises(RunBusyError), RunLock(path, "retry", patience_s=2, stale_s=1):
            pass
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("content", ["", "{", "null", "[]"])
def test_a_damaged_lock_is_broken_after_a_while(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".lock"
    path.write_text(content)
    assert not is_locked(path), "it names no holder"
    with RunLock(path, "retry", patience_s=60, stale_s=0.1):
        pass


def test_who_lost_it_does_not_remove_anothers(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with RunLock(path, "retry") as lock:
        held_by(path, host=socket.gethostname(), pid=os.getpid(), pid_started=None)
        with pytest.raises(RunBusyError, match="taken over"):
            lock.check()
    assert path.exists()


def test_storage_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(locks.os, "link", refuse)
    path = tmp_path / ".lock"
    with (
        RunLock(path, "retry"),
        pytest.raises(RunBusyError),
        RunLock(path, "retry", patience_s=0),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_storage_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"), RunLock(tmp_path / "nowhere" / ".lock", "retry"):
        pass


def test_storage_that_stalls_is_no_silence_of_the_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no write goes through, neither the one who waits nor the holder on another machine can show life."""
    path, now, holder_ends = tmp_path / ".lock", [1000.0], 3
    held_by(path)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    take, takes = RunLock._take, []

    def stall(lock: RunLock) -> bool:
        takes.append(path.exists())
        now[0] += 100
        if len(takes) == holder_ends:
            path.unlink()
        return take(lock)

    monkeypatch.setattr(RunLock, "_take", stall)
    with RunLock(path, "retry", stale_s=60):
        assert takes == [True] * holder_ends


def test_one_breaker_at_a_time_though_each_removes_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has waited for a guard that is gone by then must not go on beside somebody who made the next one."""
    path, guard = tmp_path / ".lock", tmp_path / ".lock.guard"
    waits, is_inside, may_leave = threading.Event(), threading.Event(), threading.Event()
    flock = locks.fcntl.flock

    def waiting(descriptor: int, operation: int) -> None:
        waits.set()  # the file is open
        flock(descriptor, operation)

    def second() -> None:
        with locks._guard(path):
            is_inside.set()
            may_leave.wait(60)

    thread = threading.Thread(target=second)
    with locks._guard(path):
        monkeypatch.setattr(locks.fcntl, "flock", waiting)
        thread.start()
        assert waits.wait(60)
    try:
        assert is_inside.wait(60)
        with guard.open("a") as third, pytest.raises(BlockingIOError):
            flock(third.fileno(), locks.fcntl.LOCK_EX | locks.fcntl.LOCK_NB)
    finally:
        may_leave.set()
        thread.join()
    assert list(tmp_path.iterdir()) == []
