"""GPUs by a stand-in for NVIDIA's library, and by files like those of AMD's driver."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.launcher.measuring.gpu_figures import AmdGpus, GpuReading, NoGpus, NvidiaGpus, amd_folders, find_gpus


class Library:
    """Takes what NVML takes: pointers, and handles that it has given; 0 is success."""

    def __init__(self, uuids: list[str], *, starts: bool = True, lost: int | None = None) -> None:
        self.uuids, self.starts, self.lost = uuids, starts, lost

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0 if self.starts else 9

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.uuids)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:  # noqa: N802
        handle._obj.value = index + 1
        return 15 if index == self.lost else 0

    def nvmlDeviceGetUUID(self, handle: ctypes.c_void_p, text: Any, length: ctypes.c_uint) -> int:  # noqa: N802
        text.value = self.uuids[(handle.value or 0) - 1].encode()
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: ctypes.c_void_p, use: Any) -> int:  # noqa: N802
        use._obj.gpu = 10 * (handle.value or 0)
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:  # noqa: N802
        memory._obj.used = 1000 * (handle.value or 0)
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: ctypes.c_void_p, power: Any) -> int:  # noqa: N802
        power._obj.value = 250_000
        return 3 if handle.value == 2 else 0  # not supported


UUIDS = ["GPU-aaaa", "GPU-bbbb", "GPU-cccc"]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [([], [1, 2, 3]), (["1"], [2]), (["GPU-c", "0"], [1, 3]), (["7"], [1, 2, 3])],
)
def test_gpus_of_the_job_by_number_or_uuid(visible: list[str], expected: list[int]) -> None:
    found = NvidiaGpus(Library(UUIDS), visible).read()
    assert found == [GpuReading(n / 10, 1000 * n, None if n == 2 else 250.0) for n in expected]


def test_a_gpu_that_is_lost_is_left_out_and_a_library_that_does_not_start_is_none() -> None:
    assert [each.busy for each in NvidiaGpus(Library(UUIDS, lost=1)).read()] == [0.1, 0.3]
    with pytest.raises(OSError, match="nvmlInit"):
        NvidiaGpus(Library(UUIDS, starts=False))


def amd(drm: Path, card: str, **files: str) -> None:
    device = drm / card / "device"
    (device / "hwmon" / "hwmon3").mkdir(parents=True)
    for name, text in files.items():
        (device / name if name != "power" else device / "hwmon/hwmon3/power1_average").write_text(text)


def test_files_of_amds_driver(tmp_path: Path) -> None:
    amd(tmp_path, "card10", gpu_busy_percent="100\n", mem_info_vram_used="5\n")
    amd(tmp_path, "card2", gpu_busy_percent="25\n", mem_info_vram_used="7\n", power="300000000\n")
    amd(tmp_path, "card3")  # a screen of somebody else
    folders = amd_folders(tmp_path)
    assert [folder.parent.name for folder in folders] == ["card2", "card10"]
    assert AmdGpus(folders).read() == [GpuReading(0.25, 7, 300.0), GpuReading(1.0, 5, None)]
    assert AmdGpus(folders, ["1"]).read() == [GpuReading(1.0, 5, None)]


def test_a_machine_without_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    found = find_gpus([], tmp_path)
    assert isinstance(found, NoGpus)
    assert list(found.read()) == []
