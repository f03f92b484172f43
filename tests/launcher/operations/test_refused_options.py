"""A job that a site's job_submit plug-in refuses: the error names the options, and the keys to set for the site."""

import pytest

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.operations import submit
from curator_slurm.launcher.plan.model import Cluster

RESOURCES = "nodes: 2, mem_per_node: 1G, time: 10, gpus_per_node: 2, sbatch: {exclude: n3}"


@pytest.fixture
def refusal(fake_slurm, tmp_path, monkeypatch):
    """Submits where these options are refused or needed; the error, which leaves no run and no job."""
    environ = {"HOME": str(tmp_path), "PATH": f"{fake_slurm.bin}:/usr/bin:/bin"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def submit_it(resources: str = RESOURCES, site: str = "{}", **rules: list[str]) -> str:
        fake_slurm.configure(**rules)
        (tmp_path / "site.yaml").write_text(f"site: {{contact: hpc@example.org}}\nslurm: {site}\n")
        (tmp_path / "site.yaml").chmod(0o644)
        spec = tmp_path / "spec.yaml"
        spec.write_text(
            f"name: demo\npipeline: {{command: 'true'}}\ncluster: {{ray: false}}\nresources: {{{resources}}}\n"
            f"storage: {{runs: {tmp_path}/runs}}\n"
        )
        place = {**environ, "CURATOR_SLURM_SITE": str(tmp_path / "site.yaml")}
        with pytest.raises(SlurmError) as refused:
            submit.submit(submit.prepare(spec, [], Cluster.SLURM, place), place)
        assert fake_slurm.jobs == []
        assert not (tmp_path / "runs" / "demo").exists()
        return str(refused.value)

    return submit_it


@pytest.mark.parametrize(
    ("refused", "option", "setting"),
    [
        (["mem"], "--mem=1G", "slurm.mem: never"),
        (["export=NIL"], "--export=NIL", "slurm.export: none"),
        (["export"], "--export=NIL", "slurm.export: never"),
        (["gpus-per-node"], "--gpus-per-node=2", "slurm.gpus: gres"),
        (["gpus-per-node", "gres"], "--gpus-per-node=2", "slurm.gpus: never"),
        (["exclude"], "--exclude=n3", "slurm.nodelist: never"),
        (["open-mode"], "--open-mode=append", "slurm.open_mode: never"),
        (["time"], "--time=10", "resources.time"),
    ],
)
def test_a_refused_option_is_named_with_its_key(refusal, refused, option, setting):
    said = refusal(refused_options=refused)
    assert f"  sbatch takes the job without {option}: set {setting}\n" in said
    assert said.count("sbatch takes the job") == 1
    assert "section of the site file" in said


def test_several_options_are_named_at_once(refusal):
    said = refusal(refused_options=["mem", "export", "exclude", "open-mode"])
    assert said.count("sbatch takes the job without") == 4


def test_what_is_missing_and_what_is_refused_are_told_apart(refusal):
    said = refusal(
        "nodes: 1, mem_per_node: 1G, account: lab, sbatch: {exclusive: true}",
        refused_options=["mem", "requeue"],
        needed_options=["time", "account", "exclusive"],
    )
    assert "without --mem=1G: set slurm.mem: never\n" in said
    assert "without --requeue: set slurm.requeue: never\n" in said
    assert "with --time: set resources.time" in said
    assert said.count("sbatch takes the job") == 3


def test_nothing_about_requeueing(refusal):
    said = refusal(refused_options=["requeue", "no-requeue"])
    assert "without --requeue: set slurm.requeue: never, and slurm.no_requeue: never\n" in said


def test_all_of_the_memory_by_zero(refusal):
    said = refusal(site="{mem: whole_node}", refused_options=["mem=0"])
    assert "without --mem=0: set slurm.whole_node_mem: AMOUNT (such as 450G), or slurm.mem: never\n" in said


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (["time"], "sbatch takes the job with --time: set resources.time, or slurm.time_required: true"),
        (["exclusive"], "sbatch takes the job with --exclusive: set slurm.exclusive: always"),
        (["account"], "sbatch takes the job with --account: set resources.account"),
    ],
)
def test_a_missing_option_is_named_with_its_key(refusal, needed, said):
    assert f"  {said}" in refusal("nodes: 1", needed_options=needed)


def test_where_trials_do_not_tell_sbatchs_words_are_all(refusal):
    said = refusal(refused_options=["nodes"])
    assert "--nodes is not allowed here" in said
    assert "sbatch takes the job" not in said
