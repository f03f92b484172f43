"""The tables of docs/spec.md, made from the classes: `python tests/spec_tables.py` writes them into the page.

A table stands between `<!-- settings: resources -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic import BaseModel

from curator_slurm.launcher.spec.container_section import ContainerSpec
from curator_slurm.launcher.spec.keys import section_at, settings
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.node_sections import GroupSpec
from curator_slurm.launcher.spec.pipeline_section import StageResources, StageSpec
from curator_slurm.launcher.spec.restart_section import MemoryRule

PAGE = Path(__file__).parents[1] / "docs" / "spec.md"
MARK = re.compile(r"(<!-- settings: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def sections() -> dict[str, type[BaseModel]]:
    """Every section of a spec by the name of its table."""
    found: dict[str, type[BaseModel]] = {
        "spec": Spec,
        "stage": StageSpec,
        "stage.resources": StageResources,
        "environment.container": ContainerSpec,
        "resources.groups": GroupSpec,
        "restart.on_out_of_memory": MemoryRule,
    }
    for name in settings(Spec):
        section = section_at((name,))
        if section is not None:
            found[name] = section
    return found


def table(name: str) -> str:
    """The rows of one section."""
    section = sections()[name]
    rows = ["| key | default | what it is |", "|---|---|---|"]
    for key, info in section.model_fields.items():
        text = info.description or (section_at((key,)) or section).__doc__ or ""
        label = info.alias or key
        link = f"[`{label}`](#{label})" if name == "spec" and label in sections() else f"`{label}`"
        rows.append(f"| {link} | {default_of(info.is_required(), info.default)} | {sentence_of(text)} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with its tables as they should be."""
    return MARK.sub(lambda match: f"{match[1]}{table(match[2])}{match[4]}", text)


def default_of(required: bool, value: object) -> str:
    """The cell about the default of a key."""
    if required:
        return "required"
    if value is None or value == {} or value == [] or isinstance(value, BaseModel):
        return ""
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


def sentence_of(text: str) -> str:
    """The cell about what a key is."""
    text = " ".join(text.split()).rstrip(".").replace("|", "\\|")
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
