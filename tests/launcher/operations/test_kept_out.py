"""A retry does without nodes that have failed twice, where the site permits it and the job can start without."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import fake_python, keep_element, own_home, write_spec

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs.node_faults import NodeFault, note_fault
from curator_slurm.launcher.runs.registry import Run, load_run, run_directories

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "asked_often")


def call(*arguments: object, expect: int = 0) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result.output


@pytest.fixture
def failed(fake_slurm: FakeSlurm, tmp_path: Path) -> Run:
    """A run that has failed, under which n3 failed twice and n4 once."""
    keep_element(fake_slurm)
    return failed_run(fake_slurm, tmp_path)


def failed_run(fake: FakeSlurm, folder: Path, **more: Any) -> Run:
    python = fake_python(folder / "python", state="failed", outcome={"failure_class": "node_failed"})
    call("submit", write_spec(folder, python, **more))
    fake.wait(fake.jobs[0].id)
    run = load_run(run_directories([folder / "runs"])[0])
    for node, element in (("n3", "1.0"), ("n3", "1.1"), ("n4", "1.0")):
        note_fault(
            run.paths,
            NodeFault(
                node=node, time=time.time(), run_id=run.run_id, element=element, failure_class="node_failed",
                message=f"{node} left the Ray cluster",
            ),
        )  # fmt: skip
    return run


def test_the_second_time_counts(failed: Run, fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    shown = json.loads(call("status", failed.run_id, "--json", expect=6))
    assert [(each["node"], each["faults"], each["excluded"]) for each in shown["bad_nodes"]] == [
        ("n3", 2, True),
        ("n4", 1, False),
    ]
    text = " ".join(call("status", failed.run_id, expect=6).split())
    assert "Bad nodes n3 failed 2 times, last " in text
    assert "a retry does without it: n3 left the Ray cluster" in text
    assert "does without n3, which failed at least twice lately" in call("retry", failed.run_id)
    [first, second] = fake_slurm.calls_of("sbatch")
    assert "--exclude=n3" in second
    assert not any("exclude" in each for each in first)
    assert len(json.loads(call("list", "--json"))) == 1  # the folder of faults is no run


def test_not_where_the_job_could_not_start_without(failed: Run, fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail_next("sbatch.test-only", instead=False)  # that of the job itself
    words = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    fake_slurm.fail_next("sbatch.test-only", stderr=words)
    assert "could not start without: Batch job submission failed: Requested node" in call("retry", failed.run_id)
    assert not any("exclude" in each for each in fake_slurm.calls_of("sbatch")[1])


def test_with_those_of_the_spec(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    keep_element(fake_slurm)
    run = failed_run(fake_slurm, tmp_path, resources={"sbatch": {"exclude": "n[7-9]"}})
    call("retry", run.run_id)
    assert "--exclude=n[7-9],n3" in fake_slurm.calls_of("sbatch")[1]


def test_not_where_the_site_takes_no_names_of_nodes(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_element(fake_slurm)
    site = tmp_path / "site.yaml"
    site.write_text("slurm: {nodelist: never}\n")
    monkeypatch.setenv("CURATOR_SLURM_SITE", str(site))
    run = failed_run(fake_slurm, tmp_path)
    call("retry", run.run_id)
    assert not any("exclude" in each for each in fake_slurm.calls_of("sbatch")[1])
