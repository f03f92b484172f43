"""`curator-slurm site`: what site files say about this cluster, a first one, and whether one is right."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _options


@click.group("site")
def command() -> None:
    """Show, write and check what site files say about this cluster.

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


@command.command("init")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="site.yaml",
    show_default=True,
    metavar="FILE",
    help="Where to write it; - is standard output.",
)
@click.option("--probe", is_flag=True, help="Submit one short job per partition that looks at a node.")
@click.option("--partition", "partitions", multiple=True, metavar="NAME", help="Probe only this one. May be repeated.")
@click.option("--account", default=None, metavar="NAME", help="Account of the probes.")
@click.option(
    "--wait",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for the probes, all together.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Folder that the nodes see, for the answers of probes; default: that of your runs.",
)
@click.option("--contact", default=None, metavar="WHO", help="Mail address or page of who helps users.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def init(
    output: Path,
    probe: bool,
    partitions: tuple[str, ...],
    account: str | None,
    wait: float,
    folder: Path | None,
    contact: str | None,
    force: bool,
) -> None:
    """Write a first site file from what this cluster says.

    Asks scontrol, sinfo, sacctmgr and sbatch --test-only; nothing is submitted without --probe. Each probe is a job of
    one node, with a time limit of at most five minutes; Ctrl-C cancels them all. Comments say where each value is from,
    and what is left to decide.

    \b
    Exit codes: 0 written, 2 FILE exists or cannot be written, 5 Slurm does not answer.
    """
    from curator_slurm.launcher.cli import _site_init

    wanted = _site_init.FirstFile(output, probe, partitions, account, wait, folder, contact, force)
    _site_init.write_first_file(wanted)


@command.command("check")
@click.argument("path", metavar="[FILE]", type=click.Path(path_type=Path), required=False)
@click.option("--offline", is_flag=True, help="Do not compare it with the cluster.")
@click.option("--strict", is_flag=True, help="Warnings are errors, too.")
@_options.site_option
@_options.json_option
def check(path: Path | None, offline: bool, strict: bool, as_json: bool) -> None:
    """Check a site file by itself and against this cluster.

    FILE alone, with what it extends; without FILE, all files that count in this folder. Looks for errors, for what
    contradicts itself, for paths that are not there, for templates that do not compile, and, where Slurm is, for what
    the cluster does not have.

    \b
    Exit codes: 0 no error, 2 an error, 4 a file changes what another has locked, 5 Slurm does not answer.
    """
    from curator_slurm.launcher.cli import _site_check

    _site_check.check_and_exit(path, offline=offline, strict=strict, as_json=as_json)


@command.command("diff-template")
@click.argument("block", required=False)
@_options.site_option
def diff_template(block: str | None) -> None:
    """Show what an upgrade has changed below the site's templates.

    For each block that the site replaces (or BLOCK alone), the one that its template was written for, compared with
    that of this version.

    \b
    Exit codes: 0 every template fits, 2 a block has changed below one: specs are refused until that is accepted.
    """
    from curator_slurm.launcher.cli._site_templates import differences
    from curator_slurm.launcher.cli._terminal import say

    found = list(differences(block))
    for each, changes in found:
        say(f"# {each.block.template}, block {each.block.name} ({each.where}): {each.fit}")
        if changes:
            say(changes, nl=False)
    if not found:
        say("The site has no templates.")
    if any(changes for _, changes in found):
        raise click.exceptions.Exit(2)


@command.command("override-template")
@click.argument("block")
@click.option("--folder", type=click.Path(path_type=Path), help="Write there, in place of templates.folder.")
@click.option("--accept", is_flag=True, help="Take note that the template was compared with this version.")
@_options.site_option
def override_template(block: str, folder: Path | None, accept: bool) -> None:
    """Begin a template of the site over one block of ours.

    Writes the template with the block as it is, to be edited, and a copy of the block, by which a later version knows
    whether it has changed. With --accept only the copy is written again.
    """
    from curator_slurm.launcher.cli._site_templates import override
    from curator_slurm.launcher.cli._terminal import say

    for path in override(block, folder, accept=accept):
        say(str(path))
