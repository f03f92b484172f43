"""`site init`: on a fake Slurm that prints what a real one has printed, and that really runs the probes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.cli import _site_init, main
from curator_slurm.launcher.site.layers import load_file
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.survey.habit_trials import TrialResults

DATA = Path(__file__).parent / "data"
SPEC = "name: five\npipeline:\n  command: echo hello\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(_site_init, "ADDRESSES", ())


@pytest.fixture
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `sbatch --test-only`: a dozen commands for what other tests look at."""
    monkeypatch.setattr(_site_init, "try_habits", lambda *_: TrialResults("main"))


def call(*arguments: str, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, ["site", "init", *arguments])
    assert result.exit_code == expect, result.output
    return result


def written(name: str = "site.yaml") -> Site:
    """What the file says to the program; it loads as it is."""
    site = load_file(Path(name)).site()
    assert site is not None
    return site


def one_line(text: str) -> str:
    """Comments that go over several lines, as one."""
    return " ".join(text.replace("#", " ").split())


def test_the_file_of_a_cluster_with_many_kinds_of_nodes(fake_slurm: FakeSlurm) -> None:
    partitions = ["main", "gpu", "whole", "low", "closed"]
    fake_slurm.configure(records=str(DATA / "mixed"), partitions=partitions, refused_options=["no-kill", "export=NIL"])
    result = call("--contact", "hpc@example.org", "--output", "site.yaml")
    assert fake_slurm.jobs == []  # nothing is submitted without --probe
    text, site = Path("site.yaml").read_text(), written()
    assert (site.site.name, site.site.contact) == ("testcluster", "hpc@example.org")
    assert list(site.partitions) == [
        *("main", "gpu-a100", "gpu-h100", "whole-a100", "whole-h100", "whole-cpu"),
        *("low-a100", "low-h100", "low-cpu", "closed-a100", "closed-h100", "closed-cpu"),
    ]
    a100 = site.partitions["gpu-a100"]
    assert (a100.slurm_name, a100.gpus, a100.gpu_type, a100.cpus, a100.usable_cpus) == ("gpu", 2, "a100", 4, 3)
    assert a100.memory == "5500M"  # less MemSpecLimit
    limits = a100.limits  # those of its QOS where they are lower
    assert (limits.nodes, limits.gpus, limits.time) == (2, 4, "6:00:00")
    assert (limits.submitted_jobs, limits.running_jobs) == (40, 20)
    assert {name: kind.gres_type for name, kind in site.gpu_types.items()} == {"a100": "a100", "h100": "h100"}
    assert (site.partitions["whole-cpu"].sharing, site.partitions["whole-cpu"].mem_by) == ("whole", "whole_node")
    assert (site.partitions["low-cpu"].preempted, site.partitions["low-cpu"].choose) == (True, False)
    assert (site.partitions["closed-cpu"].choose, site.partitions["main"].choose) == (False, True)
    assert (site.slurm.no_kill, site.slurm.export, site.slurm.mem) == ("never", "none", "use")
    for words in (
        "AllowAccounts=root",
        "PreemptMode=REQUEUE, PriorityTier=1",
        "DECIDE: account_required: AccountingStorageEnforce=associations,limits,qos",
        "MaxSubmit=210, MaxJobs=200 (sacctmgr show assoc, qos)",
        "JobRequeue=0",
        "JobDefaults=DefCpuPerGPU=2,DefMemPerGPU=1500",
        "features: amd, nvme, hbm80g",
        "sbatch --test-only --no-kill: --no-kill is not allowed here",
    ):
        assert words in text
    assert f"{text.count('DECIDE:')} things to decide" in result.stdout


@pytest.mark.long
def test_a_site_that_needs_account_and_time(fake_slurm: FakeSlurm) -> None:
    fake_slurm.configure(needed_options=["account", "time"], refused_options=["mem", "gpus-per-node", "exclude"])
    call("--account", "proj")
    slurm = written().slurm
    assert (slurm.account_required, slurm.time_required) == (True, True)
    assert (slurm.mem, slurm.gpus, slurm.nodelist) == ("never", "gres", "never")
    text = Path("site.yaml").read_text()
    assert "# DECIDE: who helps users" in text
    assert "no node was looked at (--probe)" in one_line(text)
    shown = call("--output", "-", "--contact", 'a: "b" #c').stdout  # without the account nothing can be tried
    assert "could not be tried: sbatch --test-only refuses the simplest job: --account is needed here" in one_line(
        shown
    )
    assert yaml.safe_load(shown)["site"]["contact"] == 'a: "b" #c'


