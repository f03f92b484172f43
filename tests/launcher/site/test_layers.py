"""Layers of site files: later ones win, and every value keeps its origin."""

import os

import pytest
from site_places import SPEC

from curator_slurm.launcher.errors import SitePolicyError, SpecError

ORDER = ("system", "module", "user", "project", "spec")


@pytest.mark.parametrize("last", range(len(ORDER)))
def test_later_layers_win(places, last):
    for number, name in enumerate(ORDER[: last + 1]):
        start = SPEC if name == "spec" else ""
        places.write(name, f"{start}resources: {{time: {number + 1}}}\n")
    plan = places.plan()
    assert plan.spec.resources.time == str(last + 1)
    line = 3 if ORDER[last] == "spec" else 1
    assert plan.origins["resources.time"] == f"{getattr(places, ORDER[last])}:{line}"
    assert places.plan("resources.time=99").spec.resources.time == "99"


def test_without_site_files_a_plan_says_nothing_of_them(places):
    assert places.plan().site is None
    assert "site:" not in places.plan().to_yaml()
    assert "locks:" not in places.plan().to_yaml()


def test_maps_merge_lists_replace_and_plus_appends(places):
    places.write("system", "environment: {env: {A: 1, B: 1}, modules: [gcc], setup: [one]}\n")
    places.write("user", "environment: {env: {B: 2}, modules+: [cuda], setup: [two]}\n")
    environment = places.plan().spec.environment
    assert environment.env == {"A": "1", "B": "2"}
    assert (environment.modules, environment.setup) == (["gcc", "cuda"], ["two"])
    assert places.plan("environment.modules+=nccl").spec.environment.modules == ["gcc", "cuda", "nccl"]
    assert places.plan("environment.modules+=[a, b]").spec.environment.modules == ["gcc", "cuda", "a", "b"]


def test_null_takes_away_what_need_not_be_there(places):
    places.write(
        "system",
        "environment: {container: {image: docker://r.io/a}}\nrestart: {on_out_of_memory: {mem_per_node: x2}}\n"
        "storage: {node_local: {path: /fast}}\npartitions: {a: {cpus: 4}, b: {cpus: 8}}\n"
        "gpu_types: {h100: {}, a: {}}\n",
    )
    places.write("user", "storage: {node_local: null}\npartitions: {a: null}\ngpu_types: {a: null}\n")
    site = places.load().site()
    assert (list(site.partitions), list(site.gpu_types), site.storage.node_local) == (["b"], ["h100"], None)
    places.write("spec", f"{SPEC}environment: {{container: null}}\nrestart: {{on_out_of_memory: null}}\n")
    spec = places.plan().spec
    assert (spec.environment.container, spec.restart.on_out_of_memory) == (None, None)


def test_a_container_written_as_a_text_is_its_image_and_nothing_else(places):
    places.write("system", "environment: {container: {image: docker://r.io/a, mounts: [/data]}}\n")
    places.write("spec", f"{SPEC}environment: {{container: docker://r.io/b}}\n")
    plan = places.plan()
    assert (plan.spec.environment.container.image, plan.spec.environment.container.mounts) == (
        "docker://r.io/b",
        ["/data"],
    )
    assert plan.origins["environment.container.image"] == f"{places.spec}:3"
    assert plan.origins["environment.container.mounts"] == f"{places.system}:1"
    places.write("system", "environment: {container: docker://r.io/a}\n")
    places.write("spec", f"{SPEC}environment: {{container: {{mounts: [/x]}}}}\n")
    plan = places.plan()
    assert (plan.spec.environment.container.image, plan.spec.environment.container.mounts) == (
        "docker://r.io/a",
        ["/x"],
    )


