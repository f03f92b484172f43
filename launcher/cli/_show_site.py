"""What `site show` prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curator_slurm.launcher.cli import _options
from curator_slurm.launcher.site.effective import DEFAULT, Setting, effective, without_effect
from curator_slurm.launcher.site.layers import Layers, load
from curator_slurm.launcher.spec.locks import Lock


@dataclass(frozen=True)
class SiteView:
    """A configuration, or a spec on top of it: settings, locks, and for a spec the options of sbatch."""

    files: Sequence[str]
    settings: Sequence[Setting]
    locks: Sequence[Lock]
    notes: Sequence[str] = ()
    options: Sequence[str] = ()
    templates: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "files": list(self.files),
            "settings": [{"key": each.key, "value": each.value, "origin": each.origin} for each in self.settings],
            "locked": [{"key": lock.key, "where": lock.where, "contact": lock.contact} for lock in self.locks],
            "sbatch": list(self.options),
            "templates": list(self.templates),
            "notes": list(self.notes),
        }

    def lines(self, *, origin: bool) -> Iterator[str]:
        """YAML; with `origin` one line for each value."""
        if not self.files:
            yield "# no site file: every key has its default (site show --all lists them)"
        for number, file in enumerate(self.files):
            yield f"# {'files, later ones win: ' if not number else '                       '}{file}"
        yield from self._with_origins() if origin else self._as_yaml()
        for lock in self.locks:
            yield f"# locked: {lock.key} ({lock.where})"
        for template in self.templates:
            yield f"# template: {template}"
        for option in self.options:
            yield f"#SBATCH {option}"

    def _with_origins(self) -> Iterator[str]:
        texts = [(f"{each.key}: {_inline(each.value)}", each.origin) for each in self.settings]
        width = min(max((len(text) for text, _ in texts), default=0), 60)
        for text, where in texts:
            yield f"{text:<{width}}  # {where}"

    def _as_yaml(self) -> Iterator[str]:
        whole: dict[str, Any] = {}
        for each in self.settings:
            *parents, last = each.key.split(".")
            here = whole
            for part in parents:
                here = here.setdefault(part, {})
            here[last] = each.value
        if whole:
            yield from yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100).splitlines()


def of_site(*, defaults: bool) -> SiteView:
    """What site files say in this folder."""
    layers = load(Path.cwd(), _options.environ())
    notes = [*layers.notes, *without_effect(layers)]
    settings = effective(layers, defaults=defaults)
    return SiteView(_files(layers), settings, layers.locks, notes, templates=_templates(layers))


def of_spec(path: Path) -> SiteView:
    """What a spec becomes on this site, as it would go to Slurm."""
    from curator_slurm.launcher.plan.model import Cluster
    from curator_slurm.launcher.plan.resolve import plan_of
    from curator_slurm.launcher.plan.sbatch_lines import sbatch_lines
    from curator_slurm.launcher.site.specs import read_spec
    from curator_slurm.launcher.spec import spec_file

    reading, layers = read_spec(path, (), _options.environ())
    plan = plan_of(reading, spec_file.folder_of(path), Cluster.SLURM, os.environ, publishes=False, layers=layers)
    values = plan.spec.model_dump(mode="json", by_alias=True)
    nested = {key[: at + 1] for key in plan.origins for at, letter in enumerate(key) if letter == "."}
    settings = [
        Setting(key, _at(values, key), origin)
        for key, origin in plan.origins.items()
        if origin != DEFAULT and _at(values, key) not in (None, {}, []) and f"{key}." not in nested
    ]
    options = [f"--{name}" if value is None else f"--{name}={value}" for name, value in sbatch_lines(plan)]
    return SiteView(
        _files(layers), settings, layers.locks, [str(each) for each in reading.warnings()], options, _templates(layers)
    )


def _templates(layers: Layers) -> list[str]:
    """The blocks that the site replaces."""
    if not layers.document.value.get("templates"):
        return []
    from curator_slurm.launcher.cli._site_templates import described, templates_of

    return described(templates_of(layers))


def _files(layers: Layers) -> list[str]:
    return [str(layer.path) for layer in layers.layers]


def _at(values: Any, key: str) -> Any:
    """The value of a dotted key; None for what is no setting of specs."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
