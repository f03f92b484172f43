"""What an agent asks of Slurm goes to the batch shell as files: the shell is real, what the commands say is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from script_lab import ScriptLab
from sharded_runs import plan, sharded_run

from curator_slurm.launcher.agent import job_control, questions
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.context import AgentContext, StopRequest
from curator_slurm.launcher.agent.questions import SlurmQuestion
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.slurm.job_info import Ending, ending_from_inside
from curator_slurm.launcher.slurm.parse import parse_scontrol

AGENT = """\
import json, os, pathlib, sys
from curator_slurm.launcher.agent import questions
from curator_slurm.launcher.agent.questions import SlurmQuestion
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

questions.LOOK_S = 0.1
run = RunPaths(pathlib.Path(os.environ["CURATOR_SLURM_RUN_DIR"]))
cluster = ClusterPaths(pathlib.Path(os.environ["CURATOR_SLURM_ELEMENT_DIR"]), run)
asked = [SlurmQuestion(cluster, words, seconds) for words, seconds in json.loads(sys.argv[1])]
answers = []
for question in reversed(asked):
    try:
        answers.append(question.answer())
    except SlurmError as error:
        answers.append([error.returncode, error.stderr])
print(json.dumps(answers[::-1]), file=open(sys.argv[2], "w"))
"""


@pytest.fixture
def lab(tmp_path: Path) -> ScriptLab:
    return ScriptLab(tmp_path)


def answers_to(lab: ScriptLab, *asked: tuple[list[str], float]) -> list[object]:
    """What an agent is answered that asks all of this at once, in a job without Slurm's commands where it lives."""
    (lab.folder / "agent.py").write_text(AGENT)
    (lab.folder / "asked").write_text(json.dumps(asked))
    lab.python.write_text(
        f"#!/bin/bash\nPATH=/nowhere exec {sys.executable} '{lab.folder}/agent.py' \"$(<'{lab.folder}/asked')\" "
        f"'{lab.folder}/answers'\n"
    )
    done = lab.run(lab.plan(Cluster.SLURM))
    assert done.returncode == 0, done.stderr
    assert list(lab.run_dir.glob("elements/*/questions")) == []
    found: list[object] = json.loads((lab.folder / "answers").read_text())
    return found


def test_the_batch_shell_answers_with_what_a_command_prints(lab: ScriptLab) -> None:
    lab.program("scontrol", 'printf "%s|" "$@"; env | grep ^SLURM_JOB_ID; echo; echo "two lines"')
    (answer,) = answers_to(lab, (["scontrol", "show", "job", "a b"], 60))
    assert answer == "show|job|a b|\ntwo lines\n"


def test_a_command_that_fails_says_why(lab: ScriptLab) -> None:
    lab.program("scancel", "echo 'Invalid job id' >&2; exit 3")
    assert answers_to(lab, (["scancel", "1.0"], 60)) == [[3, "Invalid job id\n"]]


@pytest.mark.long
def test_several_are_asked_at_once_and_one_that_hangs_keeps_no_other_waiting(lab: ScriptLab) -> None:
    lab.program("scontrol", "[[ $1 == show ]] || exit 0; [[ $2 == config ]] && echo yes && exit; sleep 600")
    hangs, answered = answers_to(lab, (["scontrol", "show", "job"], 2), (["scontrol", "show", "config"], 60))
    assert answered == "yes\n"
    assert hangs in ([None, ""], [137, ""])  # nobody has answered, or the shell has killed it


@pytest.mark.long
def test_only_commands_that_an_agent_needs_are_run(lab: ScriptLab) -> None:
    assert answers_to(lab, (["touch", str(lab.folder / "made")], 2)) == [[None, ""]]
    assert not (lab.folder / "made").exists()


