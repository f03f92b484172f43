"""submit and collect die after each of their changes to the file system; the next command puts everything right."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from faults import every_crash
from sharded_runs import plan, publish, sharded_run, submit_shards

from curator_slurm.common import exchange
from curator_slurm.launcher.dataset.assemble import collect_run
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.operations.select_shards import Selection
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import MARKER
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.slurm.client import AcceptedJob, Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, without what tells the time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name in ("_dataset.json", MARKER):
                value = json.loads(content)
                for key in ("collected", "started", "published", "run_id"):
                    value.pop(key, None)
                content = json.dumps(value).encode()
            found[str(path.relative_to(folder))] = content
    return found


def finished_run(folder: Path, **output: Any) -> tuple[Run, Plan]:
    the_plan = plan(folder, output={"path": str(folder / "out"), **output})
    run = sharded_run(folder, 2, the_plan=the_plan)
    for shard in range(2):
        line = f'{{"shard": {shard}}}\n'.encode()
        publish(run, shard, f"4711_{shard}.0", {"a.jsonl": line, "sub/b.txt": b"b\n"})
    return run, the_plan


def collect(run: Run, the_plan: Plan) -> None:
    collect_run(run, the_plan, lambda *_: None)


@pytest.mark.long
@pytest.mark.parametrize("way", ["rename", "copy", "merge"])
def test_collect_dies_after_each_operation(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = {"merge": True} if way == "merge" else {}
    if way == "copy":
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        monkeypatch.setattr("curator_slurm.launcher.dataset.place._same_folder", lambda *_: False)
        monkeypatch.setattr(Path, "rename", _across_file_systems(Path.rename, tmp_path))
    wanted_run, wanted_plan = finished_run(tmp_path / "wanted", **output)
    collect(wanted_run, wanted_plan)
    wanted = tree(tmp_path / "wanted" / "out")
    current: dict[str, tuple[Run, Plan]] = {}

    def prepare() -> None:
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        current["run"] = finished_run(tmp_path / "now", **output)

    prepare()
    crashes = 0
    for operation in every_crash(lambda: collect(*current["run"])):
        crashes = operation
        run, the_plan = current["run"]
        seen = (tmp_path / "now" / "out" / "_dataset.json").exists()
        assert not seen or tree(tmp_path / "now" / "out") == wanted, "what is seen of it is whole"
        collect(run, the_plan)
        assert tree(tmp_path / "now" / "out") == wanted
        collect(run, the_plan)
        assert tree(tmp_path / "now" / "out") == wanted
        left = {path.name for path in (tmp_path / "now").iterdir()}
        assert left == {"out", "runs"}, f"after operation {operation}"
        prepare()
    assert crashes > 20


@pytest.mark.long
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_collect_dies_while_it_replaces_the_dataset_of_an_earlier_run(
    tmp_path: Path, merge: bool, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    output = {"if_exists": "replace", "merge": merge}
    wanted_run, wanted_plan = finished_run(tmp_path / "wanted", **output)
    collect(wanted_run, wanted_plan)
    wanted = tree(tmp_path / "wanted" / "out")
    earlier_plan = plan(tmp_path / "earlier", output={"path": str(tmp_path / "earlier" / "out"), "merge": not merge})
    earlier = sharded_run(tmp_path / "earlier", 1, the_plan=earlier_plan)
    publish(earlier, 0, files={"old.jsonl": b"{}\n"})
    collect(earlier, earlier_plan)
    old = tree(tmp_path / "earlier" / "out")
    current: dict[str, tuple[Run, Plan]] = {}

    def prepare() -> None:
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        current["run"] = finished_run(tmp_path / "now", **output)
        shutil.copytree(tmp_path / "earlier" / "out", tmp_path / "now" / "out")

    prepare()
    for operation in every_crash(lambda: collect(*current["run"])):
        run, the_plan = current["run"]
        if (tmp_path / "now" / "out").exists():
            assert tree(tmp_path / "now" / "out") in (old, wanted), "it is the old one or the new one, and whole"
        else:
            assert not at_once
        collect(run, the_plan)
        assert tree(tmp_path / "now" / "out") == wanted, f"after operation {operation}"
        assert {path.name for path in (tmp_path / "now").iterdir()} == {"out", "runs"}
        prepare()


@pytest.mark.long
@pytest.mark.parametrize("merge", [False, True])
def test_collect_dies_while_it_adds_to_what_was_published_in_part(tmp_path: Path, merge: bool) -> None:
    output = {"merge": True} if merge else {}
    wanted_run, wanted_plan = finished_run(tmp_path / "wanted", **output)
    collect(wanted_run, wanted_plan)
    wanted = tree(tmp_path / "wanted" / "out")
    current: dict[str, tuple[Run, Plan]] = {}

    def prepare() -> None:
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        run, the_plan = finished_run(tmp_path / "now", **output)
        kept = run.paths.shard_outputs(1).rename(tmp_path / "now" / "kept")
        done = run.paths.done(1).read_bytes()
        run.paths.done(1).unlink()
        collect_run(run, the_plan, lambda *_: None, partial=True)
        assert not json.loads((tmp_path / "now" / "out" / "_dataset.json").read_text())["complete"]
        kept.rename(run.paths.shard_outputs(1))
        run.paths.done(1).write_bytes(done)
        current["run"] = (run, the_plan)

    prepare()
    for operation in every_crash(lambda: collect(*current["run"]), step=2 if merge else 1):
        run, the_plan = current["run"]
        summary = tmp_path / "now" / "out" / "_dataset.json"
        if summary.exists() and json.loads(summary.read_text())["complete"]:
            assert tree(tmp_path / "now" / "out") == wanted, "what calls itself complete is complete"
        collect(run, the_plan)
        assert tree(tmp_path / "now" / "out") == wanted, f"after operation {operation}"
        assert {path.name for path in (tmp_path / "now").iterdir()} == {"out", "runs"}
        prepare()


def _across_file_systems(real: Any, top: Path) -> Any:
    """Refuses to rename a shard's folder out of the run directory, as between two file systems."""
    import errno

    def rename(self: Path, target: Path) -> Any:
        if "runs" in self.relative_to(top).parts and "runs" not in Path(target).relative_to(top).parts:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self))
        return real(self, target)

    return rename


