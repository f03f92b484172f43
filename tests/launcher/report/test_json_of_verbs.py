"""What verbs print with --json for a run that was measured, and for one that never started, is as the schemas say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import reported_runs
import run_dirs
from click.testing import CliRunner

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli.schema import documents
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.status.view_schema import schema_of

own_home = run_dirs.own_home
pytestmark = pytest.mark.usefixtures("fake_slurm", "own_home")

VERBS = {
    "status": ["status"],
    "status-attempts": ["status", "--attempts"],
    "status-events": ["status", "--events"],
    "status-timeline": ["status", "--timeline"],
    "report": ["report"],
    "advise": ["advise"],
}
RUNS = {
    "measured": reported_runs.measured_run,
    "never started": run_dirs.new_run,
    "sharded": lambda folder: reported_runs.many_shards(folder, 3),
}


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("document", VERBS)
def test_output_is_as_the_schema_says(document: str, make: Callable[[Path], Run], tmp_path: Path) -> None:
    run = make(tmp_path)
    verb, *options = VERBS[document]
    result = CliRunner().invoke(main, [verb, str(run.paths.root), *options, "--json"], catch_exceptions=False)
    if document == "status-timeline" and make is not RUNS["measured"]:  # nothing has noted when it reached what
        assert (result.exit_code, result.stdout) == (2, "")
        return
    value = json.loads(result.stdout)
    schema = schema_of(document, documents()[document])
    jsonschema.validate(value, schema)
    first = next(iter(value)) if isinstance(value, dict) else None
    if first is not None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**value, first: {"not": "this"}}, schema)
