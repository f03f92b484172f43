"""`curator-slurm doctor`: whether runs can work here, on this machine and, in a small job, on nodes."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli import _completion, _options


@click.command("doctor")
@click.option(
    "--nodes", type=click.IntRange(min=1, max=1024), default=None, metavar="N", help="Look at N nodes, too, in a job."
)
@click.option(
    "--spec",
    "spec_path",
    type=click.Path(path_type=Path),
    default=None,
    metavar="SPEC",
    help="Look with the software, the resources and the paths of this spec.",
)
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    shell_complete=_completion.settings,
    help="Override one setting of the spec, such as resources.partition=gpu. May be repeated.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for the job, its time in the queue included.",
)
@_options.site_option
@_options.json_option
def command(nodes: int | None, spec_path: Path | None, overrides: tuple[str, ...], wait: float, as_json: bool) -> None:
    """Check whether runs can work here, on this machine and on nodes.

    Without --nodes it looks at this machine: Slurm, site files, the spec, the runs folder. With --nodes it submits a
    job of that many nodes, with a time limit of ten minutes, in which nothing of Ray is started: storage, network,
    clocks, software, CPUs, GPUs and memory are looked at, and the nodes call each other. Each check says what it found
    and how to mend it. Ctrl-C cancels the job.

    \b
    Exit codes: 0 no check failed, 2 bad usage, 6 a check failed.
    """
    from curator_slurm.launcher.cli._show_doctor import lines
    from curator_slurm.launcher.cli._terminal import say, say_json
    from curator_slurm.launcher.doctor.diagnose import diagnose
    from curator_slurm.launcher.doctor.login import Asked
    from curator_slurm.launcher.errors import RunEndedError
    from curator_slurm.launcher.status.views import to_json

    asked = Asked(spec_path, overrides, nodes or 0)
    report = diagnose(asked, _options.environ(), wait_s=wait, say=lambda text: say(text, err=True))
    if as_json:
        say_json(to_json(report))
    else:
        for line in lines(report):
            say(line)
    if not report.healthy:
        click.get_current_context().exit(RunEndedError.exit_code)
