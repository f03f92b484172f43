"""What a run is told where compute nodes have no internet, or a proxy."""

import pytest

from curator_slurm.launcher.plan.internet import OFFLINE, needs_internet
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.plan.resolve import plan_of
from curator_slurm.launcher.site import layers
from curator_slurm.launcher.site.specs import read_spec_text


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "none")

    def make(site, more="", cluster=Cluster.SLURM):
        path = tmp_path / "site.yaml"
        path.write_text(site)
        path.chmod(0o644)
        environ = {"CURATOR_SLURM_SITE": str(path), "HOME": str(tmp_path)}
        text = f"name: x\npipeline: {{command: 'true'}}\n{more}"
        reading, below = read_spec_text(text, "s.yaml", tmp_path, (), environ)
        return plan_of(reading, tmp_path, cluster, environ, layers=below), reading

    return make


def test_without_internet_libraries_are_told_so_and_the_spec_counts_more(plan, tmp_path):
    made, _ = plan("network: {internet: 'no'}", "environment: {env: {WANDB_MODE: disabled}}\n")
    assert made.spec.environment.env == {**OFFLINE, "WANDB_MODE": "disabled"}
    assert made.origins["environment.env.HF_HUB_OFFLINE"] == f"{tmp_path}/site.yaml:1 (network.internet)"


@pytest.mark.parametrize("how", ["'yes'", "nat"])
def test_with_internet_nothing_is_set(plan, how):
    made, _ = plan(f"network: {{internet: {how}}}")
    assert made.spec.environment.env == {}
    assert plan("network: {internet: 'no'}", cluster=Cluster.LOCAL)[0].spec.environment.env == {}


def test_a_proxy_is_named_in_both_spellings(plan):
    made, _ = plan("network: {internet: proxy, proxy: {http: 'http://p:1', no_proxy: [a, b]}}")
    assert made.spec.environment.env == {
        "http_proxy": "http://p:1",
        "HTTP_PROXY": "http://p:1",
        "https_proxy": "http://p:1",
        "HTTPS_PROXY": "http://p:1",
        "no_proxy": "a,b",
        "NO_PROXY": "a,b",
    }
    mine, _ = plan("network: {internet: proxy, proxy: {http: 'http://p:1'}}", "environment: {env: {HTTP_PROXY: q}}\n")
    assert mine.spec.environment.env == {"HTTP_PROXY": "q", "https_proxy": "http://p:1", "HTTPS_PROXY": "http://p:1"}


def test_a_partition_has_its_own_way(plan):
    site = "network: {internet: 'no'}\npartitions: {prepost: {internet: 'yes', cpus: 4}, cpu: {cpus: 4}}\n"
    assert plan(site, "resources: {partition: prepost}\n")[0].spec.environment.env == {}
    assert plan(site, "resources: {partition: cpu}\n")[0].spec.environment.env == OFFLINE


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (("no", "no"), set(OFFLINE)),
        (("no", "yes"), set()),
        (("proxy", "no"), {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"}),
    ],
)
def test_groups_have_what_holds_for_all_of_them(plan, ways, expected):
    site = "network: {{proxy: {{http: 'http://p:1'}}}}\npartitions: {{a: {{internet: '{}'}}, b: {{internet: '{}'}}}}\n"
    groups = "resources: {groups: [{name: x, partition: a}, {name: y, partition: b}]}\n"
    assert set(plan(site.format(*ways), groups)[0].spec.environment.env) == expected


def test_what_needs_the_internet_is_warned_of(plan):
    made, reading = plan("network: {internet: 'no'}", "input: {paths: ['s3://bucket/a.jsonl']}\n")
    assert [key for key, _ in needs_internet(made)] == ["input.paths.0"]
    assert any("no internet" in str(each) for each in reading.warnings())
