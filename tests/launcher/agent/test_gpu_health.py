"""GPUs before a run: what nvidia-smi and rocm-smi print, and whole runs with a stand-in for nvidia-smi on each node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home, write_spec

from curator_slurm.launcher.agent import gpu_health, preflight
from curator_slurm.launcher.agent.gpu_health import Gpu, GpuReport, ask_gpus, ours, problems
from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import BootstrapError

__all__ = ["own_home"]

KNOWN = ("index", "uuid", "driver_version", "mig.mode.current", "ecc.errors.uncorrected.volatile.total",
         "retired_pages.pending", "remapped_rows.pending", "remapped_rows.failure")  # fmt: skip
"""Fields of a driver from before gpu_recovery_action."""
HEALTHY = "{}, GPU-8f1c2d3e-0000-4a5b-9c6d-00000000000{}, 570.86.15, Disabled, 0, No, 0, 0, None"


def rows(*texts: str) -> str:
    return "".join(f"{text}\n" for text in texts)


def healthy(count: int) -> list[str]:
    return [HEALTHY.format(number, number) for number in range(count)]


class Tool:
    """A stand-in for nvidia-smi: what it prints, its exit code, and the fields that it knows."""

    def __init__(self, stdout: str = "", stderr: str = "", code: int = 0, known: Sequence[str] | None = None) -> None:
        self.answer = (stdout, stderr, code)
        self.known = known
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        assert timeout_s > 0
        self.asked.append(list(command))
        fields = command[1].removeprefix("--query-gpu=").split(",")
        unknown = [field for field in fields if self.known is not None and field not in self.known]
        if unknown:
            words = f'Field "{unknown[0]}" is not a valid field to query.\n'
            return subprocess.CompletedProcess(command, 2, words, "")
        stdout, stderr, code = self.answer
        return subprocess.CompletedProcess(command, code, stdout, stderr)


@pytest.fixture
def with_nvidia(tmp_path: Path) -> str:
    """A folder for PATH with an nvidia-smi in it, which nobody calls."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 99\n")
    tool.chmod(0o755)
    return str(tool.parent)


def test_healthy_gpus(with_nvidia: str) -> None:
    tool = Tool(rows(*healthy(2)))
    report = ask_gpus(with_nvidia, run=tool)
    assert (report.tool, report.failure, report.driver, len(report.gpus)) == ("nvidia-smi", "", "570.86.15", 2)
    assert problems(report, 2, ["0", "1"]) == []
    assert len(tool.asked) == 1


def test_a_driver_that_does_not_know_a_field_is_asked_without_it(with_nvidia: str) -> None:
    old = [row.rpartition(",")[0] for row in healthy(1)]
    tool = Tool(rows(*old), known=KNOWN)
    report = ask_gpus(with_nvidia, run=tool)
    assert len(tool.asked) == 2
    assert "gpu_recovery_action" not in tool.asked[1][1]
    assert problems(report, 1, []) == []
    older = Tool(rows("0, GPU-1, 390.1, [N/A], [N/A], [N/A]"), known=KNOWN[:6])
    report = ask_gpus(with_nvidia, run=older)
    assert (report.driver, problems(report, 1, [])) == ("390.1", [])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({4: "3"}, "GPU 1: 3 uncorrectable ECC errors"),
        ({5: "Yes"}, "GPU 1: pages of its memory are to be retired"),
        ({6: "1"}, "GPU 1: rows of its memory are to be remapped"),
        ({7: "Yes"}, "GPU 1: rows of its memory could not be remapped"),
        ({8: "Reset"}, "GPU 1: its driver asks for: Reset, after an error (Xid)"),
        ({4: "[GPU is lost]", 5: "[GPU is lost]"}, "GPU 1: GPU is lost"),
        ({8: "[Unknown Error]"}, "GPU 1: Unknown Error"),
    ],
)
def test_a_sick_gpu_is_named_with_its_fault(with_nvidia: str, changed: dict[int, str], words: str) -> None:
    texts = healthy(2)
    fields = texts[1].split(", ")
    texts[1] = ", ".join(changed.get(number, field) for number, field in enumerate(fields))
    (problem,) = problems(ask_gpus(with_nvidia, run=Tool(rows(*texts))), 2, ["0", "1"])
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (Tool("No devices were found\n", code=6), "nvidia-smi: No devices were found"),
        (Tool("", "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error", 255), "3B:00.0"),
        (Tool(rows(*healthy(1)), "WARNING: Xid 79 on 0000:3B:00.0"), "Xid 79"),
        (Tool("", "", 9), "exit code 9 and no GPUs"),
    ],
)
def test_a_tool_that_fails_says_why(with_nvidia: str, tool: Tool, words: str) -> None:
    (problem,) = problems(ask_gpus(with_nvidia, run=tool), 1, [])
    assert words in problem


def test_a_tool_that_does_not_answer(with_nvidia: str) -> None:
    Path(with_nvidia, "nvidia-smi").write_text("#!/bin/sh\nwhile :; do :; done\n")
    report = ask_gpus(with_nvidia, timeout_s=0.2)
    assert problems(report, 2, []) == ["nvidia-smi has not answered within 0.2 s"]


