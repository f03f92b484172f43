"""The script that looks at a node, and what is read of its answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from curator_slurm.launcher.survey.probe_report import is_whole, parse_report
from curator_slurm.launcher.survey.probe_script import ProbeTarget, attempts, probe_script

RECORDED = (Path(__file__).parent / "data" / "mixed" / "probe.txt").read_text()
DISKLESS = (Path(__file__).parent / "data" / "diskless.txt").read_text()
"""As of a node without disk, behind a proxy."""


def test_a_recorded_answer() -> None:
    found = parse_report(RECORDED)
    assert is_whole(RECORDED)
    assert (found.host, found.partition, found.clock) == ("n1", "gpu", 1795997797)
    assert (found.slurm_cpus, found.visible_cpus, found.allowed_cpus) == (3, 2, 1)
    assert list(found.usable_interfaces) == ["eth0"]
    assert found.usable_interfaces["eth0"].address == "10.0.0.11/24"
    assert (found.default_routes, found.own_addresses, found.local_ports) == (["eth0"], ["10.0.0.11"], (32768, 60999))
    assert [(disk.path, disk.is_memory, disk.is_local) for disk in found.disks] == [
        ("/tmp", False, True),
        ("/var/tmp", False, True),
        ("/dev/shm", True, False),
    ]
    assert (found.internet, found.modules, found.proxies, found.open_files) == ("none", None, {}, (20000, 20000))


def test_a_node_without_disk_behind_a_proxy() -> None:
    found = parse_report(DISKLESS)
    assert not is_whole(DISKLESS)
    assert (found.allowed_cpus, found.visible_cpus) == (12, 128)  # 28 by affinity, 12 by the quota
    assert list(found.usable_interfaces) == ["hsn0", "nmn0"]  # the fastest first; no loopback, no link-local address
    assert found.has_private_addresses
    assert found.gpus == [("AMD Instinct MI250X", 65520)]
    tmp, nvme = found.disk("/tmp"), found.disk("/nvme")
    assert tmp is not None
    assert nvme is not None
    assert (tmp.is_memory, nvme.is_memory, nvme.is_local, nvme.writable) == (True, False, True, True)
    assert (found.shared, found.runtimes, found.modules) == ([("/scratch", "lustre")], ["singularity"], "Lmod 8.3.17")
    of_job = DISKLESS.replace("host\t", "job\t4711\nhost\t").replace("/nvme|xfs", "/local/4711|xfs")
    assert parse_report(of_job).disk("/local/${SLURM_JOB_ID}") is not None
    assert (found.proxies, found.internet) == ({"https_proxy": "http://proxy:3128"}, "proxy")


def test_an_empty_answer_is_no_error() -> None:
    found = parse_report("slurmstepd: error: something\n")
    assert (found.host, found.allowed_cpus, found.memory_mb, found.internet) == ("", None, None, "unknown")


@pytest.fixture
def web() -> object:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_it_runs_here_in_any_shell(shell: str, tmp_path: Path, web: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "probe.sh"
    script.write_text(probe_script(ProbeTarget("main"), None, ()))
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SLURM_JOB_PARTITION": "main"}
    command = [shell, str(script), web]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, check=True)
    assert is_whole(done.stdout), done.stdout
    assert done.stderr == ""
    found = parse_report(done.stdout)
    assert found.partition == "main"
    assert found.allowed_cpus == len(os.sched_getaffinity(0))
    assert found.disk("/tmp") is not None
    assert found.open_files[0]
    assert found.local_ports is not None
    if shutil.which("curl"):  # an answer of any kind counts
        assert found.internet == "direct"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.sh"]


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    script = tmp_path / "probe.sh"
    script.write_text(probe_script(ProbeTarget("main"), "proj", ("--exclusive",)))
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_options_of_the_job() -> None:
    lines = probe_script(ProbeTarget("big mem", max_time_s=120), "a b", ("--gres=gpu:1",)).splitlines()
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert lines[0] == "#!/bin/sh"
    assert {'#SBATCH --partition="big mem"', "#SBATCH --time=2", '#SBATCH --account="a b"'} <= set(options)
    assert "#SBATCH --gres=gpu:1" in options
    assert "#SBATCH --time=5" in probe_script(ProbeTarget("x", max_time_s=86400), None, ()).splitlines()
    assert list(attempts(ProbeTarget("x"))) == [()]
    both = [("--exclusive",), ("--exclusive", "--gres=gpu:1"), (), ("--gres=gpu:1",)]
    assert list(attempts(ProbeTarget("x", gpus=True, idle=True))) == both
