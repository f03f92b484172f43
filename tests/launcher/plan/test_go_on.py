"""What the batch script does with a request to go on, under bash, with a Slurm that says what it is told to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from script_lab import ScriptLab

from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.restart_request import How, RestartRequest, goes_on, read_request
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import (
    RESTART,
    SubmissionRecord,
    read_submissions,
    write_resubmission,
    write_submission,
)

RUN_ID = "20261130-010203-abcd"
DISABLED = 'if [[ $1 == show ]]; then echo " Restarts=0 "; else echo "disabled for job" >&2; exit 1; fi'
COMMENT = f"mine curator-slurm:{RUN_ID}:"


def record(**more: object) -> SubmissionRecord:
    values = {
        "number": 0,
        "purpose": "submit",
        "prepared": 1.0,
        "comment": f"{COMMENT}0000",
        "elements": 1,
        "shards": 1,
    }
    return SubmissionRecord(**{**values, **more})  # type: ignore[arg-type]


class Scene:
    """A run directory, a job whose agent leaves a request, and commands that note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.lab = ScriptLab(folder)
        self.run = RunPaths(self.lab.run_dir)
        self.calls_file = folder / "calls"
        (self.lab.run_dir / "run.json").write_text(json.dumps({"run_id": RUN_ID, "cancelled": None}, indent=1))
        write_submission(self.run, record(), [Element(0, (0,))], {})
        self.request = folder / "request"
        self.request.mkdir()
        self.given = ClusterPaths(self.request, self.run)
        self.agent: list[str] = []
        self.slurm("scontrol", '[[ $1 != show ]] || echo "   Requeue=1 Restarts=0 BatchFlag=1"')
        self.slurm("sbatch", "echo '5001;testcluster'")
        self.slurm("scancel")
        self.slurm("squeue")

    def slurm(self, name: str, *lines: str) -> None:
        note = f'printf "%s " {name} "$@" >>"{self.calls_file}"; echo >>"{self.calls_file}"'
        leaks = f'env | grep -q "^SLURM_JOB_ID=" && echo "{name} has the variables of the job" >>"{self.calls_file}"'
        head = [] if name == "srun" else [note, leaks]
        if name == "scontrol":  # the script asks for the job's memory before it begins
            head = [f"[[ $1 == --details ]] || {{ {note}; {leaks}; }}"]
        self.lab.program(name, *head, *lines)

    def leaves(self, how: How, **more: object) -> None:
        RestartRequest(how=how, shards=[0], **more).write(self.given)  # type: ignore[arg-type]

    def leaves_submission(self, **more: object) -> None:
        new = record(number=-1, purpose=RESTART, comment=COMMENT, restart_of="4711.0", **more)
        write_resubmission(self.given.resubmission, self.run, new, [Element(0, (0,))], {})

    def runs(self, **variables: str) -> str:
        return self.runs_to(3, **variables)

    def runs_to(self, code: int, **variables: str) -> str:
        """The script, to this exit code; the calls of Slurm's commands that it made."""
        self.lab.python.write_text(
            "\n".join(["#!/bin/bash", f'cp -r "{self.request}"/. "$CURATOR_SLURM_ELEMENT_DIR/"', *self.agent, "exit 3"])
        )
        arguments = ["0000", RUN_ID]
        done = self.lab.run(self.lab.plan(Cluster.SLURM), arguments=arguments, **variables)
        self.stderr = done.stderr
        assert done.returncode == code, done.stderr
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        assert "has the variables" not in text
        return "\n".join(line.strip() for line in text.splitlines())

    @property
    def element(self) -> ClusterPaths:
        (path,) = [path for path in self.run.elements.iterdir() if path.is_dir()]
        return ClusterPaths(path, self.run)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_without_a_request_nothing_is_asked_of_slurm(scene: Scene) -> None:
    assert scene.runs() == ""