def test_fewer_gpus_than_promised(with_nvidia: str) -> None:
    report = ask_gpus(with_nvidia, run=Tool(rows(*healthy(1))))
    assert problems(report, 2, ["0", "1"]) == ["Slurm has given 2 GPUs, and nvidia-smi sees 1"]
    assert problems(report, 0, []) == []


def test_gpus_of_other_jobs_do_not_count() -> None:
    gpus = [Gpu("0", "GPU-aaaaaaaa-1", faults=("is lost",)), Gpu("1", "GPU-bbbbbbbb-2"), Gpu("2", "GPU-cccccccc-3")]
    report = GpuReport("nvidia-smi", gpus)
    assert problems(report, 2, ["1", "2"]) == []
    assert problems(report, 2, ["GPU-bbbbbbbb-2", "GPU-cccccccc"]) == []
    assert problems(report, 2, ["0", "1"]) == ["GPU 0: is lost"]
    assert ours(gpus, ["7", "8"]) == gpus, "numbers of another kind: all count"


def test_instances_of_a_divided_gpu_are_not_counted() -> None:
    report = GpuReport("nvidia-smi", [Gpu("0", "GPU-1", is_divided=True)])
    assert problems(report, 7, ["MIG-aaaaaaaa-1"]) == []


def test_without_a_tool_nothing_is_said(tmp_path: Path) -> None:
    report = ask_gpus(str(tmp_path))
    assert (report, problems(report, 4, [])) == (GpuReport(), [])


def test_rocm_smi() -> None:
    found = {
        "card0": {"Device ID": "0x740f", "Unique ID": "0xa1"},
        "card1": {"Device ID": "0x740f", "Unique ID": "0xa2"},
        "system": {"Driver version": "6.7.0"},
    }
    report = gpu_health.parse_rocm(f"WARNING: something\n{json.dumps(found)}", "", 0)
    assert (report.driver, len(report.gpus), problems(report, 2, ["0", "1"])) == ("6.7.0", 2, [])
    assert problems(report, 4, []) == ["Slurm has given 4 GPUs, and rocm-smi sees 2"]
    (problem,) = problems(gpu_health.parse_rocm("", "ERROR: no AMD GPUs specified", 1), 1, [])
    assert "no AMD GPUs" in problem


def test_drivers_must_be_equal_where_both_nodes_have_one() -> None:
    own = {"python": "3.11.2", preflight.GPU_DRIVER: "570.1"}
    preflight.check_versions(own, dict(own))
    preflight.check_versions({"python": "3.11.2"}, own)
    preflight.check_versions(own, {"python": "3.11.2"})
    with pytest.raises(BootstrapError, match=r"GPU driver 570\.1 here, 550\.2 on the head"):
        preflight.check_versions(own, {**own, preflight.GPU_DRIVER: "550.2"})


@pytest.fixture
def stand_ins(tmp_path: Path) -> str:
    """A line of environment.setup that gives node N the nvidia-smi of folder N: that of the second one is sick."""
    for number, lines in enumerate((healthy(2), [healthy(1)[0], HEALTHY.format(1, 1).replace("0, No", "7, No")])):
        tool = tmp_path / "stand-ins" / str(number) / "nvidia-smi"
        tool.parent.mkdir(parents=True)
        tool.write_text("#!/bin/sh\ncat <<END\n" + rows(*lines) + "END\n")
        tool.chmod(0o755)
    return f"export PATH={tmp_path}/stand-ins/$SLURM_NODEID:$PATH SLURM_GPUS_ON_NODE=2"


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("cluster", "code", "joined"),
    [({}, 6, 0), ({"min_nodes": 1}, 0, 0), ({"check_gpus": False}, 0, 1)],
    ids=["all nodes are needed", "the rest goes on", "unchecked"],
)
def test_a_sick_node_fails_by_name(
    tmp_path: Path, fake_slurm: FakeSlurm, stand_ins: str, cluster: dict[str, object], code: int, joined: int
) -> None:
    keep_element(fake_slurm)
    spec = write_spec(
        tmp_path,
        Path(sys.executable),
        resources={"nodes": 2},
        cluster={"ray": False, "join_timeout_s": 60, **cluster},
        environment={"python": sys.executable, "setup": [stand_ins]},
    )
    result = CliRunner().invoke(main, ["run", str(spec), "--cluster", "slurm"])
    assert result.exit_code == code, result.output
    (element,) = tmp_path.glob("runs/*/*/elements/*.0")
    status = json.loads((element / "nodes" / "n2" / "status.json").read_text())
    words = "GPU 1: 7 uncorrectable ECC errors"
    assert (words in str(status["message"])) is (joined == 0)
    assert (element / "nodes" / "n2" / "agent.log").read_text().count(words)
    events = [json.loads(line)["event"] for line in (element / "events.jsonl").read_text().splitlines()]
    assert events.count("node_joined") == joined
    if code:
        assert f"n2: GPUs of this node: {words}" in " ".join(result.output.split())
        assert "cluster.check_gpus" in " ".join(result.output.split())
