"""Parsers against what a real Slurm 22.05 printed (data/slurm, recorded)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import parse
from curator_slurm.launcher.slurm.job_info import JobInfo, merge
from curator_slurm.launcher.slurm.nodelists import MOST_NODES, expand_nodelist
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.states import SlurmState

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> str:
    return (DATA / name).read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4711\n", ("4711", None)),
        ("18;lab\n", ("18", "lab")),
        ("Welcome to the cluster!\n4711\n", ("4711", None)),
        ("4711\nPlease clean up your scratch 2026\n", ("4711", None)),
    ],
)
def test_job_id_of_sbatch(text: str, expected: tuple[str, str | None]) -> None:
    assert parse.parse_job_id(text) == expected


@pytest.mark.parametrize("text", ["", "Submitted batch job 12\n", "sbatch: error\n"])
def test_sbatch_without_a_job_id(text: str) -> None:
    with pytest.raises(ValueError, match="no job id"):
        parse.parse_job_id(text)


def test_squeue() -> None:
    jobs = {job.job_id: job for job in parse.parse_squeue(recorded("squeue_all.txt"))}
    assert len(jobs) == 14
    assert jobs["1"].state is SlurmState.COMPLETED
    assert jobs["1"].nodes == ("n1",)
    assert jobs["1"].ended is not None
    assert jobs["2"].reason == "NonZeroExitCode"
    assert jobs["3"].name == "odd|na_me"
    assert jobs["3"].reason.startswith("Nodes required for job are DOWN")
    assert jobs["4"].reason == "PartitionConfig"
    assert jobs["4"].nodes == ()
    assert jobs["7"].state is SlurmState.RUNNING
    assert jobs["7"].ended is None
    assert jobs["13"].state.failure_class is FailureClass.OUT_OF_MEMORY


def test_squeue_of_an_array() -> None:
    rest, first = parse.parse_squeue(recorded("squeue_array.txt"))
    assert (rest.job_id, rest.array_job_id, rest.array_task) == ("5_[1-9%1]", "5", "1-9%1")
    assert (first.job_id, first.array_job_id, first.array_task) == ("5_0", "5", "0")
    assert rest.base_id == first.base_id == "5"


HEADER = "JOBID|ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|NODELIST|SUBMIT_TIME|START_TIME|END_TIME|TIME_LIMIT|NAME\n"
ARRAY_HEADER = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|START_TIME|END_TIME|REASON\n"
ROW = "4711|4711|N/A|RUNNING|None|n1|2026-11-24T03:36:24|2026-11-24T03:36:27|N/A|1:00:00|x\n"
ARRAY_ROW = "4711|4|RUNNING|N/A|N/A|None\n"


def test_a_header_alone_says_that_there_is_no_job() -> None:
    assert parse.parse_squeue(HEADER) == []
    assert parse.parse_squeue(f"CLUSTER: lab\n{HEADER}") == []
    assert parse.parse_arrays(ARRAY_HEADER) == []
    assert parse.parse_comments("JOBID|WORK_DIR|COMMENT\n") == []
    assert parse.parse_work_dirs("JOBID|WORK_DIR\n") == {}
    assert parse.parse_sacct("JobID|State|ExitCode|Submit|Start|End|NodeList|Timelimit\n") == []


def test_lines_of_a_site_are_passed_over() -> None:
    text = f"Welcome to the cluster!\n\nCLUSTER: lab\n{HEADER}{ROW}Maintenance | on Monday\n"
    assert [job.job_id for job in parse.parse_squeue(text)] == ["4711"]


def test_line_breaks_in_the_name_of_a_folder() -> None:
    text = "4711|/runs/a\nb|curator-slurm:x:0001\n4712|/y|(null)\n"
    assert parse.parse_comments(text) == [("4711", "/runs/a\nb", "curator-slurm:x:0001"), ("4712", "/y", "(null)")]


DAMAGED = [
    "",
    "\n",
    "something|else\n",
    "Welcome to the cluster!\n",
    "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n",
    '{"jobs": [], "errors": []}\n',
    "<html><body>503</body></html>\n",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
]


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize(
    "read", [parse.parse_squeue, parse.parse_arrays, parse.parse_comments, parse.parse_work_dirs, parse.parse_sacct]
)
def test_what_is_no_table_is_no_answer(read: Any, text: str) -> None:
    with pytest.raises(UnreadableOutputError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + ROW[:40],
        HEADER + ROW[:40] + "\n",
        HEADER + ROW[:-1],
        HEADER + "4711|4711|N/A|RUNNING|None|n1\n" + ROW,
        HEADER + "slurm_load_jobs error: Zero Bytes were transmitted or received\n",
        HEADER + ROW.replace("RUNNING", "5:03"),
        HEADER + ROW.replace("RUNNING", ""),
        HEADER + ROW.replace("4711|4711", "4711_|4711"),
    ],
)
def test_a_damaged_row_is_no_answer(text: str) -> None:
    with pytest.raises(UnreadableOutputError):
        parse.parse_squeue(text)


@pytest.mark.parametrize(
    "row",
    [
        ARRAY_ROW[:12] + "\n",
        ARRAY_ROW[:-1],
        ARRAY_ROW.replace("4711", "4711_4"),
        ARRAY_ROW.replace("RUNNING", "R|UNNING"),
    ],
)
def test_a_damaged_row_of_an_array_is_no_answer(row: str) -> None:
    with pytest.raises(UnreadableOutputError):
        parse.parse_arrays(ARRAY_HEADER + row)


def test_a_state_of_a_later_slurm_is_unknown_and_not_over() -> None:
    (job,) = parse.parse_squeue(HEADER + ROW.replace("RUNNING", "TELEPORTING"))
    assert job.state is SlurmState.UNKNOWN
    assert not job.state.is_final


@pytest.mark.parametrize("tasks", ["1-3,5,7,...", "1-99999999999", "9-1", "x"])
def test_a_list_of_tasks_that_cannot_be_read_names_none_and_stands_for_all(tasks: str) -> None:
    (entry,) = parse.parse_arrays(ARRAY_HEADER + ARRAY_ROW.replace("|4|", f"|{tasks}|"))
    assert entry.tasks is None


def test_work_dirs() -> None:
    assert parse.parse_work_dirs(recorded("work_dirs.txt"))["7"] == "/tmp/labops/shared"
    assert parse.parse_work_dirs("7|/a|b c\n") == {"7": "/a|b c"}


def test_scontrol() -> None:
    jobs = {job.job_id: job for job in parse.parse_scontrol(recorded("scontrol_all.txt"))}
    assert jobs["2"].exit_code == 3
    assert jobs["2"].signal == 0
    assert jobs["6"].state is SlurmState.CANCELLED
    assert (jobs["6"].exit_code, jobs["6"].signal) == (0, 15)
    assert jobs["13"].signal == 125
    assert jobs["3"].name == "odd|na_me"
    assert jobs["4"].reason == "PartitionConfig"
    assert jobs["5_0"].array_task == "0"
    assert jobs["5_[1-9%1]"].state is SlurmState.PENDING
    assert jobs["7"].restarts == 0
    assert jobs["7"].work_dir == "/tmp/labops/shared"
    assert jobs["12"].exit_code == 0


def test_scontrol_values_may_hold_spaces() -> None:
    line = "JobId=9 JobName=a b c JobState=RUNNING Reason=None WorkDir=/data/my runs/x StdErr=/dev/null"
    (job,) = parse.parse_scontrol(line)
    assert (job.name, job.work_dir, job.state) == ("a b c", "/data/my runs/x", SlurmState.RUNNING)


def test_sacct_leaves_out_steps() -> None:
    jobs = {job.job_id: job for job in parse.parse_sacct(recorded("sacct.txt"))}
    assert "1.batch" not in jobs
    assert jobs["2"].exit_code == 3
    assert jobs["6"].state is SlurmState.CANCELLED
    assert jobs["13"].state is SlurmState.OUT_OF_MEMORY
    assert jobs["5_0"].array_job_id == "5"
    assert jobs["5_[1-9%1]"].array_task == "1-9%1"
    assert jobs["3"].nodes == ()


def test_sacct_counts_the_runs_of_a_requeued_job() -> None:
    jobs = {job.job_id: job for job in parse.parse_sacct(recorded("sacct_requeued.txt"))}
    assert (jobs["1"].state, jobs["1"].restarts) == (SlurmState.TIMEOUT, 0)
    assert (jobs["2"].state, jobs["2"].restarts) == (SlurmState.RUNNING, 1)
    assert (jobs["3"].state, jobs["3"].restarts) == (SlurmState.PENDING, 1)


def test_scontrol_of_jobs_that_ended_or_run_again() -> None:
    jobs = {job.job_id: job for job in parse.parse_scontrol(recorded("scontrol_ended.txt"))}
    assert (jobs["1"].state, jobs["1"].reason) == (SlurmState.TIMEOUT, "TimeLimit")
    assert (jobs["2"].state, jobs["2"].restarts) == (SlurmState.RUNNING, 1)
    assert (jobs["3"].state, jobs["3"].reason) == (SlurmState.PENDING, "BeginTime")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[1,3-4],gpu05", ["n1", "n3", "n4", "gpu05"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("r[1-2]n[01-02]", ["r1n01", "r1n02", "r2n01", "r2n02"]),
        ("a-b[1-2]-ib,c", ["a-b1-ib", "a-b2-ib", "c"]),
        ("", []),
    ],
)
def test_nodelists(text: str, expected: list[str]) -> None:
    assert expand_nodelist(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "n[1-",
        "n[a-b]",
        "n[1-9999999999]",
        "n[1-9999][1-9999]",
        "n[1-2",
        "n]1[",
        f"n[1-{'9' * 5000}]",
        "n[1-2-3]",
        "n[]",
    ],
)
def test_damaged_nodelists(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        expand_nodelist(text)


def test_a_nodelist_has_a_limit() -> None:
    assert len(expand_nodelist(f"n[1-{MOST_NODES}]")) == MOST_NODES
    with pytest.raises(ValueError, match="names more than"):
        expand_nodelist(f"n[1-{MOST_NODES}],m1")


def test_times() -> None:
    assert parse.parse_time("N/A") is None
    assert parse.parse_time("Unknown") is None
    early, late = parse.parse_time("2026-11-24T03:36:24"), parse.parse_time("2026-11-24T03:37:24")
    assert early is not None
    assert late is not None
    assert late - early == 60


def test_merge_adds_only_what_is_missing() -> None:
    known = JobInfo(job_id="1", state=SlurmState.RUNNING, reason="A", nodes=("n1",))
    more = JobInfo(job_id="1", state=SlurmState.FAILED, reason="B", exit_code=0, restarts=2, time_limit="1:00")
    merged = merge(known, more)
    assert (merged.state, merged.reason, merged.exit_code, merged.restarts) == (SlurmState.RUNNING, "A", 0, 2)
    assert merged.time_limit == "1:00"


def test_why_a_job_is_being_ended() -> None:
    assert JobInfo(job_id="1", state=SlurmState.RUNNING).end_reason is None
    assert JobInfo(job_id="1", state=SlurmState.COMPLETING).end_reason is None
    completing = JobInfo(job_id="1", state=SlurmState.COMPLETING, reason="TimeLimit")
    assert completing.end_reason is FailureClass.TIME_LIMIT
    assert JobInfo(job_id="1", state=SlurmState.PREEMPTED).end_reason is FailureClass.PREEMPTED


def test_arrays_in_short() -> None:
    text = (
        "4711|5-7,9%3|PENDING|N/A|N/A|JobArrayTaskLimit\n"
        "4711|4|RUNNING|2026-11-24T19:00:00|2026-11-24T20:00:00|None\n"
        "4711|3|COMPLETED|2026-11-24T18:00:00|2026-11-24T18:10:00|None\n"
        "4712|N/A|PENDING|N/A|N/A|(null)\n"
    )
    rest, running, done, single = parse.parse_arrays(text)
    assert (rest.tasks, rest.state, rest.reason) == ((5, 6, 7, 9), SlurmState.PENDING, "JobArrayTaskLimit")
    assert (running.tasks, running.ended, running.reason) == ((4,), None, "")
    assert running.started is not None
    assert done.ended is not None
    assert done.started is not None
    assert done.ended - done.started == 600
    assert (single.job_id, single.tasks) == ("4712", None)


def test_comments_and_work_dirs() -> None:
    text = "4711|/runs/a b|project 7 curator-slurm:20261124-195000-abcd:0001\n" * 2 + "4713|/x|y|(null)\n"
    assert parse.parse_comments(text) == [
        ("4711", "/runs/a b", "project 7 curator-slurm:20261124-195000-abcd:0001"),
        ("4713", "/x|y", "(null)"),
    ]


def test_a_setting_of_the_cluster() -> None:
    text = "Configuration data\nMaxArraySize            = 1001\nMaxArraySizeX = 7\n"
    assert parse.parse_setting(text, "MaxArraySize") == "1001"
    assert parse.parse_setting(text, "MaxJobCount") is None


@pytest.mark.parametrize("digit", ["\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}"])
def test_digits_of_other_scripts_are_no_numbers(digit: str) -> None:
    (tasks,) = parse.parse_arrays(f"4711|{digit}|RUNNING|N/A|N/A|None\n")
    assert tasks.tasks is None
    (job,) = parse.parse_scontrol(f"JobId=9 JobState=FAILED ExitCode={digit}:{digit} Restarts={digit}")
    assert (job.exit_code, job.signal, job.restarts) == (None, None, None)
    with pytest.raises(ValueError, match="no job id"):
        parse.parse_job_id(f"{digit}\n")
    with pytest.raises(ValueError, match="not a range"):
        parse.expand_nodelist(f"n[1-{digit}]")


def test_a_newline_is_no_part_of_a_range_of_nodes() -> None:
    with pytest.raises(ValueError, match="not a range"):
        parse.expand_nodelist("n[1-2\n]")


HET_SQUEUE = """JOBID|ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|NODELIST|SUBMIT_TIME|START_TIME|END_TIME|TIME_LIMIT|NAME
19+1|20|N/A|PENDING|Resources||2026-11-30T00:08:27|N/A|N/A|5:00|het
19+0|19|N/A|PENDING|None||2026-11-30T00:08:27|N/A|N/A|5:00|het
5+0|5|N/A|RUNNING|None|n[1-2]|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:09:29|5:00|het
5+1|6|N/A|COMPLETING|None|n3|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:09:29|5:00|het
7|7|N/A|RUNNING|None|n4|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:09:29|5:00|plain
"""


def test_a_heterogeneous_job_is_one_job() -> None:
    jobs = {job.job_id: job for job in parse.parse_squeue(HET_SQUEUE)}
    assert sorted(jobs) == ["19", "5", "7"]
    assert (jobs["5"].state, jobs["5"].nodes, jobs["5"].base_id) == (SlurmState.RUNNING, ("n1", "n2", "n3"), "5")
    assert (jobs["19"].state, jobs["19"].reason) == (SlurmState.PENDING, "Resources")
    rows = "JOBID|WORK_DIR|COMMENT\n5+0|/runs/a|mark\n5+1|/runs/a|mark\n8_[1-3]|/b|other\n8_0|/b|other\n"
    assert parse.parse_comments(rows) == [("5", "/runs/a", "mark"), ("8", "/b", "other")]
    assert parse.parse_work_dirs("JOBID|WORK_DIR\n5+0|/runs/a\n5+1|/runs/a\n") == {"5": "/runs/a"}
    shown = (
        "JobId=5 HetJobId=5 HetJobOffset=0 JobName=het JobState=RUNNING Reason=None ExitCode=0:0 NodeList=n[1-2] "
        "StdOut=/runs/a/slurm-5.log\n"
        "JobId=6 HetJobId=5 HetJobOffset=1 JobName=het JobState=RUNNING Reason=None ExitCode=0:0 NodeList=n3\n"
    )
    (job,) = parse.parse_scontrol(shown)
    assert (job.job_id, job.nodes, job.output) == ("5", ("n1", "n2", "n3"), "/runs/a/slurm-5.log")
    accounted = (
        "JobID|State|ExitCode|Submit|Start|End|NodeList|Timelimit\n"
        "5+0|COMPLETED|0:0|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:05:29|n[1-2]|00:05:00\n"
        "5+0.batch|COMPLETED|0:0|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:05:29|n1|\n"
        "5+1|NODE_FAIL|0:0|2026-11-30T00:04:26|2026-11-30T00:04:29|2026-11-30T00:05:29|n3|00:05:00\n"
    )
    (ended,) = parse.parse_sacct(accounted)
    assert (ended.job_id, ended.state, ended.nodes) == ("5", SlurmState.COMPLETED, ("n1", "n2", "n3"))
