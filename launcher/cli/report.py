"""`curator-slurm report`: what happened in a run, as a page that needs no network."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.cli._options import json_option, runs_dir_option


@click.command()
@click.argument("runs", metavar="[RUN] [OTHER]", nargs=-1, shell_complete=_completion.runs)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the page; default: report.html in the run directory, of two runs comparison.html here.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what was measured of nodes and stages as Parquet, in place of a page.",
)
@json_option
@runs_dir_option
def command(
    runs: tuple[str, ...],
    output: Path | None,
    opens: bool,
    export: Path | None,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """Show what happened in a run: one page, with pictures and tables.

    RUN is a run id, the beginning of one, a name (its latest run), a Slurm job id, or a path; without it, it is the
    latest run. The page is one HTML file that loads nothing from anywhere. It has the outcome, where the documents
    went, what limited the speed, where the time went on each node, stages and nodes over time, shards, failures by
    cause, and what it all took. Of a run that goes on, it shows how far that has come.

    Of two runs, it shows what differs in their plans, and what came of each, side by side.

    Values of variables and of proxies are not in it; names, paths, settings and errors are.
    """
    from curator_slurm.launcher.cli._folders import run_to_read
    from curator_slurm.launcher.cli._show_report import export_run, show_comparison, show_report

    if len(runs) > 2:
        raise click.UsageError("give one run, or two to compare")
    if export is not None and (output is not None or opens or as_json or len(runs) == 2):
        raise click.UsageError("give --export alone, with one run")
    found = [run_to_read(run, runs_dir) for run in runs or (None,)]
    if export is not None:
        export_run(found[0], export)
    elif len(found) == 2:
        show_comparison(found[0], found[1], output, opens=opens, as_json=as_json)
    else:
        show_report(found[0], output, opens=opens, as_json=as_json)
