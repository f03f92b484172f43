"""`curator-slurm collect`: publish the outputs of a sharded run."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._folders import folders_of
from curator_slurm.launcher.cli._options import json_option, run_argument, runs_dir_option
from curator_slurm.launcher.cli._steps import Steps, open_steps
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.dataset.assemble import Collected
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.operations.collect import FINISH_S, collect
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.ranges import some_numbers
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.sharding.input_changes import changes_in_words, input_changes
from curator_slurm.launcher.status.run_decision import RunStatus


@click.command()
@run_argument
@click.option("--wait", is_flag=True, help="Wait for the end of the run first.")
@click.option("--partial", is_flag=True, help="Publish what is done, and record in the dataset that it is incomplete.")
@click.option("--no-merge", is_flag=True, help="Publish the files of the shards as they are, despite output.merge.")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Publish to this folder in place of output.path; also what a run without shards could not publish.",
)
@click.option("--finish", is_flag=True, hidden=True, help="Wait for what shared storage does not show yet.")
@json_option
@runs_dir_option
def command(
    run: str,
    wait: bool,
    partial: bool,
    no_merge: bool,
    to: Path | None,
    finish: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Verify and publish the outputs of a sharded run.

    Every shard is compared with the manifest and its done record: files, sizes, checksums where there are any. The
    outputs go to `output.path` as one dataset, in folders of their shards, or merged (`output.merge`), with
    _dataset.json, _files.jsonl and the failed tasks in _failures.jsonl. The dataset appears at once, when it is
    whole. Without output.path it stays in the run directory. --to names another folder, such as where output.path was
    taken meanwhile; of a run without shards, too, which is finished and could not publish its outputs.

    If it is interrupted, run it again: it continues where it stopped. Running it again after its end changes nothing.

    \b
    Exit codes: 0 published; 7 shards are missing or damaged, so nothing was published;
    2 the outputs cannot be written there; 3 no such run.
    """
    found = registry.find_run(run, folders_of(runs_dir))
    to = to.expanduser().absolute() if to is not None else None
    steps = open_steps()

    def waiting(status: RunStatus) -> None:
        steps.show("shards done", status.done, status.total)

    wait_s = None if wait else (FINISH_S if finish else 0.0)
    try:
        result = collect(found, steps.show, partial=partial, merges=not no_merge, to=to, wait_s=wait_s, waiting=waiting)
        changes = _input_changes(found, steps)
    finally:
        steps.close()
    for line in changes:
        say(line, err=True)
    if as_json:
        problems = {str(shard): problem for shard, problem in result.problems.items()}
        say_json({"target": str(result.target), **result.summary, "problems": problems})
    else:
        _show(result)


def _input_changes(run: Run, steps: Steps) -> list[str]:
    """What is to be said of input files that are not as planned: new ones are in no shard, and so not published."""
    try:
        return list(changes_in_words(input_changes(run.paths, read_plan(run), steps.show)))
    except StorageError as error:
        return [f"Note: cannot check whether input files have changed: {error}"]


def _show(result: Collected) -> None:
    if result.note:
        say(result.note)
        return
    summary = result.summary
    shards = summary["shards"]
    head = "Published" if result.is_complete else "Published, NOT COMPLETE:"
    say(f"{head} {words.count(shards['published'])} of {words.count(shards['total'])} shards")
    rows = f", {words.count(summary['rows'])} rows" if summary["rows"] is not None else ""
    say(f"Files    {words.count(summary['files'])}{rows}, {format_size(summary['bytes'])}")
    if failed := words.failed_in_words(summary["tasks_failed"], summary.get("rows_failed")):
        where = f", listed in {summary['failures']}" if summary["failures"] else ""
        say(f"Failed   {failed}{where}")
    if shards["missing"]:
        say(f"Missing  {some_numbers(result.missing)}")
    for shard, problem in list(result.problems.items())[:5]:
        say(f"Damaged  shard {shard}: {problem}")
    say(f"Dataset  {result.target}")
    if not summary["files"]:
        say("Nothing was kept: the pipeline wrote no file in any shard")
