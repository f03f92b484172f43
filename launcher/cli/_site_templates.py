"""What `site diff-template` and `site override-template` do: the templates of a site beside ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.errors import StorageError, UsageError
from curator_slurm.launcher.plan.model import SiteTemplate
from curator_slurm.launcher.plan.site_part import site_templates, template_folder
from curator_slurm.launcher.plan.template_blocks import TemplateBlock, difference, our_blocks
from curator_slurm.launcher.plan.template_overrides import PREFIX, BlockFit, Replaced, replaced
from curator_slurm.launcher.site.layers import Layers, load
from curator_slurm.launcher.site.template_files import KEY, ORIGINALS, SUFFIX


def templates_of(layers: Layers) -> list[SiteTemplate]:
    """The templates that site files name."""
    folder = (layers.document.value.get("templates") or {}).get("folder")
    return site_templates(folder, layers.where(KEY), os.environ) if folder else []


def described(templates: Sequence[SiteTemplate]) -> list[str]:
    """One line for each block that the site replaces."""
    return [
        f"{each.block.template}, block {each.block.name} ({each.where}): {each.fit}" for each in replaced(templates)
    ]


def differences(block: str | None) -> Iterator[tuple[Replaced, str]]:
    """Each block of the site, or that one, and what has changed below it; empty where nothing has.

    Raises:
        UsageError: the site does not replace that block.
    """
    found = replaced(templates_of(load(Path.cwd(), _options.environ())))
    chosen = [each for each in found if block in (None, each.block.name)]
    if block is not None and not chosen:
        _known(block)
        raise UsageError(f"the site's templates do not replace the block {block}")
    for each in chosen:
        changed = each.fit in (BlockFit.CHANGED, BlockFit.NO_COPY)
        yield each, difference(each.block, each.original or "", __version__) if changed else ""


def override(name: str, folder: Path | None, *, accept: bool) -> list[Path]:
    """Begin a template over one of our blocks, or take note that one was compared with this version; what was written.

    Raises:
        UsageError: there is no such block, or no folder to write to, or a template has it already.
        StorageError: it cannot be written.
    """
    block = _known(name)
    layers = load(Path.cwd(), _options.environ())
    given = (layers.document.value.get("templates") or {}).get("folder")
    if folder is None and given is None:
        raise UsageError("no site file has `templates.folder`: name the folder with --folder")
    root = folder or template_folder(str(given), layers.where(KEY), os.environ)
    path, copy = root / block.template, root / ORIGINALS / f"{name}{SUFFIX}"
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        has_it = any(each.block.name == name for each in replaced([_read(path, before)])) if before else False
        if has_it != accept:
            raise UsageError(
                f"{path} has the block {name} already: edit it there, and after an upgrade give --accept"
                if has_it
                else f"{path} does not replace the block {name}, so there is nothing to accept"
            )
        for each in (root, copy.parent):  # whatever the umask: templates in a folder of a group do not count
            each.mkdir(parents=True, exist_ok=True, mode=0o755)
        write_atomic(copy, block.text, mode=0o644)
        if accept:
            return [copy]
        write_atomic(path, _beginning(before, block), mode=0o644)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or root}: {error.strerror or error}") from error
    return [path, copy]


def _read(path: Path, text: str) -> SiteTemplate:
    return SiteTemplate(name=path.name, path=str(path), text=text)


def _beginning(before: str, block: TemplateBlock) -> str:
    """A template with one block more, which says what ours says."""
    head = before or f'{{% extends "{PREFIX}{block.template}" %}}\n'
    return f"{head}\n{{% block {block.name} %}}\n{block.text}{{% endblock %}}\n"


def _known(name: str) -> TemplateBlock:
    block = our_blocks().get(name)
    if block is None:
        raise UsageError(f"there is no block {name}; there are {', '.join(our_blocks())}")
    return block
