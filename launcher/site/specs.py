"""Specs read on top of the layers of site files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.site.layers import Layers, load
from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.spec_file import Reading


def read_spec(path: Path, set_options: Sequence[str], environ: Mapping[str, str]) -> tuple[Reading, Layers]:
    """A spec file, and the layers below it.

    Raises:
        SpecError: it, or a site file, cannot be used.
        SitePolicyError: it changes what a layer has locked.
    """
    layers = load(spec_file.folder_of(path), environ)
    return _noted(spec_file.read(path, set_options, layers.below), layers)


def read_spec_text(
    text: str, source: str, folder: Path, set_options: Sequence[str], environ: Mapping[str, str]
) -> tuple[Reading, Layers]:
    """`read_spec` for a text that stands for a spec in `folder`, named `source` in messages."""
    layers = load(folder, environ)
    return _noted(spec_file.read_string(text, source, set_options, layers.below), layers)


def _noted(reading: Reading, layers: Layers) -> tuple[Reading, Layers]:
    reading.notes += [SpecProblem("", note) for note in layers.notes]
    return reading, layers
