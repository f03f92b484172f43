"""`curator-slurm render`: the script that submit would submit."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.cli._terminal import say_exactly


@click.command("render")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str) -> None:
    """Print exactly the script that submit would submit.

    The bytes are those of job.sbatch in the run directory. Nothing is written.
    """
    from curator_slurm.launcher.plan import script
    from curator_slurm.launcher.plan.resolve import choose_cluster, make_plan

    plan = make_plan(spec_path, overrides, choose_cluster(cluster), os.environ)
    say_exactly(script.render(plan))
