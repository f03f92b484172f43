"""`curator-slurm site`: what site files say about this cluster, and what becomes of a spec here."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _options


@click.group("site")
def command() -> None:
    """Show what site files say about this cluster.

    A site file describes a cluster once, so that specs can be short: partitions, limits, habits, defaults, and what
    specs may not change. Files in several places are merged, later ones win.
    """


@command.command("show")
@click.option("--origin", is_flag=True, help="Name the file and line of every value.")
@click.option("--all", "defaults", is_flag=True, help="List every key, those with their defaults too.")
@click.option(
    "--for", "spec_path", type=click.Path(path_type=Path), metavar="SPEC", help="Show what becomes of this spec here."
)
@_options.site_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(origin: bool, defaults: bool, spec_path: Path | None, as_json: bool) -> None:
    """Print the configuration that counts in this folder.

    With --origin every value is on a line with its file. With --for, the settings of a spec as they are on this site,
    where each is from, and the options that sbatch gets.

    \b
    Exit codes: 0 done, 2 a file is wrong, 4 the spec changes what a site file has locked.
    """
    from curator_slurm.launcher.cli import _show_site
    from curator_slurm.launcher.cli._terminal import say, say_json

    view = _show_site.of_spec(spec_path) if spec_path else _show_site.of_site(defaults=defaults)
    for note in view.notes:
        say(f"Note: {note}", err=True)
    if as_json:
        say_json(view.to_json())
        return
    for line in view.lines(origin=origin or spec_path is not None):
        say(line)
