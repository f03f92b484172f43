"""A folder of models, and a plan that stages it."""

from __future__ import annotations

from pathlib import Path

from sharded_runs import plan

from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.spec.environment_section import Stage


def models_in(folder: Path) -> Path:
    models = folder / "models"
    models.mkdir()
    (models / "weights").write_text("1 2 3")
    return models


def plan_with(folder: Path, models: Path) -> Plan:
    """A plan that stages the models, and the system's Python, of which there is nothing to stage."""
    made = plan(folder)
    update = {"stage": Stage.NODE_LOCAL, "stage_paths": [str(models)]}
    environment = made.spec.environment.model_copy(update=update)
    storage = made.spec.storage.model_copy(update={"runs": str(folder / "runs")})
    spec = made.spec.model_copy(update={"environment": environment, "storage": storage})
    return made.model_copy(update={"spec": spec, "python": "/usr/bin/python3"})
