"""Which GPUs the workers of a node may see: Ray's count and the node's own CUDA_VISIBLE_DEVICES decide.

cosmos-xenna asks the driver library for devices and numbers them itself. That finds none where GPUs are
only logical, and the wrong ones where the node's list holds UUIDs or MIG devices. Here a worker always
gets some of the very tokens its node was given.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
import ray.runtime_env
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.runtime_env import NOSET_CUDA

CUDA = "CUDA_VISIBLE_DEVICES"
_PROBE_TIMEOUT_S = 60.0
_MAX_INDEX = 255  # the engine keeps a GPU's index in one byte

_node: contextvars.ContextVar[str | None] = contextvars.ContextVar("node", default=None)


@contextmanager
def on_node(node_id: str) -> Iterator[None]:
    """While a worker for this node is made: its runtime environment takes the node's GPU names."""
    token = _node.set(node_id)
    try:
        yield
    finally:
        _node.reset(token)


def gpu_names(visible: str | None, count: int) -> list[str]:
    """The devices a node may use, given its CUDA_VISIBLE_DEVICES and how many GPUs Ray counts there."""
    if visible is None:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return names[:count]


def gpu_indices(names: list[str]) -> list[int]:
    """A number for each device: its own where the list holds numbers, else its position."""
    if all(name.isascii() and name.isdecimal() and int(name) <= _MAX_INDEX for name in names):
        return [int(name) for name in names]
    return list(range(len(names)))


def numbered(names: list[str]) -> list[tuple[int, str]]:
    """Number and name of each device."""
    return list(zip(gpu_indices(names), names, strict=True))


def probe_gpu_names(counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Ask every node that has GPUs for its CUDA_VISIBLE_DEVICES, as its Ray was started with."""
    asked = {node_id: count for node_id, count in counts.items() if count}
    answers = [
        _visible_devices.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node_id, soft=False),
            # Without it Ray would hide the GPUs from a task that asks for none.
            runtime_env={"env_vars": {NOSET_CUDA: "1"}},
        ).remote()
        for node_id in asked
    ]
    visible = ray.get(answers, timeout=_PROBE_TIMEOUT_S)
    return {node_id: gpu_names(value, count) for (node_id, count), value in zip(asked.items(), visible, strict=True)}


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _visible_devices() -> str | None:
    import os

    return os.environ.get(CUDA)


class StageRuntimeEnv:
    """The runtime environment of a stage's workers, in the shape that the engine expects.

    The engine knows Conda environments and variables only; this takes everything Ray takes.
    """

    def __init__(self, stage_env: Mapping[str, Any] | None, names: Mapping[str, list[str]]) -> None:
        self._env = dict(stage_env or {})
        self._names = dict(names)
        self._own_cuda = CUDA in self._env.get("env_vars", {})
        # Read and replaced by the engine, which adds the variables of one worker.
        self.extra_env_vars: dict[str, str] = dict(self._env.get("env_vars", {}))

    def to_ray_runtime_env(self) -> Any:
        """What the worker is started with."""
        variables = dict(self.extra_env_vars)
        if CUDA in variables:
            variables[NOSET_CUDA] = "1"
            if not self._own_cuda:
                variables[CUDA] = self._translate(variables[CUDA])
        rest = {key: value for key, value in self._env.items() if key != "env_vars"}
        return ray.runtime_env.RuntimeEnv(**rest, **({"env_vars": variables} if variables else {}))

    def _translate(self, indices: str) -> str:
        names = self._names.get(_node.get() or "", [])
        by_index = dict(numbered(names))
        return ",".join(by_index.get(int(index), index) for index in indices.split(",") if index)

    def format(self) -> str:
        """What may be logged: names only, values may be secret."""
        return f"runtime_env with {', '.join(sorted(self._env)) or 'nothing'}"
