"""The client of Slurm's commands, against a fake Slurm that really runs jobs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from fake_slurm import FakeSlurm

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.slurm.client import Slurm, clean_environment, inherited_options, submit_command
from curator_slurm.launcher.states import SlurmState

DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
LOST = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"
QUICK = Slurm(pauses_s=(0, 0), timeout_s=20)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run dir"
    folder.mkdir()
    (folder / "job.sbatch").write_text("#!/bin/bash\n#SBATCH --output=out-%j.log\nenv > environment; sleep 0.1\n")
    return folder


def submit(run_dir: Path, slurm: Slurm = QUICK) -> str:
    return slurm.submit(submit_command(run_dir, run_dir / "job.sbatch"), run_dir).job_id


def test_submit_runs_the_script_in_the_run_dir(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    job_id = submit(run_dir)
    fake_slurm.wait(job_id)
    assert (run_dir / "environment").exists()
    assert (run_dir / f"out-{job_id}.log").exists()


def test_inherited_options_do_not_reach_sbatch(
    fake_slurm: FakeSlurm, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "nope")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    submitted = QUICK.submit(submit_command(run_dir, run_dir / "job.sbatch"), run_dir)
    assert submitted.removed_variables == ("SBATCH_PARTITION", "SLURM_JOB_ID")


def test_what_is_kept_of_the_environment() -> None:
    environ = {
        "PATH": "/bin",
        "SLURM_CONF": "c",
        "SQUEUE_FORMAT": "x",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_JWT": "t",
    }
    assert clean_environment(environ) == {"PATH": "/bin", "SLURM_CONF": "c", "SLURM_JWT": "t", "LC_ALL": "C.UTF-8"}
    assert inherited_options(environ) == ["SLURM_TIME_FORMAT"]


def test_a_refusal_names_the_setting(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    script = run_dir / "job.sbatch"
    script.write_text("#!/bin/bash\n#SBATCH --partition=nope\n")
    with pytest.raises(SlurmError, match=r"resources\.partition") as caught:
        submit(run_dir)
    assert caught.value.returncode == 1
    assert "nope" in caught.value.stderr
    assert caught.value.command[0] == "sbatch"
    assert len(fake_slurm.calls_of("sbatch")) == 1


def test_without_slurm_it_says_where_it_looked(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere:/else")
    with pytest.raises(SlurmError, match="--cluster local") as caught:
        submit(run_dir)
    assert "/nowhere" in str(caught.value)
    assert caught.value.returncode is None


def test_a_controller_that_comes_back_is_asked_again(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr=DOWN, times=2)
    fake_slurm.wait(submit(run_dir))
    assert len(fake_slurm.calls_of("sbatch")) == 3
    assert len(fake_slurm.jobs) == 1


def test_a_controller_that_stays_away_is_an_error(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr=DOWN, times=9)
    with pytest.raises(SlurmError, match="does not respond"):
        submit(run_dir)
    assert len(fake_slurm.calls_of("sbatch")) == 3


def test_no_second_job_after_a_lost_answer(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    """The first sbatch does its work, and its answer is lost."""
    real = fake_slurm.bin / "sbatch"
    kept = real.rename(real.with_name("real-sbatch"))
    real.write_text(f"#!/bin/sh\n'{kept}' \"$@\" >/dev/null\necho '{LOST.strip()}' >&2\nexit 1\n")
    real.chmod(0o755)
    job_id = submit(run_dir)
    assert [str(job.id) for job in fake_slurm.jobs] == [job_id]


def test_sbatch_is_tried_again_when_a_lost_request_made_no_job(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr=LOST)
    submit(run_dir)
    assert len(fake_slurm.jobs) == 1


def test_a_command_that_hangs_is_given_up(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail_next("squeue", delay=5, times=9)
    with pytest.raises(SlurmError, match="no response within"):
        Slurm(timeout_s=0.3, pauses_s=()).job_states(["1"])


def test_states_of_many_jobs_take_a_constant_number_of_commands(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    ids = [submit(run_dir) for _ in range(4)]
    for job_id in ids:
        fake_slurm.wait(job_id)
    before = len(fake_slurm.calls)
    states = QUICK.job_states([*ids, "99999"], details=True)
    assert {job_id: infos[0].state for job_id, infos in states.items()} == dict.fromkeys(ids, SlurmState.COMPLETED)
    assert states[ids[0]][0].exit_code == 0
    assert len(fake_slurm.calls) - before <= 4


def test_no_jobs_no_commands(fake_slurm: FakeSlurm) -> None:
    assert QUICK.job_states([]) == {}
    assert fake_slurm.calls == []


def test_a_job_that_squeue_forgot_is_found_in_accounting(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    job_id = submit(run_dir)
    fake_slurm.wait(job_id)
    fake_slurm.fail_next("squeue", stderr="slurm_load_jobs error: Invalid job id specified\n", times=4)
    assert QUICK.job_states([job_id])[job_id][0].state is SlurmState.COMPLETED
    assert QUICK.job_states([job_id], forgotten=()) == {}
    fake_slurm.configure(accounting=False)
    assert QUICK.job_states([job_id]) == {}
    fake_slurm.remove_command("sacct")
    assert QUICK.job_states([job_id]) == {}


def test_arrays_have_an_entry_for_each_element(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    (run_dir / "job.sbatch").write_text("#!/bin/bash\n#SBATCH --array=0-2\n#SBATCH --output=/dev/null\nexit 0\n")
    job_id = submit(run_dir)
    fake_slurm.wait(job_id)
    infos = QUICK.job_states([f"{job_id}_1"], details=True)[job_id]
    assert sorted(info.array_task or "" for info in infos) == ["0", "1", "2"]


def test_cancel_is_idempotent(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    (run_dir / "job.sbatch").write_text("#!/bin/bash\n#SBATCH --output=/dev/null\nsleep 60\n")
    job_id = submit(run_dir)
    fake_slurm.wait(job_id, "RUNNING")
    QUICK.cancel([job_id])
    fake_slurm.wait(job_id, "CANCELLED")
    QUICK.cancel([job_id, "99999"])
    (info,) = QUICK.job_states([job_id])[job_id]
    assert info.state is SlurmState.CANCELLED


def test_commands_get_no_terminal_input(fake_slurm: FakeSlurm) -> None:
    (fake_slurm.bin / "squeue").write_text("#!/bin/sh\ncat\n")
    assert QUICK.run(["squeue"]) == ""
    assert os.environ["PATH"].startswith(str(fake_slurm.bin))


def stub(fake: FakeSlurm, command: str, text: str) -> None:
    (fake.bin / command).write_text(f"#!/bin/sh\n{text}\n")
    (fake.bin / command).chmod(0o755)


@pytest.mark.parametrize("text", ["exit 0", "echo Welcome", "echo '{\"jobs\": []}'", "printf '1|1|N/A|RUN'"])
def test_an_answer_that_cannot_be_read_is_an_error(fake_slurm: FakeSlurm, text: str) -> None:
    stub(fake_slurm, "squeue", text)
    for ask in (lambda: QUICK.job_states(["1"]), lambda: QUICK.arrays(["1"]), QUICK.commented):
        with pytest.raises(
            SlurmError, match=r"The output of squeue cannot be parsed(.|\n)*Try it by hand: squeue --states"
        ):
            ask()


def test_accounting_that_is_away_is_a_doubt(fake_slurm: FakeSlurm) -> None:
    doubts: list[str] = []
    fake_slurm.fail_next("sacct", stderr="sacct: error: slurmdbd: Connection refused\n")
    assert QUICK.job_states(["77", "78"], doubts=doubts) == {}
    assert "sacct" in doubts[0]
    stub(fake_slurm, "sacct", "echo oops")
    QUICK.job_states(["77", "78"], doubts=doubts)
    assert "The output of sacct cannot be parsed" in doubts[1]


def test_all_commands_have_one_limit_of_time_together(fake_slurm: FakeSlurm) -> None:
    stub(fake_slurm, "squeue", "sleep 600")
    slurm = Slurm(timeout_s=5.0, pauses_s=(0, 0)).within(0.5)
    for _ in range(2):
        with pytest.raises(SlurmError, match="no response within 0"):
            slurm.job_states(["1"])


def test_nothing_is_left_of_a_wrapper_that_hangs(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    stub(fake_slurm, "squeue", f"sleep 600 & echo $! >'{tmp_path}/pid'\nwait")
    with pytest.raises(SlurmError, match="no response within"):
        Slurm(timeout_s=1.0, pauses_s=()).job_states(["1"])
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_lost_answer_stays_unclear_when_nobody_can_look(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    fake_slurm.fail_next("sbatch", stderr=LOST, instead=True)
    fake_slurm.fail_next("squeue", stderr=DOWN, times=9)
    with pytest.raises(SlurmError, match="Socket timed out") as caught:
        submit(run_dir)
    assert caught.value.may_have_worked
    assert len(fake_slurm.calls_of("sbatch")) == 1


def test_a_job_id_that_cannot_be_read_is_looked_up(fake_slurm: FakeSlurm, run_dir: Path) -> None:
    real = fake_slurm.bin / "sbatch"
    kept = real.rename(real.with_name("real-sbatch"))
    stub(fake_slurm, "sbatch", f"'{kept}' \"$@\" >/dev/null; echo done")
    assert submit(run_dir) == str(fake_slurm.jobs[0].id)