@pytest.mark.long
@pytest.mark.parametrize("restarts", ["auto", "off"])
def test_a_worker_that_outlives_its_head_has_its_shell_end_the_job(lab: ScriptLab, restarts: str) -> None:
    """Again and again, while the controller does not answer."""
    calls = lab.folder / "calls"
    lab.program("scancel", f'echo "$@" >>"{calls}"; (($(wc -l <"{calls}") > 1))')
    lab.python.write_text("#!/bin/bash\nexit 76\n")
    done = lab.run(lab.plan(Cluster.SLURM, restart={"mechanism": restarts}), SLURM_NODEID="1")
    assert done.returncode == 76
    assert calls.read_text() == "4711\n4711\n"


@pytest.mark.long
def test_the_last_element_of_an_array_ends_itself_and_not_the_array(lab: ScriptLab) -> None:
    """Its job has the id of the array."""
    calls = lab.folder / "calls"
    lab.program("scancel", f'echo "$@" >>"{calls}"')
    lab.python.write_text("#!/bin/bash\nexit 76\n")
    lab.run(lab.plan(Cluster.SLURM), SLURM_NODEID="1", SLURM_ARRAY_JOB_ID="4711", SLURM_ARRAY_TASK_ID="9")
    assert calls.read_text() == "4711_9\n"


# -- the agent's side


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgentContext:
    monkeypatch.setattr(questions, "LOOK_S", 0.01)
    run = sharded_run(tmp_path, 1).paths
    cluster = ClusterPaths(run.elements / "4711_0.0", run)
    cluster.root.mkdir(parents=True)
    allocation = Allocation("4711_0", 0, 0, ("n1",), 1, 1 << 30, 0, local=False)
    return AgentContext(plan(run.root), allocation, cluster, StopRequest(), {}, run.plan)


def test_without_an_answer_it_goes_on_in_time(context: AgentContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_control, "REASON_S", 0.1)
    monkeypatch.setattr(job_control, "CANCEL_S", 0.1)
    assert job_control.ending_of(context, kill_wait=True) == (None, None)
    assert job_control.reason_of_end(context) is None
    job_control.cancel_step(context, "4711.0")
    assert list(context.cluster.questions.iterdir()) == []


def test_storage_that_takes_no_question_is_no_error(context: AgentContext) -> None:
    context.cluster.questions.write_text("in its place")
    assert job_control.ending_of(context) == (None, None)


def test_a_word_with_a_line_break_is_never_asked(context: AgentContext) -> None:
    with pytest.raises(ValueError, match="several lines"):
        SlurmQuestion(context.cluster, ["scancel", "1\n2"], 1)


def test_what_scontrol_says_of_a_job_that_is_being_ended(context: AgentContext) -> None:
    line = (
        "JobId=4712 ArrayJobId=4711 ArrayTaskId=0 JobState=COMPLETING Reason={} ExitCode=0:0 Restarts=0 "
        "EndTime=2026-11-30T03:45:12 StdOut=/log"
    )

    def ending(text: str, in_log: FailureClass | None = None) -> Ending:
        return ending_from_inside(parse_scontrol(text), "4711_0", in_log)

    assert ending(line.format("None")).reason is None
    assert ending(line.format("None"), FailureClass.PREEMPTED).reason is FailureClass.PREEMPTED
    assert ending(line.format("TimeLimit"), FailureClass.PREEMPTED).reason is FailureClass.TIME_LIMIT
    assert ending(line.format("None").replace("COMPLETING", "RUNNING")).at is not None
    assert ending("", FailureClass.PREEMPTED) == Ending()


def test_a_damaged_answer_is_none(context: AgentContext, monkeypatch: pytest.MonkeyPatch) -> None:
    question = SlurmQuestion(context.cluster, ["scontrol", "show", "config"], 0.2)
    (asked,) = context.cluster.questions.glob("*.ask")
    asked.with_suffix(".code").write_text("zero")
    with pytest.raises(SlurmError, match="not answered"):
        question.answer()
    assert RunPaths(context.run.root).elements.is_dir()
