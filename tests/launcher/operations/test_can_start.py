"""Jobs that could never start are refused at submit; what Slurm cannot tell is a note, and is submitted."""

import pytest

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.operations import submit
from curator_slurm.launcher.plan.model import Cluster

NOT_AVAILABLE = "allocation failure: Requested node configuration is not available\n"


@pytest.fixture
def submitted(fake_slurm, tmp_path, monkeypatch):
    """Submits a job with these resources; its notes."""
    environ = {"HOME": str(tmp_path), "PATH": f"{fake_slurm.bin}:/usr/bin:/bin"}
    for name, value in environ.items():  # the home, too: the folder of the runs is remembered there
        monkeypatch.setenv(name, value)
    fake_slurm.pause()

    def submit_it(resources: str) -> list[str]:
        spec = tmp_path / "spec.yaml"
        spec.write_text(
            f"name: demo\npipeline: {{command: 'true'}}\ncluster: {{ray: false}}\nresources: {{{resources}}}\n"
            f"storage: {{runs: {tmp_path}/runs}}\n"
        )
        return list(submit.submit(submit.prepare(spec, [], Cluster.SLURM, environ), environ).notes)

    return submit_it


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ("nodes: 9", ["partition main has 3 nodes, and the job asks for 9", "not available", "--set resources.nodes="]),
        ("partition: short, time: '3:00:00'", ["a time limit of 2:00:00", "asks for 3:00:00", "resources.time"]),
        ("time: 1-0", ["partition main has a time limit of 2:00:00"]),
    ],
)
def test_what_no_partition_has_is_refused_and_leaves_nothing(fake_slurm, submitted, tmp_path, resources, words):
    fake_slurm.configure(time_limit="2:00:00")
    with pytest.raises(SlurmError, match="could never start") as refused:
        submitted(resources)
    assert all(part in str(refused.value) for part in words)
    assert fake_slurm.jobs == []
    assert not (tmp_path / "runs" / "demo").exists()


def test_where_the_default_qos_lifts_a_limit_the_refusal_can_be_a_note(fake_slurm, submitted):
    fake_slurm.configure(time_limit="2:00:00")
    with pytest.raises(SlurmError, match=r"--set resources\.check_limits=false"):
        submitted("time: 1-0")
    (note,) = submitted("time: 1-0, check_limits: false")
    assert "partition main has a time limit of 2:00:00" in note
    assert "it starts only if its QOS or reservation lifts that limit" in note
    assert len(fake_slurm.jobs) == 1


def test_a_job_that_fits_costs_one_question(fake_slurm, submitted):
    assert submitted("nodes: 2") == []
    asked = [call for call in fake_slurm.calls if "--test-only" in call or call[0] == "sinfo"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    "stderr",
    [
        "sbatch: error: Unable to contact slurm controller (connect failure)\n",
        "sbatch: unrecognized option '--test-only'\n",
        "allocation failure: Plugin does not support this\n",
        "allocation failure: Access/permission denied\n",
    ],
)
def test_no_answer_refuses_nothing(fake_slurm, submitted, stderr):
    fake_slurm.fail_next("sbatch.test-only", stderr=stderr)
    assert submitted("nodes: 2") == []
    assert len(fake_slurm.jobs) == 1


def test_nodes_that_are_drained_today_are_a_note_in_slurms_words(fake_slurm, submitted):
    fake_slurm.fail_next("sbatch.test-only", stderr=NOT_AVAILABLE)
    (note,) = submitted("nodes: 2")
    assert "Requested node configuration is not available" in note
    assert "sinfo -R" in note
    assert len(fake_slurm.jobs) == 1


def test_without_sinfo_slurms_words_are_a_note(fake_slurm, submitted):
    fake_slurm.fail_next("sinfo", stderr="sinfo: error: no\n")
    (note,) = submitted("nodes: 9")
    assert "Requested node configuration is not available" in note
    assert len(fake_slurm.jobs) == 1


def test_a_qos_may_lift_a_time_limit(fake_slurm, submitted):
    fake_slurm.configure(time_limit="2:00:00")
    (note,) = submitted("time: '3:00:00', sbatch: {qos: long}")
    assert "a time limit of 2:00:00" in note
    assert len(fake_slurm.jobs) == 1