@pytest.mark.parametrize("written", ["off", "false", "{mechanism: off}"])
def test_restarts_switched_off_are_one_setting_among_others(places, written):
    places.write("system", f"restart: {written}\n")
    places.write("spec", f"{SPEC}restart: {{max_restarts: 7}}\n")
    plan = places.plan()
    assert (plan.spec.restart.mechanism.value, plan.spec.restart.max_restarts) == ("off", 7)
    places.write("system", "restart: {max_restarts: 9}\n")
    places.write("spec", f"{SPEC}restart: {written}\n")
    plan = places.plan()
    assert (plan.spec.restart.mechanism.value, plan.spec.restart.max_restarts) == ("off", 9)
    assert plan.origins["restart.mechanism"] == f"{places.spec}:3"


def test_null_takes_a_setting_away_and_an_empty_section_nothing(places):
    places.write("system", "resources: {account: abc, time: 5, sbatch: {qos: low}}\nenvironment: {env: {A: 1}}\n")
    places.write("spec", f"{SPEC}resources:\n  time: null\n  sbatch: {{qos: null}}\nenvironment:\n")
    plan = places.plan()
    assert (plan.spec.resources.time, plan.spec.resources.account, plan.spec.resources.sbatch) == (None, "abc", {})
    assert plan.spec.environment.env == {"A": "1"}
    assert plan.origins["resources.time"] == f"{places.spec}:4"
    places.write("spec", f"{SPEC}environment: {{env: {{A: null}}}}\n")
    assert places.plan().spec.environment.env == {}


def test_settings_that_exclude_each_other_displace_each_other(places):
    places.write(
        "system", "environment: {venv: /opt/venv}\nresources: {mem_per_node: 100G, sbatch: {constraint: a100}}\n"
    )
    places.write(
        "spec",
        f"{SPEC}environment: {{python: /usr/bin/python3}}\nresources: {{sbatch: {{mem-per-cpu: 4G, C: h100}}}}\n",
    )
    plan = places.plan()
    assert plan.spec.environment.venv is None
    assert plan.spec.resources.mem_per_node is None
    assert plan.spec.resources.sbatch == {"constraint": "h100", "mem-per-cpu": "4G"}
    places.write("spec", SPEC)
    assert places.plan("environment.python=/usr/bin/python3").spec.environment.venv is None
    places.write("system", "resources: {sbatch: {constraint: a100}}\n")
    assert places.plan("resources.sbatch.C=h100").spec.resources.sbatch == {"constraint": "h100"}


def test_numbers_keep_their_spelling(places):
    places.write("system", "environment: {modules: [1.10], env: {V: 1.10}}\nresources: {sbatch: {qos: 010}}\n")
    spec = places.plan().spec
    assert (spec.environment.modules, spec.environment.env) == (["1.10"], {"V": "1.10"})
    assert spec.resources.sbatch == {"qos": "010"}


def test_relative_paths_begin_at_the_folder_of_their_file(places):
    places.write("project", "environment: {conda: ./env}\nstorage: {runs: runs}\n")
    (places.project.parent / "env" / "conda-meta").mkdir(parents=True)
    plan = places.plan()
    assert plan.spec.environment.conda == str(places.project.parent / "env")
    assert plan.spec.storage.runs == str(places.project.parent / "runs")


def test_defaults_about_shards_count_for_runs_with_shards(places):
    places.write("system", "shards: {max_running: 3}\n")
    (places.root / "data").write_text("x")
    assert places.plan().spec.shards is None
    places.write("spec", f"{SPEC}input: {{paths: {places.root / 'data'}}}\nshards: {{count: 1}}\n")
    assert places.plan().spec.shards.max_running == 3


