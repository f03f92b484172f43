"""What `curator-slurm collect` does and prints."""

from __future__ import annotations

import os
from pathlib import Path

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.cli._notifying import onlooker_of
from curator_slurm.launcher.cli._steps import Steps, open_steps
from curator_slurm.launcher.cli._terminal import say, say_json
from curator_slurm.launcher.dataset.assemble import Collected
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.operations.collect import FINISH_S, collect
from curator_slurm.launcher.operations.feed import go_on
from curator_slurm.launcher.operations.onlooker import Onlooker
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.ranges import some_numbers
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.sharding.input_changes import changes_in_words, input_changes
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.run_decision import RunStatus


def collect_and_show(
    run: Run, *, wait: bool, partial: bool, merges: bool, to: Path | None, finish: bool, as_json: bool
) -> None:
    """Verify and publish, with a line of progress, and say what was published."""
    steps = open_steps()

    def waiting(status: RunStatus) -> None:
        steps.show("shards done", status.done, status.total)

    if finish and _goes_on(run):
        return
    onlooker = onlooker_of(run, "collect")
    wait_s = None if wait else (FINISH_S if finish else 0.0)
    try:
        result = collect(run, steps.show, partial=partial, merges=merges, to=to, wait_s=wait_s, waiting=waiting)
        changes = _input_changes(run, steps)
    except CuratorSlurmError as error:
        if finish:
            _tell(onlooker, run, RunState.INCOMPLETE, str(error))
        raise
    finally:
        steps.close()
    if finish:
        _tell(onlooker, run, RunState.COMPLETED if result.is_complete else RunState.INCOMPLETE, "")
    for line in changes:
        say(line, err=True)
    if as_json:
        problems = {str(shard): problem for shard, problem in result.problems.items()}
        say_json({"target": str(result.target), **result.summary, "problems": problems})
    else:
        _show(result)


def _tell(onlooker: Onlooker, run: Run, state: RunState, message: str) -> None:
    """Tell people of the end of a run that is collected by a job: then its elements leave that to this one."""
    if onlooker.is_asked and run.record is not None:
        done = len(done_shards(run.paths))
        onlooker.ended(
            state if done else RunState.FAILED, message=message, shards_done=done, shards_total=run.record.shards
        )


def _goes_on(run: Run) -> bool:
    """Whether the run goes on: then the job that collects leaves it to a further one, and has said so."""
    fed = go_on(run, os.environ)
    if fed is None:
        return False
    if fed.submitted:
        say(
            f"Submitted {words.several(fed.submitted, 'shard')} for which there was no room in the "
            f"queue before, {fed.left:,} {words.are(fed.left)} left"
        )
        if fed.why:
            say(fed.why, err=True)
    elif fed.left:
        retry = f"`curator-slurm retry {run.run_id}` submits them"
        say(
            f"{words.several(fed.left, 'shard')} {words.are(fed.left)} not submitted ({fed.why.rstrip('.')}): {retry}",
            err=True,
        )
    return bool(fed.submitted) or not fed.left


def _input_changes(run: Run, steps: Steps) -> list[str]:
    """What is to be said of input files that are not as planned: new ones are in no shard, and so not published."""
    try:
        return list(changes_in_words(input_changes(run, read_plan(run), steps.show)))
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
