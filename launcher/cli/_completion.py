"""What shells complete: names and ids of runs, and the settings of a spec for `--set`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

MOST_RUNS = 200


def runs(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of runs first, each once, then run ids, newest first; reads the names of folders alone."""
    from click.shell_completion import CompletionItem

    from curator_slurm.launcher.cli._folders import folders_of
    from curator_slurm.launcher.errors import CuratorSlurmError
    from curator_slurm.launcher.runs.run_folders import run_directories

    try:
        newest = run_directories(folders_of(ctx.params.get("runs_dir")))[:MOST_RUNS]
    except CuratorSlurmError:
        return []
    names = [CompletionItem(name) for name in dict.fromkeys(path.parent.name for path in newest)]
    ids = [CompletionItem(path.name, help=path.parent.name) for path in newest]
    return [item for item in (*names, *ids) if str(item.value).startswith(incomplete)]


def settings(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Dotted keys of settings; the value is the user's."""
    from click.shell_completion import CompletionItem

    from curator_slurm.launcher.spec.model import Spec

    return [CompletionItem(key) for key in _keys(Spec, "") if key.startswith(incomplete)]


def _keys(section: type, above: str) -> Iterator[str]:
    from curator_slurm.launcher.spec.keys import section_at, settings

    for name in settings(section):
        key = f"{above}{name}"
        below = section_at(tuple(key.split(".")))
        if below is None:
            yield key
        else:
            yield from _keys(below, f"{key}.")
