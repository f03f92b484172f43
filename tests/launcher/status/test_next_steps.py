"""Every failure class and every way in which a job ends has a next step, and its commands exist."""

import re
import shlex
import signal

import click
import pytest

from curator_slurm.launcher import cli
from curator_slurm.launcher.agent.driver_process import judge
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages, signals
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.facts import AttemptFacts, ElementFacts, RunFacts, ShardPlace
from curator_slurm.launcher.status.next_steps import default_step, with_next_command
from curator_slurm.launcher.status.reports import outcome_of
from curator_slurm.launcher.status.run_decision import RunStatus, decide

RUN = "20260101-000000-aaaa"
NOW = 1_795_500_000.0
ENDINGS = [state for state in SlurmState if state.is_final and state is not SlurmState.COMPLETED]


def ended(element: ElementFacts | None = None, attempt: AttemptFacts | None = None, **more) -> RunStatus:
    facts = {
        "run_id": RUN, "now": NOW, "total": 1, "done": {}, "places": {0: ShardPlace(0, "7")},
        "detailed": frozenset({0}), "elements": {"7": element} if element else {},
        "attempts": {0: attempt} if attempt else {},
    }  # fmt: skip
    return decide(RunFacts(**{**facts, **more}))


def check(step: str) -> None:
    """A step is a sentence, and every command of ours in it can be typed."""
    assert step
    assert step.endswith(".")
    assert "{" not in step
    for command in re.findall(r"`curator-slurm ([^`]*)`", step):
        words = shlex.split(command.replace("SIZE", "8G").replace("KEY=VALUE", "nodes=1").replace("TIME", "60"))
        assert RUN in words
        verb = cli.main.get_command(click.Context(cli.main), words[0])
        verb.make_context(words[0], words[1:], **cli.main.context_settings)


@pytest.mark.parametrize("failure", FailureClass)
def test_every_class_has_one(failure):
    check(default_step(failure, RUN))
    check(with_next_command(failure, "read /runs/driver.log", RUN))
    own = outcome_of({"state": "failed", "message": "x", "failure_class": failure, "exit_code": 1, "ended": 2.0})
    check(ended(None, AttemptFacts(name="7.0", count=1, outcome=own)).next_step)


@pytest.mark.parametrize("state", ENDINGS)
def test_every_ending_of_a_job_that_wrote_nothing_has_one(state):
    found = ended(ElementFacts(state, exit_code=0, signal=0))
    assert found.state in (RunState.FAILED, RunState.CANCELLED)
    check(found.next_step)
    assert "retry" in found.next_step


@pytest.mark.parametrize(
    ("element", "words"),
    [
        (ElementFacts(SlurmState.TIMEOUT), "--time TIME"),
        (ElementFacts(SlurmState.NODE_FAIL), "sinfo -R"),
        (ElementFacts(SlurmState.OUT_OF_MEMORY), "--set resources.mem_per_node=SIZE"),
        (ElementFacts(SlurmState.FAILED, exit_code=0, signal=9), "resources.mem_per_node=SIZE"),
        (ElementFacts(SlurmState.FAILED, exit_code=137), "resources.mem_per_node=SIZE"),
        (ElementFacts(SlurmState.FAILED, exit_code=1), f"logs {RUN} --all"),
        (None, f"logs {RUN} --all"),
    ],
)
def test_the_step_fits_the_end(element, words):
    found = ended(element)
    assert words in found.next_step
    check(found.next_step)


@pytest.mark.parametrize("signum", signal.Signals)
def test_every_signal_is_named_for_jobs_and_drivers(signum):
    found = ended(ElementFacts(SlurmState.FAILED, exit_code=0, signal=int(signum)))
    assert signum.name in found.message
    check(found.next_step)
    verdict = judge(128 + signum, None, [])
    assert signum.name in verdict.message
    assert signals.explained(signum)[1] == verdict.next_step


def test_a_local_run_and_a_cancelled_one_have_one_too():
    check(ended(is_local=True).next_step)
    cancelled = ended(ElementFacts(SlurmState.CANCELLED), cancelled=NOW - 1)
    assert cancelled.state is RunState.CANCELLED
    check(cancelled.next_step)


def test_many_shards_name_the_retry_once():
    places = {shard: ShardPlace(0, f"7_{shard}") for shard in range(3)}
    elements = {f"7_{shard}": ElementFacts(SlurmState.TIMEOUT) for shard in range(3)}
    found = ended(total=3, places=places, elements=elements, detailed=frozenset())
    assert found.next_step.count("curator-slurm retry") == 1
    assert "--time TIME" in found.next_step
    check(found.next_step)


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (127, ["bash: line 1: trian: command not found"], "was not found"),
        (126, ["bash: ./x: Permission denied"], "chmod +x"),
        (1, ["MemoryError"], "mem_per_node"),
        (1, ["OSError: [Errno 28] No space left on device"], "room"),
    ],
)
def test_the_end_of_a_command(code, log, words):
    assert words in judge(code, None, log).next_step


def test_clients_of_slurm_without_a_cluster_name_the_local_one():
    stderr = (
        "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n"
        "sbatch: error: fetch_config: DNS SRV lookup failed\n"
        "sbatch: error: _establish_config_source: failed to fetch config\n"
        "sbatch: fatal: Could not establish a configuration source\n"
    )
    assert "--cluster local" in messages.refusal(stderr)
    assert "--cluster local" in messages.unreachable("sbatch", "Unable to contact slurm controller (connect failure)")
    assert "--cluster local" not in messages.unreachable("squeue", "Unable to contact slurm controller")
    assert "--cluster local" in messages.not_found("sbatch", "/usr/bin")
