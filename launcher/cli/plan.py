"""`curator-slurm plan`: the input and its shards, before anything is submitted."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curator_slurm.launcher.cli import options


@click.command("plan")
@options.spec_argument
@options.set_option
@options.cluster_option
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Save which files are in which shard (JSONL)."
)
@options.json_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, output: Path | None, as_json: bool) -> None:
    """Show the input and its shards before anything is submitted.

    Lists all input files with their sizes and cuts them into shards, exactly as submit would: how many files, bytes,
    shards, array elements and arrays there are, how large shards are, and what is odd. Nothing is submitted.
    """
    from curator_slurm.launcher.cli._show_plan import plan_lines
    from curator_slurm.launcher.cli._steps import open_steps
    from curator_slurm.launcher.cli._terminal import say, say_json, width
    from curator_slurm.launcher.errors import StorageError
    from curator_slurm.launcher.planning import choose_cluster, make_plan
    from curator_slurm.launcher.shards.manifest import write_manifest
    from curator_slurm.launcher.shards.previewing import make_preview

    plan = make_plan(spec_path, overrides, choose_cluster(cluster), os.environ)
    steps = open_steps()
    try:
        preview = make_preview(plan, steps.show)
    finally:
        steps.close()
    if output is not None:
        try:
            write_manifest(output, preview.shards)
        except OSError as error:
            raise StorageError(f"--output: cannot write {output}: {error.strerror or error}") from error
        say(f"Saved which files are in which shard to {output}", err=True)
    if as_json:
        say_json(preview.to_json())
        return
    for line in plan_lines(preview, width()):
        say(line)
