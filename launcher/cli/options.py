"""Options and arguments that several verbs share, one decorator for each."""

from __future__ import annotations

from pathlib import Path

import click

spec_argument = click.argument("spec_path", metavar="SPEC", type=click.Path(path_type=Path))
"""SPEC, the path of a spec; whether it can be read is said by the reader of specs, in its own words."""

run_argument = click.argument("run", metavar="RUN")
"""RUN: a run id, a unique prefix of one, a name (its latest run), a Slurm job id, or the path of a run directory."""

set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override one setting of the spec, such as resources.nodes=8 (VALUE is YAML). May be repeated.",
)

cluster_option = click.option(
    "--cluster",
    type=click.Choice(["auto", "slurm", "local"]),
    default="auto",
    show_default=True,
    help="Where to run: auto is slurm where sbatch is found, else local, which is this machine.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Folder of the runs; default: every folder that you have submitted to.",
)
