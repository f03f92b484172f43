"""`curator-slurm plan`: the input and its shards, before anything is submitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.errors import StorageError

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.registry import Run


@click.command("plan")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
@_options.site_option
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Save which files are in which shard (JSONL)."
)
@click.option("--compare", "run_name", metavar="RUN", help="List the files that differ from those of a run.")
@_options.json_option
def command(
    spec_path: Path,
    overrides: tuple[str, ...],
    cluster: str,
    output: Path | None,
    run_name: str | None,
    as_json: bool,
) -> None:
    """Show the input and its shards before anything is submitted.

    Lists all input files with their sizes and splits them into shards, exactly as submit would: how many files, bytes,
    shards, array elements and arrays there are, the sizes of shards, and what is unusual. Nothing is submitted.

    With --compare, the files that have changed, disappeared or appeared since a run was submitted are listed.
    """
    from curator_slurm.launcher.cli._show_plan import plan_lines
    from curator_slurm.launcher.cli._steps import open_steps
    from curator_slurm.launcher.cli._terminal import say, say_json, width
    from curator_slurm.launcher.errors import StorageError
    from curator_slurm.launcher.operations.staged_software import look_at_software
    from curator_slurm.launcher.plan.resolve import choose_cluster, make_plan
    from curator_slurm.launcher.runs.manifest import read_manifest, write_manifest
    from curator_slurm.launcher.sharding.changes import find_changes
    from curator_slurm.launcher.sharding.input_changes import changes_in_words
    from curator_slurm.launcher.sharding.make_preview import make_preview

    run = None if run_name is None else _run_named(run_name)
    plan = make_plan(spec_path, overrides, choose_cluster(cluster), _options.environ(), publishes=run is None)
    steps = open_steps()
    try:
        preview = make_preview(plan, steps.show)
    finally:
        steps.close()
    preview = replace(preview, notes=[*preview.notes, *look_at_software(plan).notes()])
    if output is not None:
        try:
            write_manifest(output, preview.shards)
        except OSError as error:
            raise StorageError(f"--output: cannot write {output}: {error.strerror or error}") from error
        say(f"Saved which files are in which shard to {output}", err=True)
    changes = None
    if run is not None:
        now = [file for shard in preview.shards for file in shard.files]
        changes = find_changes(read_manifest(run.paths.manifest), now)
    if as_json:
        document = preview.to_json()
        if changes is not None:
            document["changes"] = [
                {"path": each.path, "change": each.change, "details": each.details} for each in changes
            ]
        say_json(document)
        return
    for line in plan_lines(preview, width()):
        say(line)
    if run is not None and changes is not None:
        unchanged = f"No input file has changed since run {run.run_id} was submitted."
        for line in list(changes_in_words(changes)) or [unchanged]:
            say(line)


def _run_named(name: str) -> Run:
    """The run that --compare names."""
    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.runs import registry

    run = registry.find_run(name, folders_of(None))
    if run.record is None:
        raise StorageError(f"run {run.run_id} cannot be compared: {run.problem}")
    return run
