"""`curator-slurm init`: a commented starter spec."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._terminal import say

KINDS = ("stages", "entry", "command")


@click.command("init")
@click.argument("spec_path", metavar="[SPEC]", type=click.Path(path_type=Path), default="spec.yaml")
@click.option("--kind", type=click.Choice(KINDS), default="stages", show_default=True, help="What the pipeline is.")
@click.option("--name", default=None, help="Name of the run; default: the name of the folder of SPEC.")
@click.option("--force", is_flag=True, help="Overwrite SPEC.")
@click.option("--list", "list_kinds", is_flag=True, help="Print what each kind is for, and write nothing.")
def command(spec_path: Path, kind: str, name: str | None, force: bool, list_kinds: bool) -> None:
    """Write a commented starter spec.

    SPEC (default: spec.yaml) is valid as written, once its input files exist. A file that exists is kept,
    unless --force is given.
    """
    from curator_slurm.launcher.errors import StorageError, UsageError
    from curator_slurm.launcher.spec import starters

    if list_kinds:
        for each in KINDS:
            say(f"{each:8} {starters.PURPOSES[each]}")
        return
    if name is not None and not starters.is_name(name):
        raise UsageError(f"--name {name!r}: a name has letters, digits, dots, hyphens and underscores, at most 63")
    text = starters.starter(kind, name or starters.name_for(spec_path), _as_text(spec_path))
    if spec_path.is_dir():
        raise UsageError(f"{spec_path} is a folder; give the name of the file to write, such as {spec_path}/spec.yaml")
    if spec_path.exists() and not force:
        raise UsageError(f"{spec_path} exists; give another name, or --force to overwrite it")
    try:
        spec_path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {spec_path}: {error.strerror}") from None
    say(f"Wrote {spec_path}. Next: edit it, then `curator-slurm validate {spec_path}`.")


def _as_text(path: Path) -> str:
    """The name of a file as the text in it can have it."""
    return str(path).encode(errors="replace").decode()
