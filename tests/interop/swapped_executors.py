"""A plug-in for pytest that puts our executors in the places of NeMo Curator's, for runs of its own tests.

    PYTHONPATH=<here>/tests/interop .venv-curator/bin/python -m pytest -p swapped_executors <Curator>/tests/backends

docs/contributing.md says which of its tests were run like this.
"""

from __future__ import annotations

import importlib

from curator_slurm.executors import RayActorPoolExecutor, RayDataExecutor, XennaExecutor

PLACES = {
    "nemo_curator.backends.xenna": XennaExecutor,
    "nemo_curator.backends.ray_data": RayDataExecutor,
    "nemo_curator.backends.ray_actor_pool": RayActorPoolExecutor,
}

for package, executor in PLACES.items():
    for name in (package, f"{package}.executor"):
        module = importlib.import_module(name)
        assert hasattr(module, executor.__name__), f"{name} has no {executor.__name__}"
        setattr(module, executor.__name__, executor)


def pytest_report_header() -> str:
    return "executors of curator-slurm in place of NeMo Curator's"
