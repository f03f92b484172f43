"""`curator-slurm collect`: publish the outputs of a sharded run."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import json_option, run_argument, runs_dir_option


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
    from curator_slurm.launcher.cli._collecting import collect_and_show
    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.files import expanded
    from curator_slurm.launcher.runs import registry

    found = registry.find_run(run, folders_of(runs_dir))
    to = expanded(to).absolute() if to is not None else None
    collect_and_show(found, wait=wait, partial=partial, merges=not no_merge, to=to, finish=finish, as_json=as_json)
