"""docs/sites/keys.md, made from the classes of site files: `make docs-tables` writes it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from spec_tables import default_of, sentence_of

from curator_slurm.launcher.site.model import SPEC_SECTIONS, WITHOUT_EFFECT, Site
from curator_slurm.launcher.spec.keys import section_at, settings
from curator_slurm.launcher.spec.model import Spec

PAGE = Path(__file__).parents[1] / "docs" / "sites" / "keys.md"
HEAD = """\
# Keys of site files

Every key that a [site file](index.md) can have, made from the classes; `curator-slurm schema --site` prints the same
for editors. Keys of sections that a spec has too are defaults of specs, and are described in
[the spec](../spec.md). "No effect yet": the fact can be stated, and nothing in this version acts on it.
"""
EXAMPLES = {("partitions",): ("NAME",), ("gpu_types",): ("NAME",)}
"""Sections whose keys are names of the site's."""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections(())])


def _sections(path: tuple[str, ...]) -> list[str]:
    section = section_at(path, Site) or Site
    title = ".".join(path) if path else "All sections"
    lines = [f"## {title}\n", _table(path, section)]
    if path and path[0] in SPEC_SECTIONS and not _own(path, section):
        return []
    for name in settings(section):
        below = (*path, name)
        below = (*below, *EXAMPLES.get(below, ()))
        if section_at(below, Site) is not None:
            lines += _sections(below)
    return lines


def _own(path: tuple[str, ...], section: type[BaseModel]) -> list[str]:
    """The keys of a section that a spec does not have."""
    shared = section_at(path, Spec)
    if shared is None:
        return list(settings(section))
    return [key for key in settings(section) if key not in settings(shared) or section_at((*path, key), Site)]


def _table(path: tuple[str, ...], section: type[BaseModel]) -> str:
    rows = ["| key | default | what it is |", "|---|---|---|"]
    own = _own(path, section) if path else list(settings(section))
    for key, info in section.model_fields.items():
        if key not in own:
            continue
        below = (*path, key)
        inside = section_at((*below, *EXAMPLES.get(below, ())), Site)
        text = info.description or (inside.__doc__ if inside else "") or ""
        if not path and key in SPEC_SECTIONS:
            text = f"{text.strip().rstrip('.')}; as in a spec: [{key}](../spec.md#{key})"
        if any(".".join(below) == each or ".".join(path) == each for each in WITHOUT_EFFECT):
            text = f"{text.strip().rstrip('.')} (no effect yet)"
        rows.append(f"| `{key}` | {default_of(info.is_required(), info.default)} | {sentence_of(text)} |")
    return "\n".join(rows) + "\n"