def test_nothing_is_overwritten(fake_slurm: FakeSlurm) -> None:
    Path("site.yaml").write_text("mine\n")
    assert "site.yaml exists" in call(expect=2).stderr
    assert fake_slurm.calls == []
    assert Path("site.yaml").read_text() == "mine\n"
    assert "is a folder" in call("--output", ".", expect=2).stderr
    assert "not a folder" in call("--output", "nowhere/site.yaml", expect=2).stderr
    assert "add --probe" in call("--output", "b.yaml", "--partition", "main", expect=2).stderr


def test_a_slurm_that_does_not_answer(fake_slurm: FakeSlurm) -> None:
    fake_slurm.remove_command("scontrol")
    assert "scontrol" in call(expect=5).stderr
    assert not Path("site.yaml").exists()


@pytest.mark.usefixtures("no_trials")
def test_probes_of_every_partition(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """And a five-line spec is placed by the file as it is."""
    fake_slurm.configure(accounting=False, gpus=0, cpus=2, memory_mb=3000)
    result = call("--probe", "--contact", "hpc@example.org", "--wait", "240")
    jobs = fake_slurm.jobs
    assert [job.facts["partition"] for job in jobs] == ["main", "preempt", "short"]
    assert {job.options["time"] for job in jobs} == {"5"}
    assert all(element.final for job in jobs for element in fake_slurm.wait(job.id))
    assert list((tmp_path / "runs").iterdir()) == []
    text, site = Path("site.yaml").read_text(), written()
    assert text.count("probed on ") == 3
    assert "interface lo" not in text
    assert "Warning" not in result.stderr
    Path("spec.yaml").write_text(SPEC)
    shown = CliRunner().invoke(main, ["site", "show", "--for", "spec.yaml", "--site", "./site.yaml"])
    assert shown.exit_code == 0, shown.output
    lines = {" ".join(line.split()) for line in shown.stdout.splitlines()}
    assert {"#SBATCH --partition=main", "#SBATCH --nodes=1", "#SBATCH --mem=3000M"} <= lines
    checked = CliRunner().invoke(main, ["site", "check", "site.yaml"])
    assert checked.exit_code == 0, checked.output
    assert "0 errors, 0 warnings" in checked.stdout
    assert site.partitions["main"].cpus == 2


@pytest.mark.long
@pytest.mark.usefixtures("no_trials")
def test_a_partition_that_does_not_answer_is_named(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    result = call("--probe", "--partition", "short", "--wait", "2")
    assert "no answer from partition short: no answer within 2s" in result.stderr
    [job] = fake_slurm.jobs
    assert fake_slurm.wait(job.id)[0].state == "CANCELLED"
    text = one_line(Path("site.yaml").read_text())
    assert "No answer from a node of: short." in text
    assert "site init --probe --partition short" in text
    written()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.usefixtures("no_trials")
def test_a_partition_that_takes_only_jobs_with_gpus(fake_slurm: FakeSlurm) -> None:
    fake_slurm.configure(accounting=False, needed_options=["gres"], partitions=["main"])
    Path("site.yaml").write_text("mine\n")
    call("--probe", "--wait", "240", "--force")
    assert written().partitions["main"].min_gpus == 1
    assert "a job without GPU was refused: --gres is needed here" in Path("site.yaml").read_text()


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_signals_cancel_the_probes(fake_slurm: FakeSlurm, tmp_path: Path, number: int) -> None:
    fake_slurm.configure(accounting=False)
    fake_slurm.pause()
    command = [sys.executable, "-m", "curator_slurm", "site", "init", "--probe", "--wait", "500"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    wait_for("two probes", lambda: len(fake_slurm.jobs) >= 2 or process.poll() is not None, 120)
    process.send_signal(number)  # sbatch may be at the third
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    jobs = fake_slurm.jobs
    assert len(jobs) >= 2
    assert {fake_slurm.wait(job.id)[0].state for job in jobs} == {"CANCELLED"}
    assert list((tmp_path / "runs").iterdir()) == []
    assert not Path("site.yaml").exists()
