"""`curator-slurm init`: a commented starter spec."""

from __future__ import annotations

from pathlib import Path

import click

from curator_slurm.launcher.cli._terminal import say
from curator_slurm.launcher.shell import quote

KINDS = ("stages", "entry", "command")


@click.command("init")
@click.argument("spec_path", metavar="[SPEC]", type=click.Path(path_type=Path), default="spec.yaml")
@click.option("--kind", type=click.Choice(KINDS), default="stages", show_default=True, help="What the pipeline is.")
@click.option("--shards", is_flag=True, help="Split the input into shards, for job arrays.")
@click.option("--name", default=None, help="Name of the run; default: the name of the folder of SPEC.")
@click.option("--force", is_flag=True, help="Overwrite SPEC.")
@click.option("--list", "list_kinds", is_flag=True, help="Print what each kind is for, and write nothing.")
def command(spec_path: Path, kind: str, shards: bool, name: str | None, force: bool, list_kinds: bool) -> None:
    """Write a commented starter spec.

    SPEC (default: spec.yaml) is valid as written, once its input files exist. Kind `entry` also writes the
    function that it names, to pipelines.py beside it. A file that exists is kept, unless --force is given.
    """
    from curator_slurm.launcher.errors import UsageError
    from curator_slurm.launcher.spec import starters

    if list_kinds:
        for each in KINDS:
            say(f"{each:8} {starters.PURPOSES[each]}")
        return
    if name is not None and not starters.is_name(name):
        raise UsageError(f"--name {name!r}: a name has letters, digits, dots, hyphens and underscores, at most 63")
    name = name or starters.name_for(spec_path)
    text = starters.starter(kind, name, _as_text(spec_path), shards=shards)
    if spec_path.is_dir():
        example = spec_path / "spec.yaml"
        raise UsageError(f"{spec_path} is a folder; give the name of the file to write, such as {example}")
    if spec_path.exists() and not force:
        raise UsageError(f"{spec_path} exists; give another name, or --force to overwrite it")
    _write(spec_path, text)
    say(f"Wrote {spec_path}. Next: edit it, then `curator-slurm validate {quote(str(spec_path))}`.")
    if kind == "entry":
        module = spec_path.with_name(starters.MODULE)
        if module.exists() and not force:
            say(f"Kept {module}, which exists; the spec names the function build in it.")
            return
        _write(module, starters.entry_code(name, _as_text(spec_path)))
        say(f"Wrote {module}, with the function that builds the pipeline.")


def _write(path: Path, text: str) -> None:
    from curator_slurm.launcher.errors import StorageError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None


def _as_text(path: Path) -> str:
    """The name of a file as the text in it can have it."""
    return str(path).encode(errors="replace").decode()
