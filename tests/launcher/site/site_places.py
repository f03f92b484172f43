"""The places of site files, all in one temporary folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import make_plan
from curator_slurm.launcher.site import layers
from curator_slurm.launcher.site.layers import Layers

SPEC = "name: x\npipeline: {command: 'true'}\n"


class Places:
    """A system file, a module's file, a home, a project and a spec in it; none but the spec is there at first."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.system = root / "etc" / "site.yaml"
        self.module = root / "module.yaml"
        self.user = root / "home" / ".config" / "curator-slurm" / "config.yaml"
        self.project = root / "project" / ".curator-slurm.yaml"
        self.spec = root / "project" / "runs" / "spec.yaml"
        self.environ = {"HOME": str(root / "home"), "PATH": os.environ["PATH"]}
        monkeypatch.setattr(layers, "SYSTEM_FILE", self.system)
        self.write("spec", SPEC)

    def write(self, name: str, text: str) -> Path:
        """Write one of the files; that of the module is named by the variable from then on."""
        path: Path = getattr(self, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        if name == "module":
            self.environ["CURATOR_SLURM_SITE"] = str(path)
        return path

    def plan(self, *options: str) -> Plan:
        return make_plan(self.spec, options, Cluster.SLURM, self.environ)

    def load(self) -> Layers:
        return layers.load(self.spec.parent, self.environ)
