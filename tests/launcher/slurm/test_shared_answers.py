"""Answers that commands share: how old they may be, and that nothing of theirs can break or block a command."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.slurm import shared_answers
from curator_slurm.launcher.slurm.shared_answers import CLOCKS_S, SharedAnswers, cache_folder, forget

COMMAND = ("squeue", "--me")


class Slurm:
    """Counts who asks it."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.asked = 0
        self._then = then
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.asked += 1
            number = self.asked
        self._then()
        return f"answer {number}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers"


def only(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"*.{suffix}")
    return path


def aged(path: Path, seconds: float) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "taken": record["taken"] - seconds}))


def test_an_answer_serves_all_until_it_is_too_old(folder: Path) -> None:
    slurm = Slurm()
    first, second = SharedAnswers(folder, 30), SharedAnswers(folder, 30)
    assert [first.answer(COMMAND, slurm), second.answer(COMMAND, slurm)] == ["answer 1", "answer 1"]
    assert (first.used, second.used) == (False, True)
    assert second.answer(("squeue", "--clusters=b"), slurm) == "answer 2", "another question"
    assert not list(folder.glob("*.turn"))
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.glob("*.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        aged(path, 31)
    assert SharedAnswers(folder, 30).answer(COMMAND, slurm) == "answer 3"
    assert SharedAnswers(folder, 0.0).answer(COMMAND, slurm) == "answer 4"


def test_an_answer_from_before_a_submission_does_not_count(folder: Path) -> None:
    slurm = Slurm()
    SharedAnswers(folder, 60).answer(COMMAND, slurm)
    now = time.time()
    assert SharedAnswers(folder, 60, now - CLOCKS_S - 30).answer(COMMAND, slurm) == "answer 1"
    assert SharedAnswers(folder, 60, now).answer(COMMAND, slurm) == "answer 2"


def test_nobody_gets_an_answer_from_before_what_was_done(folder: Path, tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    there, slurm = cache_folder(environ), Slurm()
    SharedAnswers(there, 60).answer(COMMAND, slurm)
    forget(environ)
    assert SharedAnswers(there, 60).answer(COMMAND, slurm) == "answer 2"
    forget({"XDG_CACHE_HOME": str(tmp_path / "nothing")})


def test_nothing_is_removed_where_somebody_has_put_a_link(tmp_path: Path) -> None:
    environ, mine = {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "project"
    mine.mkdir(mode=0o700)
    (mine / "data.json").touch()
    link = cache_folder(environ)
    link.parent.mkdir()
    link.symlink_to(mine)
    forget(environ)
    assert (mine / "data.json").exists()


def test_an_answer_is_of_one_cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home folders are often those of several clusters, whose commands are in the same places."""
    slurm, conf = Slurm(), tmp_path / "slurm.conf"
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr("curator_slurm.launcher.spec.slurm_conf.PLACES", (tmp_path / "missing", conf))
    got = []
    for text in ("ClusterName=a\n", "# none\nClusterName = b # x\n", "ClusterName=a\n", ""):
        conf.write_text(text)
        got.append(SharedAnswers(folder, 60).answer(COMMAND, slurm))
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    got.append(SharedAnswers(folder, 60).answer(COMMAND, slurm))
    assert got == ["answer 1", "answer 2", "answer 1", "answer 3", "answer 4"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"taken": "now", "answer": "x"}', '{"taken": 1, "answer": 3}', "[" * 100_000, "\0"]
)
def test_a_damaged_answer_is_asked_for_again(folder: Path, content: str) -> None:
    slurm = Slurm()
    SharedAnswers(folder, 60).answer(COMMAND, slurm)
    only(folder, "json").write_text(content)
    assert SharedAnswers(folder, 60).answer(COMMAND, slurm) == "answer 2"
    assert SharedAnswers(folder, 60).answer(COMMAND, slurm) == "answer 2"


def test_an_answer_from_the_future_is_asked_for_again(folder: Path) -> None:
    slurm = Slurm()
    SharedAnswers(folder, 60).answer(COMMAND, slurm)
    aged(only(folder, "json"), -3600)
    assert SharedAnswers(folder, 60).answer(COMMAND, slurm) == "answer 2"


def test_an_error_is_nobody_elses(folder: Path) -> None:
    def refuse() -> str:
        raise SlurmError("no response")

    with pytest.raises(SlurmError):
        SharedAnswers(folder, 60).answer(COMMAND, refuse)
    assert not list(folder.iterdir())
    assert SharedAnswers(folder, 60).answer(COMMAND, Slurm()) == "answer 1"


def test_many_at_once_ask_once(folder: Path) -> None:
    everybody = threading.Barrier(10)
    slurm = Slurm(lambda: time.sleep(0.2))
    got: list[str] = []

    def command() -> None:
        everybody.wait()
        got.append(SharedAnswers(folder, 60).answer(COMMAND, slurm))

    threads = [threading.Thread(target=command) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["answer 1"] * 10
    assert not list(folder.glob("*.turn"))


@pytest.mark.parametrize("content", ['{"token": "x", "taken": NOW}', '{"token": "x", "taken": 5}', "", "{"])
def test_who_died_in_his_turn_blocks_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(shared_answers, "TURN_S", 0.1)
    slurm = Slurm()
    SharedAnswers(folder, 60).answer(COMMAND, slurm)
    only(folder, "json").with_suffix(".turn").write_text(content.replace("NOW", str(time.time())))
    aged(only(folder, "json"), 90)
    assert SharedAnswers(folder, 60).answer(COMMAND, slurm) == "answer 2"
    assert not list(folder.glob("*.turn")), "and its turn is over"


def test_who_stalls_in_his_turn_is_overtaken_and_takes_nothing_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "TURN_S", 0.1)
    stalled, goes_on, slurm = threading.Event(), threading.Event(), Slurm()

    def stall() -> str:
        stalled.set()
        goes_on.wait()
        return "late"

    late: list[str] = []
    thread = threading.Thread(target=lambda: late.append(SharedAnswers(folder, 60).answer(COMMAND, stall)))
    thread.start()
    stalled.wait()
    assert SharedAnswers(folder, 60).answer(COMMAND, slurm) == "answer 1"
    turn = only(folder, "json").with_suffix(".turn")
    turn.write_text('{"token": "another", "taken": 1}')
    goes_on.set()
    thread.join()
    assert late == ["late"]
    assert turn.exists(), "it was another's by then"


def test_a_folder_that_cannot_be_used_is_not_used(folder: Path, tmp_path: Path) -> None:
    slurm = Slurm()
    folder.mkdir(parents=True, mode=0o700)
    folder.chmod(0o750)
    for _ in range(2):
        SharedAnswers(folder, 60).answer(COMMAND, slurm)
    assert (slurm.asked, list(folder.iterdir())) == (2, [])
    link = tmp_path / "link"
    link.symlink_to(folder)
    SharedAnswers(link, 60).answer(COMMAND, slurm)
    SharedAnswers(Path(os.devnull, "x"), 60).answer(COMMAND, slurm)
    assert slurm.asked == 4


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert cache_folder({}) == Path("/home/alice/.cache/curator-slurm/slurm-answers")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == cache_folder({})
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/curator-slurm/slurm-answers")
