"""The verbs on sharded runs, as a user would use them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import own_home
from sharded_runs import fail, plan, publish, sharded_run, stand_in_script

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.slurm.client import Slurm

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

LIMIT = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)\n"
)


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


@pytest.fixture(autouse=True)
def own_runs(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements that do their work in no time."""
    monkeypatch.setattr("curator_slurm.launcher.plan.script.render", lambda plan: stand_in_script())


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, f"{result.stdout}\n{result.stderr}"
    return result


def call_json(*arguments: object, expect: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", expect=expect).stdout)


def write_spec(folder: Path, files: int, orders: dict[int, Any] | None = None, **sections: Any) -> Path:
    data = folder / "data"
    data.mkdir()
    for number in range(files):
        (data / f"{number:04d}.jsonl").write_text("x" * 1000)
    spec = {
        "name": "demo",
        "pipeline": {"command": "true"},
        "input": {"paths": [f"{data}/*.jsonl"]},
        "shards": {"files_per_shard": 1, "order": "name"},
        "storage": {"runs": str(folder / "runs")},
        **sections,
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def only_run(folder: Path) -> Run:
    (path,) = registry.run_directories([folder / "runs"])
    return registry.load_run(path)


def wait(fake: FakeSlurm) -> None:
    for job in fake.jobs:
        fake.wait(job.id)


def test_from_the_spec_to_the_dataset(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, 5, output={"path": str(tmp_path / "out")})
    submitted = call("submit", spec)
    assert "Shards   5" in submitted.stdout
    wait(fake_slurm)
    shown = call("status", "demo").stdout
    assert "completed  5 of 5 shards done" in shown
    assert f"curator-slurm collect {only_run(tmp_path).run_id}" in shown
    collected = call("collect", "demo").stdout
    assert "Published 5 of 5 shards" in collected
    assert "Files    5, 5 rows, 65 B" in collected
    assert len(list((tmp_path / "out").glob("shard-*/part.jsonl"))) == 5
    assert f"published to {tmp_path / 'out'}" in " ".join(call("status", "demo").stdout.split())
    assert "5/5" in call("list").stdout


def test_a_dry_run_counts_the_shards(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, 3)
    assert "for 3 shards" in call("submit", spec, "--dry-run").stderr
    assert call_json("submit", spec, "--dry-run")["shards"] == 3
    local = call("submit", spec, "--dry-run", "--cluster", "local").stderr
    assert "for 3 shards, one after the other" in local
    assert "job.sbatch' 0000" in local
    assert "array" not in local
    assert not (tmp_path / "runs").exists()


def test_an_array_that_is_refused(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    fake_slurm.fail_next("sbatch", returncode=0, instead=False)
    fake_slurm.fail_next("sbatch", stderr=LIMIT, times=2)
    result = call("submit", write_spec(tmp_path, 5), expect=5)
    run_id = only_run(tmp_path).run_id
    assert "3 shards are not submitted (1 array accepted)" in result.stderr
    assert f"`curator-slurm retry {run_id}` submits the rest once some of your jobs have ended" in result.stderr
    wait(fake_slurm)
    assert "3 shards were never submitted" in call("status", run_id, expect=7).stdout
    assert "Submitted 3 shards again: 3 not submitted" in call("retry", run_id).stdout
    wait(fake_slurm)
    assert call_json("status", run_id)["shards"]["done"] == 5


def test_collect_auto_is_a_small_job_after_the_arrays(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    resources = {"gpus_per_node": 1, "partition": "short", "sbatch": {"qos": "low", "constraint": "h100"}}
    spec = write_spec(tmp_path, 3, output={"collect": "auto"}, resources=resources)
    call("submit", spec)
    run = only_run(tmp_path)
    first, second, third = fake_slurm.jobs
    assert f"--dependency=afterany:{first.id}:{second.id}" in fake_slurm.calls_of("sbatch")[2]
    options = third.options
    assert (options["nodes"], options["cpus-per-task"], options["partition"], options["qos"]) == (
        "1",
        "1",
        "short",
        "low",
    )
    assert not any("gpu" in option or option in ("gres", "constraint") for option in options)
    wait(fake_slurm)
    assert read_json(run.paths.outputs / "_dataset.json")["complete"], (
        run.paths.collect_log(str(third.id))
    ).read_text()
    assert run.paths.collected.exists()
    assert "failed" not in call("status", "demo").stdout
    record = read_json(run.paths.collected)
    write_json(run.paths.collected, {**record, "tasks_failed": 1, "rows_failed": 8})
    assert "1 task and 8 rows failed, in _failures.jsonl" in " ".join(call("status", "demo").stdout.split())


def test_status_in_many_forms(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = sharded_run(tmp_path, 60)
    from curator_slurm.launcher.runs.shard_records import Element
    from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=60, shards=60, job_id="4711", submitted=1.0,
        array="0-59",
    )  # fmt: skip
    write_submission(run.paths, record, [Element(number, (number,)) for number in range(60)], {})
    for shard in range(50):
        publish(run, shard, f"4711_{shard}.0")
    for shard in range(50, 57):
        fail(run, shard, f"4711_{shard}.0", "out_of_memory", "killed for its memory", next_step="ask for more memory")
    fail(run, 57, "4711_57.0", "app_failed", "ValueError: [x] is bad")
    fail(run, 57, "4711_57.1", "app_failed", "ValueError: [x] is bad")
    fail(run, 58, "4711_58.0", "app_failed", f"ValueError: {'long ' * 40}end")
    shown = call("status", run.run_id, expect=7).stdout
    assert re.search(r"incomplete +50 of 60 shards done", shown)
    assert "50 done, 10 failed" in shown
    assert re.search(r"Failed +7 out_of_memory +50-56\n", shown)
    assert "shard 57 (2 attempts): ValueError: [x] is bad" in shown
    assert "ask for more memory" in shown
    assert f"curator-slurm retry {run.run_id}" in shown
    assert all(len(line) <= 80 or "/" in line for line in shown.splitlines())
    assert len(shown.splitlines()) < 24
    document = call_json("status", run.run_id, expect=7)
    assert document["shards"]["failed_by_class"]["out_of_memory"] == {"count": 7, "shards": "50-56"}
    table = call("status", run.run_id, "--failed", expect=7).stdout.splitlines()
    assert len(table) == 11
    assert table[8].split()[:4] == ["57", "app_failed", "4711_57", "2"]
    assert table[9].endswith("long end")  # nothing is cut where a program reads it
    assert len(call_json("status", run.run_id, "--failed", expect=7)) == 10
    one = call("status", run.run_id, "--shard", 57, expect=7).stdout
    assert "4711_57.1  app_failed" in one
    assert "/data/57.jsonl" in one
    done = call_json("status", run.run_id, "--shard", 3, expect=7)
    assert (done["state"], done["done"]["rows"], done["input"]["paths"]) == ("done", 1, ["/data/3.jsonl"])
    assert "no shard 60" in call("status", run.run_id, "--shard", 60, expect=2).stderr


def test_status_asks_slurm_as_often_for_many_as_for_few(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=3)
    fake_slurm.pause()
    call("submit", write_spec(tmp_path, 14))
    before = len(fake_slurm.calls)
    shown = call("status", "demo").stdout
    assert len(fake_slurm.calls) - before == 1
    assert "14 pending" in shown
    [row] = call_json("list")
    assert (row["shards_done"], row["shards"]) == (0, 14)
    assert len(fake_slurm.calls) - before == 2


@pytest.mark.long
def test_watch_follows_to_the_end(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    result = call("submit", write_spec(tmp_path, 3), "--watch")
    assert "3 of 3 shards done" in result.stdout


def test_retry_shows_what_it_does(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = sharded_run(tmp_path, 4)
    for shard in (0, 2):
        publish(run, shard)
    result = call("retry", run.run_id, "--dry-run", "--set", "resources.time=9")
    assert "Would submit 2 shards again: 2 not submitted" in result.stdout
    assert "Shards   1,3" in result.stdout
    assert "Changed  resources.time=9" in result.stdout
    assert fake_slurm.calls_of("sbatch") == []
    document = call_json("retry", run.run_id, "--shard", "0,3")
    assert (document["shards"], document["passed_over"], document["arrays"]) == ([3], {"0": "done"}, ["0-0"])
    assert "3,7-9" in call("retry", run.run_id, "--shard", "x", expect=2).stderr
    assert "pipeline" in call("retry", run.run_id, "--set", "pipeline.command=x", expect=2).stderr
    wait(fake_slurm)
    call("retry", run.run_id)
    wait(fake_slurm)
    assert "Nothing to submit: all 4 shards are done." in call("retry", run.run_id).stdout


def test_collect_of_an_incomplete_run(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = sharded_run(tmp_path, 3)
    publish(run, 1)
    assert "Not done: 0,2" in call("collect", run.run_id, expect=7).stderr
    result = call("collect", run.run_id, "--partial")
    assert "NOT COMPLETE: 1 of 3" in result.stdout
    assert "Missing  0,2" in result.stdout
    assert call_json("collect", run.run_id, "--partial")["complete"] is False


def test_collect_of_files_that_cannot_be_merged(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """What cannot be read is what a pipeline wrote; nobody need run it again to get at it."""
    the_plan = plan(tmp_path, output={"path": str(tmp_path / "out"), "merge": True})
    run = sharded_run(tmp_path, 2, the_plan=the_plan)
    for shard in range(2):
        publish(run, shard, files={"x.parquet": b"no Parquet"})
    said = call("collect", run.run_id, expect=2).stderr
    assert "x.parquet is not readable as Parquet" in said
    (cure,) = re.findall(r"`curator-slurm (collect .*)`", said)
    assert "Published 2 of 2 shards" in call(*cure.split()).stdout
    assert (tmp_path / "out" / "shard-00001" / "x.parquet").exists()
    assert "Published 2 of 2 shards" in call("collect", run.run_id).stdout


def test_collect_says_that_nothing_was_kept_and_what_failed(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    run = sharded_run(tmp_path, 1)
    publish(run, 0, files={})
    write_json(run.paths.done(0), {**read_json(run.paths.done(0)), "tasks_failed": 2, "rows_failed": 1})
    said = call("collect", run.run_id).stdout
    assert "Nothing was kept" in said
    assert "Failed   2 tasks and 1 row" in said


@pytest.mark.long
def test_collect_waits_if_asked(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    call("submit", write_spec(tmp_path, 3))
    assert "still pending: 0 of 3" in call("collect", "demo", expect=7).stderr
    fake_slurm.resume()
    assert "Published 3 of 3" in call("collect", "demo", "--wait").stdout


def test_on_this_machine(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, 3, output={"collect": "auto", "path": str(tmp_path / "out")})
    result = call("run", spec, "--cluster", "local")
    assert "3 of 3 shards done" in result.stdout
    call("collect", "demo")
    assert read_json(tmp_path / "out" / "_dataset.json")["complete"]


def test_verbs_for_shards_on_a_run_without(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    from run_dirs import submitted_run

    run = submitted_run(tmp_path / "runs")
    assert "when it succeeds" in call("collect", run.run_id, "--runs-dir", tmp_path / "runs", expect=7).stderr
    for arguments in (
        ["status", run.run_id, "--failed"],
        ["retry", run.run_id, "--shard", "1"],
    ):
        result = call(*arguments, "--runs-dir", tmp_path / "runs", expect=2)
        assert "has no" in result.stderr


# cancel and logs


def element_states(fake: FakeSlurm) -> dict[str, str]:
    return {element.shown_id: element.state for job in fake.jobs for element in job.elements}


@pytest.mark.long
def test_cancel_some_shards_in_one_call(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=4)
    fake_slurm.pause()
    shards = {"files_per_shard": 1, "per_element": 2, "order": "name"}
    call("submit", write_spec(tmp_path, 12, shards=shards))
    first, second = (job.id for job in fake_slurm.jobs)
    result = call("cancel", "demo", "--shard", "0,3,9")
    assert "cancelled 3 elements with shards 0-3,8-9 (1-2,8 were in the same elements)" in result.stdout
    assert fake_slurm.calls_of("scancel") == [[f"{first}_[0-1]", f"{second}_[1]"]]
    states = element_states(fake_slurm)
    assert [states[f"{first}_{number}"] for number in range(3)] == ["CANCELLED", "CANCELLED", "PENDING"]
    shown = call_json("status", "demo")["shards"]
    assert (shown["cancelled"], shown["pending"]) == (6, 6)
    assert "not active: 0" in call("cancel", "demo", "--shard", "0").stdout
    assert "no shard 12" in call("cancel", "demo", "--shard", "12", expect=2).stderr
    assert "no submission 7" in call("cancel", "demo", "--submission", "7", expect=2).stderr
    fake_slurm.resume()
    wait(fake_slurm)
    assert "6 done, 6 cancelled" in call("status", "demo", expect=7).stdout
    assert call_json("retry", "demo")["why"] == {"cancelled": 6}
    wait(fake_slurm)
    assert call_json("status", "demo")["state"] == "completed"


def test_cancel_an_array(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    fake_slurm.pause()
    call("submit", write_spec(tmp_path, 4))
    call("cancel", "demo", "--submission", "1")
    assert fake_slurm.calls_of("scancel") == [[str(fake_slurm.jobs[1].id)]]
    shown = call_json("status", "demo", "--failed")
    assert [(row["shard"], row["state"]) for row in shown] == [(2, "cancelled"), (3, "cancelled")]


def test_cancel_the_whole_run(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.configure(max_array_size=2)
    fake_slurm.pause()
    call("submit", write_spec(tmp_path, 4, output={"collect": "auto"}))
    assert "was cancelled" in call("cancel", "demo").stdout
    assert fake_slurm.calls_of("scancel") == [[str(job.id) for job in fake_slurm.jobs]]
    assert set(element_states(fake_slurm).values()) == {"CANCELLED"}
    assert call_json("status", "demo", expect=8)["shards"]["cancelled"] == 4
    assert "has ended already" in call("cancel", "demo").stdout
    call("retry", "demo", "--shard", "0")
    shown = call_json("status", "demo")["shards"]
    assert (shown["pending"], shown["cancelled"]) == (1, 3)


def test_a_refused_cancel_is_no_cancel(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    call("submit", write_spec(tmp_path, 2))
    fake_slurm.fail_next("scancel", stderr="scancel: error: Access/permission denied\n")
    assert "permission denied" in call("cancel", "demo", "--shard", "1", expect=5).stderr
    assert call_json("status", "demo")["shards"]["pending"] == 2


def test_logs_of_shards(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    call("submit", write_spec(tmp_path, 3))
    wait(fake_slurm)
    assert call("logs", "demo", "--shard", 1).stdout == "driver of shard 1\n"
    assert call("logs", "demo", "--shard", 2, "-f").stdout == "driver of shard 2\n"
    kinds = [entry["kind"] for entry in call_json("logs", "demo", "--shard", 1, "--list")]
    assert kinds == ["driver", "slurm"]
    assert "No shard has failed" in call("logs", "demo", "--failed").stderr


def test_logs_of_all_failed_shards(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    from curator_slurm.launcher.runs.shard_records import Element
    from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

    run = sharded_run(tmp_path, 3)
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=3, shards=3, array="0-2", job_id="4711",
        submitted=1.0,
    )  # fmt: skip
    write_submission(run.paths, record, [Element(number, (number,)) for number in range(3)], {})
    publish(run, 0)
    fail(run, 1, "4711_1.0", "app_failed", "first")
    fail(run, 2, "4711_2.0", "storage", "second")
    shown = call("logs", run.run_id, "--failed", "-n", 1).stdout
    assert re.findall(r"==> shard (\d) \((\w+)\)", shown) == [("1", "app_failed"), ("2", "storage")]
    assert shown.splitlines()[1] == "first"
    assert "driver of shard" not in shown
    assert "driver of shard 2" in call("logs", run.run_id, "--failed").stdout


def test_input_that_changes_after_it_was_planned_is_named(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, 4)
    call("submit", spec)
    data = tmp_path / "data"
    run = only_run(tmp_path)
    assert "No input file has changed since run" in call("plan", spec, "--compare", "demo").stdout
    names = sorted(path.name for path in data.iterdir())
    (data / names[0]).write_text("another content, of another size")
    (data / names[1]).unlink()
    (data / "new.jsonl").touch()
    shown = call("plan", spec, "--compare", run.run_id).stdout
    assert "3 input files are not as planned:" in shown
    assert re.search(rf"{names[0]} changed \(.* bytes were planned, it has 32\)", shown)
    assert f"{names[1]} vanished" in shown
    assert "new.jsonl appeared" in shown
    changes = call_json("plan", spec, "--compare", "demo")["changes"]
    assert sorted(change["change"] for change in changes) == ["appeared", "changed", "vanished"]
    # The stand-in elements do not look at their input; collect tells what the outputs do not have.
    call("watch", "demo", "--interval", "0.2")
    collected = call("collect", "demo")
    assert "Published 4 of 4 shards" in collected.stdout
    assert "3 input files are not as planned:" in collected.stderr
    for path in data.iterdir():
        path.unlink()
    assert "cannot check whether input files have changed" in call("collect", "demo").stderr


def test_a_run_without_shards_can_be_compared_with(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, 2)
    call("submit", spec, "--set", "shards=")
    assert "No input file has changed since run" in call("plan", spec, "--compare", "demo").stdout
    assert "--compare" in call("plan", "--help").stdout
    call("plan", spec, "--compare", "nosuchrun", expect=3)


def test_logs_of_an_element_whose_cluster_never_came_up(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    from curator_slurm.launcher.runs.shard_records import Element
    from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission

    run = sharded_run(tmp_path, 2)
    record = SubmissionRecord(
        number=0, purpose="submit", prepared=1.0, comment="", elements=2, shards=2, array="0-1", job_id="4711",
        submitted=1.0,
    )  # fmt: skip
    write_submission(run.paths, record, [Element(number, (number,)) for number in range(2)], {})
    nodes = run.paths.element("4711_1", 0) / "nodes" / "n1"
    nodes.mkdir(parents=True)
    (nodes / "agent.log").write_text("no memory for Ray\n")
    (run.paths.elements / "slurm-4711_1.log").write_text("the batch script\n")
    assert call("logs", run.run_id, "--shard", 1).stdout == "the batch script\n"
    assert call("logs", run.run_id, "--agent", "n1").stdout == "no memory for Ray\n"
    assert "no log yet" in call("logs", run.run_id, "--shard", 0).stderr
