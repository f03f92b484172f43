"""Resources of one worker of a stage."""

from __future__ import annotations

from dataclasses import dataclass

_ASSUMED_GPU_MEMORY_GB = 24.0


@dataclass
class Resources:
    """CPUs and GPUs of one worker; `gpu_memory_gb` is turned into a share of one GPU, in tenths.

    `group` keeps the workers on the nodes of one group (`resources.groups` of a spec).

    Raises:
        ValueError: `gpus` and `gpu_memory_gb` are both given, or the memory is more than one GPU has.
    """

    cpus: float = 1.0
    gpu_memory_gb: float = 0.0
    gpus: float = 0.0
    group: str | None = None

    def __post_init__(self) -> None:
        if min(self.cpus, self.gpu_memory_gb, self.gpus) < 0:
            raise ValueError("resources must not be negative")
        if self.gpus > 0 and self.gpu_memory_gb > 0:
            raise ValueError("set gpus (whole or several GPUs) or gpu_memory_gb (a share of one), not both")
        if self.gpu_memory_gb > 0:
            available = gpu_memory_gb()
            share = max(0.1, round(self.gpu_memory_gb / available, 1))
            if share > 1:
                raise ValueError(
                    f"gpu_memory_gb={self.gpu_memory_gb:g} is more than one GPU has ({available:g} GB); use gpus"
                )
            self.gpus = share

    @property
    def requires_gpu(self) -> bool:
        """Whether a worker needs a GPU or a share of one."""
        return self.gpus > 0 or self.gpu_memory_gb > 0


def gpu_memory_gb() -> float:
    """Memory of this machine's first GPU in GB; 24 if it has none."""
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return float(pynvml.nvmlDeviceGetMemoryInfo(handle).total) / (1 << 30)
    except Exception:
        return _ASSUMED_GPU_MEMORY_GB
