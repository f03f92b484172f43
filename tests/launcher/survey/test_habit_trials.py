"""What is concluded from a refusal of `sbatch --test-only`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_slurm import FakeSlurm
from survey_answers import answers

from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.survey.habit_trials import refusal_words, try_habits

WANT = "allocation failure: Requested node configuration is not available"


def test_want_of_nodes_is_no_rule_of_the_site(fake_slurm: FakeSlurm) -> None:
    fake_slurm.configure(refused_options=["no-kill"])
    fake_slurm.fail_next("sbatch.test-only", stderr="", returncode=0, instead=False)  # the simplest job is taken
    fake_slurm.fail_next("sbatch.test-only", stderr=f"{WANT}\n")  # --exclusive
    found = try_habits(Slurm(), answers("plain"), None)
    assert found.unclear == [f"--exclusive ({WANT})"]
    assert "exclusive" not in found.habits
    assert found.habits["no_kill"] == ("never", "sbatch --test-only --no-kill: --no-kill is not allowed here")


def test_where_every_partition_has_its_accounts(fake_slurm: FakeSlurm) -> None:
    fake_slurm.configure(refused_options=["no-kill"])
    found = answers("plain")
    rules = [replace(each, restricted=("AllowAccounts=a,b",)) for each in found.partitions]
    tried = try_habits(Slurm(), replace(found, partitions=rules), None)
    assert (tried.failure, tried.partition) == ("", next(each.name for each in rules if each.is_default))
    assert "no_kill" in tried.habits


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "sbatch: error: ask for a GPU\nsbatch: error: Batch job submission failed: Unspecified error\n",
            "ask for a GPU",
        ),
        (f"{WANT}\n", WANT),
        ("", "without a word"),
    ],
)
def test_the_words_of_a_plug_in_come_first(stderr: str, words: str) -> None:
    assert refusal_words(stderr) == words
