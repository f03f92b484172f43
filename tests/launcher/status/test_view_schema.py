"""The JSON schemas of what `--json` prints: the files in docs/schemas/ are the model's, and hold for real output.

`curator-slurm schema status >docs/schemas/status.schema.json` writes one again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import event, new_attempt, node_status, outcome, own_home, progress, submitted_run
from sharded_runs import fail, publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli.schema import DOCUMENTS as OFFERED
from curator_slurm.launcher.cli.schema import documents
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import SubmissionRecord, write_submission
from curator_slurm.launcher.status.view_schema import schema_of

__all__ = ["own_home"]

DOCUMENTS = documents()
SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"

pytestmark = pytest.mark.usefixtures("own_home")


def output(*arguments: object) -> Any:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def check(document: str, value: Any) -> Any:
    jsonschema.validate(value, schema_of(document, DOCUMENTS[document]))
    return value


def test_the_verb_offers_every_document() -> None:
    assert set(OFFERED) == {"spec", "site", *DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_are_those_of_the_model(document: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(document, DOCUMENTS[document]))
    assert json.loads((SCHEMAS / f"{document}.schema.json").read_text()) == schema_of(document, DOCUMENTS[document])


def test_a_run_of_one_shard(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    where = (run.run_id, "--runs-dir", tmp_path)
    check("status", output("status", *where))
    attempt = new_attempt(run)
    event(attempt, "driver_started")
    node_status(attempt, "n1", "joined")
    progress(attempt)
    running = check("status", output("status", *where))
    assert (running["state"], running["stages"][0]["name"]) == ("running", "reader")
    assert [node["state"] for node in running["node_reports"]] == ["joined"]
    outcome(attempt, "failed", failure_class="app_failed", evidence=["ValueError: x"])
    failed = check("status", output("status", *where))
    assert (failed["failure_class"], failed["evidence"]) == ("app_failed", ["ValueError: x"])


def test_a_run_that_cannot_be_read(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted_run(tmp_path)
    run.paths.record.write_text("{")
    assert check("status", output("status", run.paths.root))["state"] == "unknown"
    assert check("list", output("list", "--runs-dir", tmp_path))[0]["shards"] is None


def test_a_run_of_many_shards(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = sharded_run(tmp_path, 5)
    record = SubmissionRecord(
        number=0,
        purpose="submit",
        prepared=1.0,
        comment="",
        elements=5,
        shards=5,
        array="0-4",
        job_id="4711",
        submitted=1.0,
    )
    write_submission(run.paths, record, [Element(number, (number,)) for number in range(5)], {})
    publish(run, 0, "4711_0.0")
    fail(run, 1, "4711_1.0", "out_of_memory", evidence=["killed"])
    fail(run, 2, "4711_2.0", "app_failed")
    shown = check("status", output("status", run.paths.root))
    assert (shown["shards"]["done"], shown["shards"]["total"]) == (1, 5)
    assert shown["shards"]["failed_by_class"]["out_of_memory"] == {"count": 1, "shards": "1"}
    for shard, state in enumerate(["done", "failed", "failed"]):
        assert check("status-shard", output("status", run.paths.root, "--shard", shard))["state"] == state
    assert output("status", run.paths.root, "--shard", 1)["evidence"] == ["killed"]
    assert [row["shard"] for row in check("status-failed", output("status", run.paths.root, "--failed"))] == [
        1,
        2,
        3,
        4,
    ]
    [row] = check("list", output("list", "--runs-dir", tmp_path / "runs"))
    assert (row["shards_done"], row["shards"], row["array"]) == (1, 5, True)
