"""Options and arguments that several verbs share, one decorator for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from curator_slurm.launcher.cli import _completion
from curator_slurm.launcher.errors import UsageError

INTERVAL_S = 2.0
"""How often `watch` looks, unless it is told."""

spec_argument = click.argument("spec_path", metavar="SPEC", type=click.Path(path_type=Path))
"""SPEC, the path of a spec; whether it can be read is said by the reader of specs, in its own words."""

run_argument = click.argument("run", metavar="RUN", shell_complete=_completion.runs)
"""RUN: a run id, a unique prefix of one, a name (its latest run), a Slurm job id, or the path of a run directory."""

_SHORT = {
    "nodes": ("N", "Nodes of the job"),
    "gpus-per-node": ("N", "GPUs on each node"),
    "time": ("TIME", "Time limit"),
    "partition": ("NAME", "Partition"),
    "account": ("NAME", "Account"),
}
"""Options that stand for --set resources.KEY=VALUE, under sbatch's names: those that change from run to run."""


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--set`, and the short forms of the settings that change most; all arrive as `overrides`."""

    @functools.wraps(command)
    def with_overrides(*args: Any, overrides: tuple[str, ...], **options: Any) -> Any:
        given = {name: options.pop(name.replace("-", "_")) for name in _SHORT}
        short = [f"resources.{name.replace('-', '_')}={value}" for name, value in given.items() if value is not None]
        return command(*args, overrides=(*overrides, *short), **options)

    decorated: Callable[..., Any] = with_overrides
    for name, (metavar, what) in reversed(_SHORT.items()):
        key = name.replace("-", "_")
        decorated = click.option(f"--{name}", key, metavar=metavar, help=f"{what}: --set resources.{key}={metavar}.")(
            decorated
        )
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        shell_complete=_completion.settings,
        help="Override one setting of the spec, such as resources.nodes=8 (VALUE is YAML). May be repeated.",
    )(decorated)


cluster_option = click.option(
    "--cluster",
    type=click.Choice(["auto", "slurm", "local"]),
    default="auto",
    show_default=True,
    help="Where to run: auto is slurm where sbatch is found, else local, which is this machine.",
)

_SITE = "curator_slurm.site"


def _keep_site(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    ctx.meta[_SITE] = value


site_option = click.option(
    "--site",
    metavar="NAME",
    callback=_keep_site,
    expose_value=False,
    help="Entry of the catalogue of clusters, or path of a site file; none: recognise no cluster.",
)


def environ() -> Mapping[str, str]:
    """This process's environment, with what --site says."""
    from curator_slurm.launcher.site.layers import with_site

    return with_site(os.environ, click.get_current_context().meta.get(_SITE))


imports_option = click.option(
    "--no-import",
    "imports",
    flag_value=False,
    default=True,
    help="Do not look at the pipeline: import none of its modules, make none of its stages.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Folder of the runs; default: every folder that you have submitted to.",
)


def numbers(texts: Sequence[str], option: str) -> list[int] | None:
    """The numbers in the values of a repeatable option such as `--shard 3,7-9`; None where it is not given."""
    from curator_slurm.launcher.ranges import parse_numbers

    try:
        return sorted({number for text in texts for number in parse_numbers(text)}) if texts else None
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