def test_a_job_is_requeued_by_its_id(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    assert scene.runs() == "scontrol show job 4711\nscontrol requeue 4711"
    assert goes_on(scene.element) == read_request(scene.element)


def test_an_element_is_requeued_by_its_own_id(scene: Scene) -> None:
    """The last element of an array has the array's id as its own: by that, all of them would be requeued."""
    scene.leaves(How.REQUEUE)
    calls = scene.runs(SLURM_ARRAY_JOB_ID="4711", SLURM_ARRAY_TASK_ID="7")
    assert calls == "scontrol show job 4711_7\nscontrol requeue 4711_7"


def test_a_long_wait_is_asked_for(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, delay_s=600.0)
    assert scene.runs().endswith("scontrol requeue 4711\nscontrol update JobId=4711 StartTime=now+600")


def test_what_slurm_has_requeued_itself_is_left_alone(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, may_submit=True)
    scene.leaves_submission()
    scene.slurm("scontrol", 'echo "   Requeue=1 Restarts=1 BatchFlag=1"')
    assert scene.runs() == "scontrol show job 4711"
    assert len(read_submissions(scene.run)) == 1


def test_what_slurm_has_requeued_itself_gets_no_new_job_beside_it(scene: Scene) -> None:
    scene.leaves(How.SUBMIT, comment=COMMENT, cancels=True)
    scene.leaves_submission()
    scene.slurm("scontrol", 'echo "   Requeue=1 Restarts=1 BatchFlag=1"')
    assert scene.runs() == "scontrol show job 4711"
    assert len(read_submissions(scene.run)) == 1


def test_a_requeue_that_is_refused_becomes_a_new_job(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, may_submit=True, comment=COMMENT)
    scene.leaves_submission()
    scene.slurm("scontrol", DISABLED)
    calls = scene.runs()
    assert calls.splitlines()[-1].startswith(f"sbatch --parsable --chdir={scene.run.root} --comment={COMMENT}0001")
    assert calls.endswith(f"job.sbatch 0001 {RUN_ID}")
    new = read_submissions(scene.run)[1].record
    assert (new.number, new.job_id, new.slurm_cluster, new.comment) == (1, "5001", "testcluster", f"{COMMENT}0001")
    assert scene.element.restart_refused.read_text() == "disabled for job\n"
    assert goes_on(scene.element) is None


def test_a_requeue_that_is_refused_ends_where_only_that_was_wanted(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    scene.slurm("scontrol", DISABLED)
    assert "sbatch" not in scene.runs()
    assert "disabled for job" in scene.stderr
    assert goes_on(scene.element) is None


def test_a_new_job_has_a_submission_before_sbatch_is_called(scene: Scene) -> None:
    scene.leaves(
        How.SUBMIT, comment=COMMENT, array="7", after="afterany:4711,singleton", job_name="demo-3", delay_s=60.0
    )
    scene.leaves_submission(array="7")
    scene.slurm("sbatch", f'ls "{scene.run.submissions}" >"{scene.run.root}/seen"', "echo 5001")
    calls = scene.runs()
    assert "--array=7 --dependency=afterany:4711,singleton --job-name=demo-3 --begin=now+60 job.sbatch 0001" in calls
    assert (scene.run.root / "seen").read_text().split() == ["0000", "0001"]
    assert not scene.element.resubmission.exists()
    assert read_submissions(scene.run)[1].record.job_id == "5001"


def test_a_script_of_the_submissions_own_is_taken(scene: Scene) -> None:
    scene.leaves(How.SUBMIT, comment=COMMENT)
    new = record(number=-1, purpose=RESTART, comment=COMMENT, restart_of="4711.0")
    write_resubmission(scene.given.resubmission, scene.run, new, [Element(0, (0,))], {"job.sbatch": "#!/bin/bash\n"})
    assert f"submissions/0001/job.sbatch 0001 {RUN_ID}" in scene.runs()


def test_a_number_that_somebody_takes_meanwhile_is_passed_over(scene: Scene) -> None:
    scene.leaves(How.SUBMIT, comment=COMMENT)
    scene.leaves_submission()
    write_submission(scene.run, record(number=1), [Element(0, (0,))], {})
    assert f"job.sbatch 0002 {RUN_ID}" in scene.runs()


def test_an_answer_that_is_lost_makes_no_second_job(scene: Scene) -> None:
    scene.leaves(How.SUBMIT, comment=COMMENT)
    scene.leaves_submission()
    scene.slurm("sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    scene.slurm("squeue", f'printf "%s\\n" "4711 mine curator-slurm:{RUN_ID}:0000" "6002 {COMMENT}0001"')
    assert scene.runs().count("sbatch --parsable") == 1
    assert read_submissions(scene.run)[1].record.job_id == "6002"


def test_a_controller_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    away = f'if [[ $1 == show && ! -e "{scene.request}/asked" ]]; then touch "{scene.request}/asked"'
    scene.slurm("scontrol", f"{away}; echo 'Unable to contact slurm controller' >&2; exit 1; fi", 'echo " Restarts=0 "')
    assert scene.runs() == "scontrol show job 4711\nscontrol show job 4711\nscontrol requeue 4711"


def test_a_refusal_of_sbatch_is_kept(scene: Scene) -> None:
    scene.leaves(How.SUBMIT, comment=COMMENT)
    scene.leaves_submission()
    scene.slurm("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    scene.runs()
    new = read_submissions(scene.run)[1].record
    assert (new.job_id, new.refused, new.may_exist) == (None, "sbatch: error: Invalid account", False)


LOG = r"slurmstepd-n1: error: *** JOB 4711 ON n1 CANCELLED AT 2026-11-30T01:02:03"


@pytest.mark.parametrize("how", [How.REQUEUE, How.SUBMIT])
@pytest.mark.parametrize(
    "agent",
    [
        """sed -i 's/"cancelled": null/"cancelled": 1.5/' "$CURATOR_SLURM_RUN_DIR/run.json\"""",
        'touch "$CURATOR_SLURM_ELEMENT_DIR/cancelled"',
        f'echo "{LOG} ***" >>"$CURATOR_SLURM_RUN_DIR/slurm-4711.log"',
    ],
)
def test_what_is_cancelled_before_it_is_carried_out_ends(scene: Scene, how: How, agent: str) -> None:
    scene.leaves(how, comment=COMMENT)
    scene.leaves_submission()
    scene.agent = [agent]
    assert scene.runs() == ""


@pytest.mark.parametrize("words", [" DUE TO TIME LIMIT ***", " DUE TO PREEMPTION ***", " DUE TO JOB REQUEUE ***"])
def test_what_slurm_ends_for_another_reason_goes_on(scene: Scene, words: str) -> None:
    scene.leaves(How.REQUEUE)
    scene.agent = [f'echo "{LOG}{words}" >>"$CURATOR_SLURM_RUN_DIR/slurm-4711.log"']
    assert "requeue" in scene.runs()


def test_what_an_earlier_start_wrote_into_the_log_is_of_no_account(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    (scene.run.root / "slurm-4711.log").write_text(f"{LOG} ***\n")
    assert "requeue" in scene.runs()


CANCEL = 'sed -i \'s/"cancelled": null/"cancelled": 1.5/\' "{root}/run.json"'


def test_a_cancel_that_comes_between_is_carried_out_by_the_one_who_was_first(scene: Scene) -> None:
    """`cancel` has found the old job alone, and ended that."""
    scene.leaves(How.SUBMIT, comment=COMMENT)
    scene.leaves_submission()
    scene.slurm("sbatch", CANCEL.format(root=scene.run.root), "echo 5001")
    assert scene.runs().endswith("scancel 5001")


def test_a_cancel_while_a_job_is_requeued_takes_it_out_of_the_queue(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    scene.slurm("scontrol", 'echo " Restarts=0 "', f"[[ $1 != requeue ]] || {CANCEL.format(root=scene.run.root)}")
    assert scene.runs().endswith("scontrol requeue 4711\nscancel 4711")


def test_a_request_is_carried_out_once(scene: Scene) -> None:
    scene.leaves(How.REQUEUE)
    scene.agent = ['mkdir "$CURATOR_SLURM_ELEMENT_DIR/restarting"']
    assert scene.runs() == ""


def test_the_rest_of_a_chain_is_dropped(scene: Scene) -> None:
    scene.leaves(How.DROP, jobs=["4712", "4713_7"])
    assert scene.runs() == "scancel 4712 4713_7"


def test_the_next_of_a_chain_needs_no_help(scene: Scene) -> None:
    scene.leaves(How.CHAIN)
    assert scene.runs() == ""


@pytest.mark.parametrize(("how", "calls"), [(How.SUBMIT, "scancel 4711"), (How.CHAIN, "scancel 4711")])
def test_a_worker_that_outlives_its_head_carries_it_out_and_ends_the_job(scene: Scene, how: How, calls: str) -> None:
    scene.leaves(how, comment=COMMENT, cancels=True)
    scene.leaves_submission()
    scene.agent = ["exit 75"]
    made = scene.runs_to(75)
    assert made.endswith(calls)
    assert made.count("scancel") == 1
    assert ("sbatch" in made) is (how is How.SUBMIT)


def test_the_last_element_of_an_array_ends_itself_and_not_the_array(scene: Scene) -> None:
    scene.leaves(How.CHAIN, cancels=True)
    scene.agent = ["exit 75"]
    assert scene.runs_to(75, SLURM_ARRAY_JOB_ID="4711", SLURM_ARRAY_TASK_ID="9") == "scancel 4711_9"


def test_a_job_that_a_worker_has_requeued_is_not_ended(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, cancels=True)
    scene.agent = ["exit 75"]
    assert scene.runs_to(75) == "scontrol show job 4711\nscontrol requeue 4711"


def test_a_request_is_read_as_it_was_written(scene: Scene) -> None:
    request = RestartRequest(
        how=How.REQUEUE, shards=[1, 2, 3, 9], delay_s=60.0, comment="a=b c", array="3", after="afterany:1",
        job_name="n", may_submit=True, cancels=True, jobs=["1", "2"],
    )  # fmt: skip
    request.write(scene.given)
    assert read_request(scene.given) == request
    assert scene.given.restart_request.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "how=\n", "how=other\n", "how=requeue\nshards=x\n", "\0\0"])
def test_a_damaged_request_is_none(scene: Scene, text: str) -> None:
    scene.given.restart_request.write_text(text)
    assert read_request(scene.given) is None


TESTS_ONLY = 'for each in "$@"; do [[ $each != --test-only ]] || exit {code}; done'


@pytest.mark.parametrize("code", [0, 1])
def test_a_requeued_job_does_without_bad_nodes_if_it_can_start_so(scene: Scene, code: int) -> None:
    scene.leaves(How.REQUEUE, exclude="n3,n[5-6]")
    scene.slurm("sbatch", TESTS_ONLY.format(code=code))
    calls = scene.runs().splitlines()
    assert calls[:2] == ["scontrol show job 4711", "scontrol requeue 4711"]
    assert calls[2].startswith("sbatch --test-only --chdir=")
    assert calls[2].endswith(" --exclude=n3,n[5-6] job.sbatch")
    assert calls[3:] == ([] if code else ["scontrol update JobId=4711 ExcNodeList=n3,n[5-6]"])


def test_what_slurm_has_requeued_itself_does_without_them_too(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, exclude="n3")
    scene.slurm("scontrol", 'echo "   Requeue=1 Restarts=1 BatchFlag=1"')
    calls = scene.runs().splitlines()
    assert "scontrol requeue 4711" not in calls
    assert calls[-1] == "scontrol update JobId=4711 ExcNodeList=n3"


def test_a_worker_that_requeues_its_job_knows_them(scene: Scene) -> None:
    scene.leaves(How.REQUEUE, cancels=True, exclude="n3")
    scene.agent = ["exit 75"]
    scene.slurm("sbatch", TESTS_ONLY.format(code=0))
    assert scene.runs_to(75).splitlines()[-1] == "scontrol update JobId=4711 ExcNodeList=n3"


@pytest.mark.parametrize("code", [0, 1])
def test_a_new_job_does_without_them_too(scene: Scene, code: int) -> None:
    scene.leaves(How.SUBMIT, exclude="n3", comment=COMMENT)
    scene.leaves_submission()
    scene.slurm("sbatch", TESTS_ONLY.format(code=code), "echo 5001")
    calls = [call for call in scene.runs().splitlines() if call.startswith("sbatch") and "--test-only" not in call]
    assert ["--exclude=n3" in call for call in calls] == [not code]
