"""Slurm's words for end users, from errors that a real Slurm gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.states import SlurmState

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("name", "words", "key"),
    [
        ("sbatch_bad_partition.err", "Invalid partition name", "resources.partition"),
        ("sbatch_bad_constraint.err", "Invalid feature", "resources.sbatch.constraint"),
        ("sbatch_bad_mem.err", "Memory specification", "resources.mem_per_node"),
        ("sbatch_bad_reservation.err", "reservation is invalid", "resources.sbatch.reservation"),
        ("sbatch_bad_option.err", "unrecognized option", "resources.sbatch.nope"),
    ],
)
def test_a_refusal_keeps_slurms_words_and_names_the_setting(name: str, words: str, key: str) -> None:
    text = messages.refusal((DATA / name).read_text())
    assert words in text
    assert f"Change {key}" in text
    assert f"--set {key}=VALUE" in text
    assert "sbatch: error:" not in text


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("Invalid account or account/partition combination specified", "resources.account"),
        ("Invalid qos specification", "resources.sbatch.qos"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "resources.time"),
        ("Requested node configuration is not available", "resources.nodes"),
        ("Invalid generic resource (gres) specification", "resources.gpus_per_node"),
    ],
)
def test_refusals_by_their_words(line: str, key: str) -> None:
    assert key in messages.refusal(f"sbatch: error: Batch job submission failed: {line}\n")


def test_an_unknown_refusal_is_quoted() -> None:
    assert messages.refusal("sbatch: error: the moon is full\n") == "Slurm refused the job: the moon is full"


def test_transient_errors() -> None:
    for name in ("squeue_down.err", "sbatch_down.err"):
        text = (DATA / name).read_text()
        assert messages.TRANSIENT.search(text)
        assert messages.NEVER_REACHED.search(text)
    lost = "slurm_load_jobs error: Socket timed out on send/recv operation"
    assert messages.TRANSIENT.search(lost)
    assert not messages.NEVER_REACHED.search(lost)
    assert not messages.TRANSIENT.search((DATA / "sbatch_bad_partition.err").read_text())


def test_a_missing_command_says_where_it_was_looked_for_and_what_else_there_is() -> None:
    text = messages.not_found("sbatch", "/usr/bin:/opt/bin")
    assert "/usr/bin\n" in text
    assert "/opt/bin\n" in text
    assert "--cluster local" in text


@pytest.mark.parametrize(
    ("reason", "never"),
    [
        ("Priority", False),
        ("Resources", False),
        ("PartitionConfig", True),
        ("PartitionNodeLimit", True),
        ("PartitionTimeLimit", True),
        ("JobHeldUser", True),
        ("QOSMaxJobsPerUserLimit", False),
        ("QOSMaxNodePerJobLimit", True),
        ("AssocGrpCpuLimit", False),
        ("SomethingNew", False),
    ],
)
def test_waiting(reason: str, never: bool) -> None:
    waiting = messages.waiting(reason, "12")
    assert waiting.never is never
    assert reason in waiting.words


def test_waiting_with_long_and_empty_reasons() -> None:
    long = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    assert messages.waiting(long, "3").words == "nodes it needs are down, drained or reserved"
    assert messages.waiting("", "3").words
    assert "scontrol release 3" in messages.waiting("JobHeldUser", "3").next_step


def test_every_state_has_an_ending_or_none() -> None:
    for state in SlurmState:
        assert len(messages.ending(state)) == 2
    assert "time limit" in messages.ending(SlurmState.TIMEOUT)[0]


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        ("slurmstepd-n2: error: *** JOB 8 ON n2 CANCELLED AT 2026-11-24T04:22:03 DUE TO TIME LIMIT ***", "time_limit"),
        (
            "slurmstepd-n1: error: *** STEP 10.0 ON n1 CANCELLED AT 2026-11-24T04:22:05 DUE TO PREEMPTION ***",
            "preempted",
        ),
        ("slurmstepd-n2: error: *** JOB 9 ON n2 CANCELLED AT 2026-11-24T04:20:38 ***", "cancelled"),
        (
            "slurmstepd-n2: error: *** JOB 11 ON n2 CANCELLED AT 2026-11-24T04:20:38 DUE TO JOB REQUEUE ***",
            "requeued",
        ),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=13.batch.", "out_of_memory"),
        ("srun: forcing job termination", None),
    ],
)
def test_why_a_job_was_ended_by_its_own_log(line: str, failure: str | None) -> None:
    """Lines that a real Slurm wrote."""
    state = messages.state_in_log(["something", line, "srun: got SIGCONT"])
    assert (state and state.failure_class) == failure


@pytest.mark.parametrize("state", sorted({state for _, state in messages.IN_LOG}))
def test_an_end_that_the_log_proves_has_a_class_and_a_message(state: SlurmState) -> None:
    assert state.failure_class is not None
    assert messages.ending(state)[0]


def test_no_cluster_is_named_by_every_command() -> None:
    said = "scontrol: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
    assert "no cluster that they know" in messages.failed("scontrol", 1, said)
    assert "no cluster" not in messages.failed("scontrol", 1, "scontrol: error: something else")
