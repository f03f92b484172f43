"""The fake Slurm behaves like the real one where launchers look."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster.waiting import wait_for

from fake_slurm import FakeSlurm
from fake_slurm.processes import of_element


def call(*command: str, cwd: Path | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, check=check, capture_output=True, text=True, timeout=60)


def submit(script: str, cwd: Path, *options: str) -> str:
    (cwd / "job.sh").write_text(script)
    return call("sbatch", "--parsable", *options, "job.sh", cwd=cwd).stdout.strip()


def test_the_script_runs_once_and_its_step_on_every_node(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    script = """#!/bin/bash
#SBATCH --nodes=3 --ntasks-per-node=1
#SBATCH --job-name="two words" --output=%x.%j.log
echo "batch $SLURM_JOB_NAME on $SLURM_JOB_NODELIST"
srun bash -c 'echo "task $SLURM_PROCID of $SLURM_NTASKS on $SLURM_NODEID $SLURMD_NODENAME"'
"""
    job = submit(script, tmp_path)
    (element,) = fake_slurm.wait(job)

    assert element.state == "COMPLETED"
    lines = (tmp_path / f"two words.{job}.log").read_text().splitlines()
    assert lines[0] == "batch two words on n[1-3]"
    assert sorted(lines[1:]) == [f"task {n} of 3 on {n} n{n + 1}" for n in range(3)]


def test_options_that_slurm_does_not_know_are_refused(fake_slurm: FakeSlurm) -> None:
    for command in ("sbatch", "squeue", "scancel", "sacct", "sinfo"):
        done = call(command, "--no-such-option", check=False)
        assert done.returncode == 1
        assert "unrecognized option '--no-such-option'" in done.stderr
    for too_much in ("--mem=1T", "--cpus-per-task=99", "--gpus-per-node=3"):
        assert "not available" in call("sbatch", too_much, "--wrap", "true", check=False).stderr
    assert "Invalid partition" in call("sbatch", "-p", "nowhere", "--wrap", "true", check=False).stderr


def test_exit_codes_and_states(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    failed = submit("#!/bin/sh\nexit 3\n", tmp_path)
    killed = submit("#!/bin/sh\nkill -KILL $$\n", tmp_path)
    late = submit("#!/bin/sh\nsleep 600\n", tmp_path, "--time=0:01")
    lost = submit("#!/bin/sh\ntrue\n", tmp_path, "--output=/nonexistent/x")

    assert [(e.state, e.exit_code) for e in fake_slurm.wait(failed)] == [("FAILED", "3:0")]
    assert [(e.state, e.exit_code) for e in fake_slurm.wait(killed)] == [("FAILED", "0:9")]
    assert [(e.state, e.exit_code) for e in fake_slurm.wait(late)] == [("TIMEOUT", "0:15")]
    assert [(e.state, e.exit_code) for e in fake_slurm.wait(lost)] == [("FAILED", "0:53")]
    listed = call("sacct", "-nPX", "-j", f"{failed},{late}", "-o", "JobID,State,ExitCode").stdout.splitlines()
    assert listed == [f"{failed}|FAILED|3:0", f"{late}|TIMEOUT|0:15"]


def test_scancel_ends_everything_that_the_job_started(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    job = submit("#!/bin/bash\nsetsid sleep 987 &\nsrun sleep 987\n", tmp_path, "-N2")
    fake_slurm.wait(job, "RUNNING")
    call("scancel", job)

    assert fake_slurm.wait(job)[0].state == "CANCELLED"
    assert call("squeue", "-h", "-j", job).stdout == ""
    assert call("sacct", "-nPXj", job, "-o", "State,ExitCode").stdout == f"CANCELLED by {os.getuid()}|0:0\n"
    assert call("squeue", "-h", "-j", job, "-t", "all", "-o", "%T").stdout == "CANCELLED\n"
    assert of_element(fake_slurm.folder, fake_slurm.element(job)) == []


def test_arrays_run_their_elements_and_pending_ones_are_shown_as_a_range(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.pause()
    job = submit("#!/bin/sh\necho $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT\n", tmp_path, "--array=1-4,7%2")
    assert call("squeue", "-h", "-o", "%i").stdout.strip() == f"{job}_[1-4,7%2]"
    call("scancel", f"{job}_[3,4]")
    fake_slurm.resume()
    elements = fake_slurm.wait(job)

    assert [(e.task, e.state) for e in elements] == [
        (1, "COMPLETED"), (2, "COMPLETED"), (3, "CANCELLED"), (4, "CANCELLED"), (7, "COMPLETED"),
    ]  # fmt: skip
    assert (tmp_path / f"slurm-{job}_7.out").read_text() == "7 of 5\n"


def test_requeue_and_node_failure_start_the_script_again(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    script = '#!/bin/sh\necho run ${SLURM_RESTART_COUNT:-0}\n[ "${SLURM_RESTART_COUNT:-0}" = 2 ] || sleep 600\n'
    job = submit(script, tmp_path, "--requeue", "--open-mode=append", "-o", "log")
    fake_slurm.wait(job, "RUNNING")
    call("scontrol", "requeue", job)
    wait_for("the second run", lambda: "run 1" in (tmp_path / "log").read_text())
    fake_slurm.request(job, "node_fail")

    assert fake_slurm.wait(job)[0].state == "COMPLETED"
    assert (tmp_path / "log").read_text().splitlines()[-1] == "run 2"
    assert "Restarts=2" in call("scontrol", "show", "job", job, "-o").stdout


def test_a_signal_reaches_the_step_or_the_batch_shell(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    script = """#!/bin/bash
trap 'echo batch; exit 0' USR2
srun bash -c 'trap "echo step; exit 0" USR1; touch ready; while :; do sleep 0.05; done'
while :; do sleep 0.05; done
"""
    job = submit(script, tmp_path, "-o", "log")
    wait_for("the step", (tmp_path / "ready").exists)
    call("scancel", "--signal=USR1", job)
    wait_for("the step's word", lambda: "step" in (tmp_path / "log").read_text())
    call("scancel", "--batch", "--signal=USR2", job)

    assert fake_slurm.wait(job)[0].state == "COMPLETED"
    assert (tmp_path / "log").read_text().splitlines()[-1] == "batch"


def test_the_job_gets_only_the_environment_that_was_exported(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "secret")
    for export, expected in (("ALL", "secret"), ("NIL", "unset"), ("PATH,MINE=other", "other")):
        job = submit("#!/bin/sh\necho ${MINE-unset}\n", tmp_path, f"--export={export}", "-o", "log")
        fake_slurm.wait(job)
        assert (tmp_path / "log").read_text() == f"{expected}\n"


def test_a_step_without_path_finds_no_bare_command(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    job = submit("#!/bin/sh\nsrun true\n", tmp_path, "--export=NIL", "-o", "log")

    assert fake_slurm.wait(job)[0].exit_code == "2:0"
    assert "execve(): true: No such file or directory" in (tmp_path / "log").read_text()


def test_the_highest_exit_code_of_a_step_counts(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    job = submit("#!/bin/sh\nsrun sh -c 'exit $SLURM_PROCID'\n", tmp_path, "-N3")
    assert fake_slurm.wait(job)[0].exit_code == "2:0"


def test_planned_failures_and_missing_accounting(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr="sbatch: error: Socket timed out\n")
    assert call("sbatch", "--wrap", "true", check=False).stderr == "sbatch: error: Socket timed out\n"
    assert call("sbatch", "--wrap", "true", cwd=tmp_path).stdout.startswith("Submitted batch job 1")
    fake_slurm.configure(accounting=False)
    assert call("sacct", check=False).returncode == 1
    fake_slurm.remove_command("sinfo")
    assert fake_slurm.calls_of("sbatch") == [["--wrap", "true"]] * 2
    assert not (fake_slurm.bin / "sinfo").exists()


def test_unknown_jobs_are_answered_as_slurm_does(fake_slurm: FakeSlurm) -> None:
    assert call("squeue", "-j", "77", check=False).stderr == "slurm_load_jobs error: Invalid job id specified\n"
    assert call("scontrol", "show", "job", "77", check=False).returncode == 1
    assert call("scancel", "77").stderr == ""
    assert call("sacct", "-nPj", "77").stdout == ""


def test_host_lists_are_expanded(fake_slurm: FakeSlurm) -> None:
    assert call("scontrol", "show", "hostnames", "n[1-3],m[09-10]").stdout.split() == ["n1", "n2", "n3", "m09", "m10"]


def test_children_find_the_fake_and_this_python(fake_slurm: FakeSlurm) -> None:
    assert os.environ["PATH"].split(":")[:2] == [str(fake_slurm.bin), f"{sys.prefix}/bin"]