class Ledger:
    """Stands in for Slurm: each accepted array is one new file, which no crash of ours takes back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def submit(self, command: list[str], run_dir: Path, comment: str = "") -> AcceptedJob:
        # A child of the test's own does it, as sbatch would: none of our operations.
        number = len(list(self.folder.iterdir())) + 100
        os.system(f"printf '%s' '{comment}|{run_dir}' > '{self.folder}/{number}'")
        return AcceptedJob(str(number))

    def commented(self) -> list[tuple[str, str, str]]:
        texts = [(path.name, *path.read_text().partition("|")[::2]) for path in sorted(self.folder.iterdir())]
        return [(job_id, run_dir, comment) for job_id, comment, run_dir in texts]

    @property
    def comments(self) -> list[str]:
        return [comment for _, _, comment in self.commented()]


@pytest.mark.long
@pytest.mark.parametrize("array", [True, False])
def test_submit_dies_after_each_operation(tmp_path: Path, array: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "slurm")
    monkeypatch.setattr(Slurm, "submit", lambda self, *arguments: ledger.submit(*arguments))
    monkeypatch.setattr(Slurm, "commented", lambda self: ledger.commented())
    monkeypatch.setattr(Slurm, "max_array_size", lambda self: 2)
    monkeypatch.setattr(Slurm, "arrays", lambda self, ids: [])
    monkeypatch.setattr(Slurm, "job_states", lambda self, ids, **_: {})
    shards = list(range(4)) if array else [0]
    the_plan = plan(tmp_path) if array else plan(tmp_path, shards=None)

    def submit() -> None:
        submit_shards(tmp_path, len(shards), the_plan)

    interrupted = 0
    for operation in every_crash(submit):
        before = ledger.comments
        found = registry.run_directories([tmp_path / "runs"])
        assert len(found) <= 1
        if not found:
            assert before == [], "nothing is submitted of a run that is not there"
        else:
            run = registry.load_run(found[0])
            lost = [each for each in read_submissions(run.paths) if each.record.is_interrupted]
            interrupted += any(each.record.comment in before for each in lost)
            assert status_of(run).total == len(shards)
            retried = retry(run, RetryRequest(Selection()), {})
            # Slurm has forgotten all jobs but by their comments, so every shard counts as over: none was done.
            assert sorted(retried.choice.shards) == shards
            records = [each.record for each in read_submissions(run.paths)]
            known = [record.comment for record in records if record.job_id]
            assert sorted(known) == sorted(ledger.comments), f"after operation {operation} a job was lost"
            assert len(ledger.comments) == len(set(ledger.comments)), "nothing was submitted twice"
            ids = set(registry.load_run(found[0]).record.job_ids)  # type: ignore[union-attr]
            assert ids == {record.job_id for record in records if record.job_id}
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        shutil.rmtree(ledger.folder)
        ledger.folder.mkdir()
    assert interrupted >= (2 if array else 1), "no crash hit the time between sbatch and its record"


def test_a_killed_submit_is_taken_up_by_retry(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """The same with a Slurm that runs things: what was accepted is neither lost nor submitted again."""
    fake_slurm.configure(max_array_size=2)
    fake_slurm.pause()

    def submit() -> None:
        real = Slurm.submit

        def die_after_the_second(self: Slurm, *arguments: Any) -> Any:
            answer = real(self, *arguments)
            if arguments[2].endswith(":0001"):
                os._exit(86)
            return answer

        Slurm.submit = die_after_the_second  # type: ignore[method-assign, assignment]
        submit_shards(tmp_path, 6)

    from faults import CRASHED, in_child

    assert in_child(submit) == CRASHED
    (path,) = registry.run_directories([tmp_path / "runs"])
    run = registry.load_run(path)
    assert [bool(each.record.job_id) for each in read_submissions(run.paths)] == [True, False]
    assert retry(run, RetryRequest(Selection()), {}).choice.shards == [4, 5]
    assert len(fake_slurm.jobs) == 3
    fake_slurm.resume()
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    assert status_of(run).state is RunState.COMPLETED
    assert len(list(run.paths.attempts.glob("*/*"))) == 6
