"""`curator-slurm render`: the script that submit would submit, or a run directory that anybody can submit."""

from __future__ import annotations

import os
from pathlib import Path

import click

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.cli._terminal import say, say_exactly


@click.command("render")
@_options.spec_argument
@_options.set_option
@_options.cluster_option
@_options.site_option
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Make a run directory in DIR, which can be submitted.",
)
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, folder: Path | None) -> None:
    """Print exactly the script that submit would submit.

    The bytes are those of job.sbatch in the run directory. Nothing is written, unless --output is given: then a whole
    run directory is made in DIR, to look at, to change and to submit by hand. The script alone cannot run, since it
    reads the plan beside it.
    """
    if folder is None:
        from curator_slurm.launcher.plan import script
        from curator_slurm.launcher.plan.resolve import choose_cluster, make_plan

        say_exactly(script.render(make_plan(spec_path, overrides, choose_cluster(cluster), _options.environ())))
        return
    from curator_slurm.launcher.files import expanded
    from curator_slurm.launcher.operations.submit import choose_cluster as chosen
    from curator_slurm.launcher.operations.submit import prepare, write_run
    from curator_slurm.launcher.shell import quote

    prepared = prepare(spec_path, overrides, chosen(cluster).cluster, _options.environ())
    run = write_run(prepared, expanded(folder).absolute(), os.environ)
    start = "bash" if run.record and run.record.is_local else "sbatch"
    say(f"Run dir  {run.paths.root}")
    root = quote(str(run.paths.root))
    say(f"\nSubmit it with  curator-slurm retry {root}")
    if prepared.plan.spec.environment.secrets:
        say("which also hands over its secrets; they are not in the run directory", err=True)
    else:
        say(f"or              cd {root} && {start} {run.paths.script.name}")
