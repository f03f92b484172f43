"""`curator-slurm logs`: print the logs of a run."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import json_option, run_argument, runs_dir_option


@click.command()
@run_argument
@click.option("--driver", is_flag=True, help="The driver's log: what the pipeline prints. The default.")
@click.option("--slurm", is_flag=True, help="The log of the batch script.")
@click.option("--agent", metavar="NODE", help="The log of the node agent on NODE.")
@click.option("--all", "everything", is_flag=True, help="All of them, one after the other.")
@click.option("--shard", type=click.IntRange(min=0), metavar="N", help="Those of the newest attempt at this shard.")
@click.option("--attempt", metavar="N", help="Those of the Nth attempt, or of that name (status --attempts).")
@click.option("--failed", is_flag=True, help="The last lines of the driver logs of all failed shards.")
@click.option("-f", "--follow", is_flag=True, help="Keep printing as they grow, until the run ends.")
@click.option("-n", "--tail", "lines", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--raw", is_flag=True, help="With control characters as they are; otherwise they are made visible.")
@click.option("--list", "list_only", is_flag=True, help="Print the names of the logs instead.")
@json_option
@runs_dir_option
def command(
    run: str,
    driver: bool,
    slurm: bool,
    agent: str | None,
    everything: bool,
    shard: int | None,
    attempt: str | None,
    failed: bool,
    follow: bool,
    lines: int | None,
    raw: bool,
    list_only: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Print the logs of a run.

    The driver's log by default; while there is none yet, the log of the batch script instead, with a note on
    stderr. Of a sharded run, those of the newest attempt, or of the newest attempt at --shard N. With -f, those of
    restarts follow, each under its name.

    Control characters in logs are shown, such as \\x1b, and colours are left out; --raw prints logs unchanged.
    """
    if sum([driver, slurm, agent is not None, everything]) > 1:
        raise click.UsageError("give one of --driver, --slurm, --agent and --all")
    if as_json and not list_only:
        raise click.UsageError("--json requires --list")
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._print_logs import print_logs
    from curator_slurm.launcher.runs import registry
    from curator_slurm.launcher.status.logs import Wanted

    found = registry.check_readable(run_to_read(run, runs_dir))
    wanted = Wanted(slurm=slurm, agent=agent, everything=everything, driver=driver, shard=shard, attempt=attempt)
    print_logs(found, wanted, lines, failed=failed, follow=follow, raw=raw, list_only=list_only, as_json=as_json)
