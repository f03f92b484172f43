"""What one worker of a stage needs."""

from __future__ import annotations

from dataclasses import dataclass

_GPU_MEMORY_GB_IF_UNKNOWN = 24.0


def _gpu_memory_gb() -> float:
    """Memory of the first GPU of this machine; login nodes have none, so there is a default."""
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

        pynvml.nvmlInit()
        info = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
        return float(info.total) / 2**30
    except Exception:
        return _GPU_MEMORY_GB_IF_UNKNOWN


@dataclass
class Resources:
    """CPUs, and either whole or fractional GPUs or a share of one GPU's memory, per worker."""

    cpus: float = 1.0
    gpu_memory_gb: float = 0.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cpus", "gpu_memory_gb", "gpus"):
            if getattr(self, name) < 0:
                raise ValueError(f"resources.{name} is {getattr(self, name)}: it cannot be negative")
        if self.gpu_memory_gb <= 0:
            return
        if self.gpus > 0:
            raise ValueError("give either gpus (one or more GPUs) or gpu_memory_gb (a part of one GPU), not both")
        memory = _gpu_memory_gb()
        self.gpus = round(self.gpu_memory_gb / memory, 1)
        if self.gpus > 1:
            raise ValueError(
                f"gpu_memory_gb is {self.gpu_memory_gb:g} but one GPU has {memory:.0f} GB; use gpus for several GPUs"
            )

    @property
    def requires_gpu(self) -> bool:
        """Whether a worker needs a GPU or a part of one."""
        return self.gpus > 0 or self.gpu_memory_gb > 0