def test_a_file_builds_on_others(places):
    places.write("module", "resources: {account: base, time: 1}\n")
    places.environ.clear()
    places.environ.update(HOME=str(places.root / "home"), PATH=os.environ["PATH"])
    places.write("user", f"extends: {places.module}\nresources: {{time: 2}}\n")
    resources = places.plan().spec.resources
    assert (resources.account, resources.time) == ("base", "2")
    places.write("module", f"extends: {places.user}\n")
    places.environ.pop("CURATOR_SLURM_SITE")
    with pytest.raises(SpecError, match="extends itself"):
        places.load()
    places.write("user", "extends: [nowhere]\n")
    with pytest.raises(SpecError, match=r"config.yaml:1: there is no catalogue entry 'nowhere'"):
        places.load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slurm: {export: no}\n", "`slurm.export` must be one of nil, none, never"),
        ("\nresouces: {}\n", "2: `resouces` is not a known setting; did you mean `resources`?"),
        ("partitions: {gpu: {gpuss: 4}}\n", "1: `partitions.gpu.gpuss` is not a known setting; did you mean `gpus`?"),
        ("pipeline: {}\n", "`pipeline` is not a known setting; a site file has site, extends"),
        ("- a\n", "a site file must be a mapping"),
        ("locked: [resources.tme]\n", "did you mean `time`?"),
        ("partitions: {gpu: {gpus: 4, gpu_type: h100}}\n", "is h100, which is not in `gpu_types` (empty)"),
        ("slurm: {gpus: gres, gres: never}\n", "`slurm.gres: never` forbids that"),
        ("network: {interface: [ib0, 10.1.0.0/33]}\n", "`network.interface.1` is 10.1.0.0/33, which is no network"),
        ("network: {port_range: [20000, 20001]}\n", "`network.port_range` has 2 ports, and Ray needs 22 on a node"),
        ("resources: {sbatch: {mem: 4G}}\n", "use `resources.mem_per_node`"),
        ("a: b: c\n", "is not valid YAML"),
    ],
)
def test_errors_name_file_line_and_what_was_meant(places, text, message):
    places.write("system", text)
    with pytest.raises(SpecError) as error:
        places.load()
    assert str(places.system) in str(error.value)
    assert message in str(error.value)


def test_a_layer_cannot_change_what_one_below_has_locked(places):
    places.write("system", "site: {contact: help@lab}\nlocked: [slurm.export]\nslurm: {export: none}\n")
    places.write("user", "resources: {time: 1}\nslurm: {export: nil}\n")
    with pytest.raises(SitePolicyError) as error:
        places.load()
    [problem] = error.value.problems
    assert problem.where == f"{places.user}:2"
    assert f"locked in {places.system}:2: it is none there; questions: help@lab" in problem.message
    assert error.value.exit_code == 4


class TestTrust:
    def test_what_others_may_write_is_refused(self, places):
        for name in ("system", "module", "user", "project"):
            path = places.write(name, "resources: {time: 1}\n")
            path.chmod(0o664)
            with pytest.raises(SpecError, match="may be written by others"):
                places.load()
            path.chmod(0o644)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_what_belongs_to_somebody_else_is_refused_where_named(self, places):
        for name in ("system", "module", "user"):
            path = places.write(name, "environment: {setup: [touch /tmp/planted]}\n")
            os.chown(path, 65534, -1)
            with pytest.raises(SpecError, match="belongs to nobody"):
                places.load()
            os.chown(path, 0, -1)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_a_planted_file_above_the_spec_is_passed_over_and_told(self, places):
        own = places.write("project", "resources: {time: 1}\n")
        planted = places.spec.parent / ".curator-slurm.yaml"
        planted.write_text("environment: {setup: [touch /tmp/planted]}\n")
        os.chown(planted, 65534, -1)
        found = places.load()
        assert [layer.path for layer in found.layers] == [own]
        assert f"{planted} is not used: it belongs to nobody" in found.notes[0]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_a_link_that_somebody_else_made_counts_no_more_than_his_file(self, places):
        target = places.root / "mine.yaml"
        target.write_text("resources: {time: 1}\n")
        planted = places.spec.parent / ".curator-slurm.yaml"
        planted.symlink_to(target)
        os.chown(planted, 65534, -1, follow_symlinks=False)
        assert not places.load().layers
        os.chown(planted, 0, -1, follow_symlinks=False)
        assert places.load().layers
