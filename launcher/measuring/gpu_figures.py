"""What the GPUs of this node are at: NVIDIA's through its management library, AMD's through files of the kernel.

Both cost less than a call of nvidia-smi or rocm-smi, which ask the same. Tests put stand-ins in place of library and
files: nothing here was ever run beside a real GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_NVML = "libnvidia-ml.so.1"
_DRM = Path("/sys/class/drm")
_UUID_BYTES = 96


@dataclass(frozen=True)
class GpuReading:
    """One GPU now: its busy share, 0 to 1, bytes in use, watts; None for what it does not tell."""

    busy: float | None = None
    memory: int | None = None
    power: float | None = None


class GpuReader(Protocol):
    """Reads the GPUs of the job, in the order of their numbers."""

    def read(self) -> Sequence[GpuReading]:
        """Now."""


class NoGpus:
    """A node without GPUs, or whose GPUs say nothing."""

    def read(self) -> Sequence[GpuReading]:
        """Nothing."""
        return ()


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class NvidiaGpus:
    """NVIDIA's management library."""

    def __init__(self, library: Any, visible: Collection[str] = ()) -> None:
        """`visible` are the numbers or UUIDs of the job's GPUs; all where it is empty.

        Raises:
            OSError: the library does not work here.
        """
        self._library = library
        if library.nvmlInit_v2():
            raise OSError("nvmlInit has failed")
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            raise OSError("nvmlDeviceGetCount has failed")
        handles = [handle for index in range(count.value) if (handle := self._handle(index)) is not None]
        names = [(str(number), self._uuid(handle)) for number, handle in enumerate(handles)]
        chosen = [
            handle
            for handle, known in zip(handles, names, strict=True)
            if any(name and (name == wanted or name.startswith(wanted)) for name in known for wanted in visible)
        ]
        self._handles = chosen or handles  # a container may number those that it has anew

    def _handle(self, index: int) -> ctypes.c_void_p | None:
        handle = ctypes.c_void_p()
        return None if self._library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) else handle

    def _uuid(self, handle: ctypes.c_void_p) -> str:
        text = ctypes.create_string_buffer(_UUID_BYTES)
        failed = self._library.nvmlDeviceGetUUID(handle, text, ctypes.c_uint(_UUID_BYTES))
        return "" if failed else text.value.decode("ascii", "replace")

    def read(self) -> Sequence[GpuReading]:
        """Now."""
        return [self._read(handle) for handle in self._handles]

    def _read(self, handle: ctypes.c_void_p) -> GpuReading:
        use, memory, power = _Utilization(), _Memory(), ctypes.c_uint()
        library = self._library
        return GpuReading(
            None if library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(use)) else use.gpu / 100,
            None if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) else memory.used,
            None if library.nvmlDeviceGetPowerUsage(handle, ctypes.byref(power)) else power.value / 1000,
        )


class AmdGpus:
    """Files of AMD's driver below /sys/class/drm."""

    def __init__(self, folders: Sequence[Path], visible: Collection[str] = ()) -> None:
        chosen = [folder for number, folder in enumerate(folders) if str(number) in visible]
        self._folders = chosen or list(folders)

    def read(self) -> Sequence[GpuReading]:
        """Now."""
        return [
            GpuReading(
                busy=_scaled(folder / "gpu_busy_percent", 100),
                memory=_number(folder / "mem_info_vram_used"),
                power=next((_scaled(path, 1e6) for path in folder.glob("hwmon/hwmon*/power1_average")), None),
            )
            for folder in self._folders
        ]


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def _scaled(path: Path, by: float) -> float | None:
    found = _number(path)
    return None if found is None else found / by


def amd_folders(drm: Path = _DRM) -> list[Path]:
    """The devices of AMD's GPUs, in the order of their numbers."""
    found = [path.parent for path in drm.glob("card[0-9]*/device/gpu_busy_percent")]
    return sorted(found, key=lambda folder: (len(folder.parent.name), folder.parent.name))


def find_gpus(visible: Collection[str], drm: Path = _DRM) -> GpuReader:
    """A reader for the GPUs that are here."""
    with contextlib.suppress(OSError, AttributeError):
        return NvidiaGpus(ctypes.CDLL(_NVML), visible)
    folders = amd_folders(drm)
    return AmdGpus(folders, visible) if folders else NoGpus()
