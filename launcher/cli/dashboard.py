"""`curator-slurm dashboard`: Ray's own dashboard of a running run."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import run_argument, runs_dir_option


@click.command()
@run_argument
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8265, show_default=True, help="The port on your machine."
)
@click.option("--through", type=click.Choice(["ssh", "srun"]), help="How nodes are reached; default: as the site says.")
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="That of the element that is at this shard.")
@click.option("--tunnel", is_flag=True, help="Be the tunnel by srun, on the login node; Ctrl-C closes it.")
@runs_dir_option
def command(run: str, port: int, through: str | None, shard: int | None, tunnel: bool, runs_dir: Path | None) -> None:
    """Show how to reach Ray's own dashboard of a running run.

    Prints one command for your own machine, by ssh to the head node, or, where a site forbids that
    (`network.ssh_to_nodes: false`) or with --through srun, by a step in the job. The run needs `cluster.dashboard:
    true`. The dashboard listens on localhost of its node, and asks for the run's token.
    """
    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.cli._show_dashboard import open_tunnel, show_way
    from curator_slurm.launcher.operations.reach_dashboard import find_dashboard
    from curator_slurm.launcher.runs import registry

    target = find_dashboard(registry.find_run(run, folders_of(runs_dir)), shard)
    if tunnel:
        open_tunnel(target)
    else:
        show_way(target, port, through)
