"""`curator-slurm run`: submit a spec, follow it to its end, and exit with its exit code."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._options import (
    INTERVAL_S,
    cluster_option,
    imports_option,
    json_option,
    set_option,
    site_option,
    spec_argument,
)


@click.command()
@spec_argument
@set_option
@cluster_option
@site_option
@imports_option
@json_option
def command(spec_path: Path, overrides: tuple[str, ...], cluster: str, imports: bool, as_json: bool) -> None:
    """Submit a spec, follow it to its end, and exit with its exit code.

    Shows progress, and at the end what each stage read, kept and dropped, and where the outputs are. Ctrl-C cancels
    the run and waits for its end; a second Ctrl-C exits at once. With --json, progress goes to stderr and the
    final status to stdout.

    \b
    Exit codes: 0 the run completed, 6 it failed, 8 it was cancelled,
    7 some of its shards are not done, 2 the spec has errors,
    5 Slurm refused or is not reachable.
    """
    from curator_slurm.launcher.cli._follow import follow_to_end
    from curator_slurm.launcher.cli._submitting import SubmitRequest, submit_request
    from curator_slurm.launcher.cli._terminal import say

    answer = submit_request(SubmitRequest(spec_path, overrides, cluster, imports))
    say(f"Run {answer.run.run_id}, job {answer.job_id}", err=as_json)
    say(f"on {answer.where}", err=as_json)
    if answer.submitted.problem:
        say(f"Error: {answer.submitted.problem}", err=True)
    follow_to_end(answer.run, interval_s=INTERVAL_S / 2, as_json=as_json, cancel_on_interrupt=True)
