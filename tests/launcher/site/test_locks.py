"""No way around a lock: every key is locked in turn, and every way to change it is tried."""

from typing import Any

import pytest
import yaml
from site_places import SPEC, Places

from curator_slurm.launcher.errors import SitePolicyError
from curator_slurm.launcher.site.model import SPEC_SECTIONS, Site
from curator_slurm.launcher.site.site_file import problems_of
from curator_slurm.launcher.spec.keys import is_list, section_at, settings
from curator_slurm.launcher.spec.model import NOT_YET, Spec

CANDIDATES: list[Any] = [
    *(True, False, 2, 3, 20, 30, 0.2, 0.25, "/a", "/b", "1:00", "2:00", "4G", "8G", "word", "other"),
    *("nil", "none", "never", "use", "gres", "whole_node", "whole", "shared", "dedicated", "node_local", "ipv4"),
    *("ipv6", "nat", "proxy", "skip", "fail", "xenna", "ray_data", "srun", "sbatch"),
    *(
        [20001, 20099],
        [20001, 20199],
        ["a"],
        ["b"],
        {"qos": "low"},
        {"qos": "high"},
        {"A": "x"},
        {"A": "y"},
    ),
    *(
        [{"name": "a"}],
        [{"name": "b"}],
        ["preempted"],
        ["time_limit"],
        ["ended"],
        ["waiting"],
        "requeue",
        "resubmit",
        "x2",
        "x3",
    ),
    *({"core": "0"}, {"core": "1G"}),
    *([{"nodes": 2, "time": "1:00"}], [{"nodes": 3, "time": "1:00"}], [{"url": "x"}], [{"url": "y"}]),
]


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def keys() -> list[str]:
    """Every key of a site file, in an example of those sections that users name."""
    found = []

    def walk(path: tuple[str, ...]) -> None:
        section = section_at(path, Site)
        for name in settings(section or Site):
            below = (*path, name)
            if section_at(below, Site):
                walk(below)
            elif below in (("partitions",), ("gpu_types",)):
                walk((*below, "one"))
            elif ".".join(below) not in ("extends", "locked"):
                found.append(".".join(below))

    walk(())
    return found


def two_values(key: str) -> list[Any]:
    """Two values that a key can have."""
    valid = []
    for value in CANDIDATES:
        try:
            if not list(problems_of(nested(key, value))):
                valid.append(value)
        except TypeError:
            continue
    different = [value for value in valid if str(value) != str(valid[0])]
    return [valid[0], different[0]]


def in_spec(key: str) -> bool:
    section, _, name = key.partition(".")
    known = section_at((section,)) if section in SPEC_SECTIONS else None
    return known is not None and name.partition(".")[0] in settings(known) and "." not in name and key not in NOT_YET


def texts(key: str, value: Any) -> dict[str, str]:
    """Ways to write a change of a key."""
    ways = {"set": yaml.safe_dump(nested(key, value)), "taken away": yaml.safe_dump(nested(key, None))}
    if is_list(tuple(key.split(".")), Site):
        ways["appended"] = yaml.safe_dump(nested(f"{key}+", value))
    return ways


def refuses(places: Places, *options: str) -> bool:
    with pytest.raises(SitePolicyError) as error:
        places.plan(*options)
    text = str(error.value)
    return f"is locked in {places.system}:1" in text and "questions: help@lab" in text and error.value.exit_code == 4


@pytest.mark.parametrize("key", [key for key in keys() if not key.startswith("environment.container.")])
def test_no_key_changes_that_is_locked(places: Places, key: str) -> None:
    first, second = two_values(key)
    if is_list(tuple(key.split(".")), Site) and not isinstance(first, list):
        first = [first]
    head = {"locked": [key], "site": {"contact": "help@lab"}}
    values = nested(key, first)
    if key == "site.contact":
        head, values = {"locked": [key]}, {"site": {"contact": "help@lab"}}
    whole = {**values, **head, "site": {**values.get("site", {}), **head.get("site", values.get("site", {}))}}
    if key.endswith("gpu_type"):
        whole["gpu_types"] = {first: {}}
    places.write("system", f"{yaml.safe_dump(whole, default_flow_style=True, width=10_000)}")
    for name in ("module", "user", "project"):
        for text in texts(key, second).values():
            places.write(name, text)
            assert refuses(places), f"{name}: {text}"
        places.write(name, "")
    places.write("project", yaml.safe_dump(values))
    places.load()  # the same value is no change
    places.write("project", "")
    if not in_spec(key) or key.startswith("shards."):
        return
    section = key.partition(".")[0]
    for text in texts(key, second).values():
        places.write("spec", f"{SPEC}{text}")
        assert refuses(places), f"spec: {text}"
    places.write("spec", SPEC)
    value = yaml.safe_dump(second, default_flow_style=True).removesuffix("...\n").strip()
    for option in (
        f"{key}={value}",
        f"{key}=null",
        f"{section}={{}}",
        f"{section}={{{key.partition('.')[2]}: {value}}}",
    ):
        assert refuses(places, option), option
    if is_list(tuple(key.split("."))):
        assert refuses(places, f"{key}+={value}")
        assert refuses(places, f"{key}.0=another")


@pytest.mark.parametrize("change", ["{image: a.sif, runtime: podman}", "{image: b.sif, runtime: apptainer}", "b.sif"])
def test_a_container_is_locked_with_its_image(places: Places, change: str) -> None:
    """Its keys make no section without `image`."""
    values = "environment: {container: {image: a.sif, runtime: apptainer}}"
    locked = "[environment.container.runtime, environment.container.image]"
    places.write("system", f"{{locked: {locked}, site: {{contact: help@lab}}, {values}}}")
    places.write("project", f"environment: {{container: {change}}}")
    assert refuses(places)
    places.write("project", f"{{{values}}}")
    places.load()


@pytest.mark.parametrize("locked", ["environment.container", "environment.container.image"])
@pytest.mark.parametrize("site", ["docker://r.io/a", "{image: docker://r.io/a}"])
def test_a_container_is_the_same_however_it_is_written(places: Places, locked: str, site: str) -> None:
    places.write("system", f"{{locked: [{locked}], site: {{contact: help@lab}}, environment: {{container: {site}}}}}")
    for same in ("docker://r.io/a", "{image: docker://r.io/a}"):
        places.write("spec", f"{SPEC}environment: {{container: {same}}}\n")
        places.plan()
    for other in ("null", "docker://r.io/b", "{image: null}", "{image: docker://r.io/b}"):
        places.write("spec", f"{SPEC}environment: {{container: {other}}}\n")
        assert refuses(places), other
    places.write("spec", SPEC)
    assert refuses(places, "environment.container=null")


@pytest.mark.parametrize("locked", ["restart", "restart.mechanism"])
@pytest.mark.parametrize("site", ["requeue", "{mechanism: requeue}"])
def test_restarts_are_the_same_however_they_are_written(places: Places, locked: str, site: str) -> None:
    places.write("system", f"{{locked: [{locked}], site: {{contact: help@lab}}, restart: {site}}}")
    for same in ("requeue", "{mechanism: requeue}"):
        places.write("spec", f"{SPEC}restart: {same}\n")
        places.plan()
    for other in ("off", "false", "{mechanism: off}", "{mechanism: false}"):
        places.write("spec", f"{SPEC}restart: {other}\n")
        assert refuses(places), other
    places.write("spec", SPEC)
    assert refuses(places, "restart=off")
    assert refuses(places, "restart.mechanism=off")


@pytest.mark.parametrize("locked", ["storage.node_local", "storage.node_local.path"])
@pytest.mark.parametrize("site", ["/fast", "{path: /fast, size: 9G}"])
def test_a_locked_folder_is_that_of_specs_too(places: Places, locked: str, site: str) -> None:
    places.write("system", f"{{locked: [{locked}], site: {{contact: help@lab}}, storage: {{node_local: {site}}}}}")
    places.write("spec", f"{SPEC}storage: {{node_local: /fast}}\n")
    places.plan()
    for other in ("/slow", "null"):
        places.write("spec", f"{SPEC}storage: {{node_local: {other}}}\n")
        assert refuses(places), other
        places.write("spec", SPEC)
        assert refuses(places, f"storage.node_local={other}")


@pytest.mark.parametrize("locked", ["shards", "shards.max_running"])
def test_locked_defaults_of_shards_allow_a_run_without_shards(places: Places, locked: str) -> None:
    places.write("system", f"{{locked: [{locked}], site: {{contact: help@lab}}, shards: {{max_running: 4}}}}")
    for nothing in ("", "shards:\n"):
        places.write("spec", f"{SPEC}{nothing}")
        assert places.plan().spec.shards is None
    places.write("spec", f"{SPEC}shards: {{count: 2, max_running: 5}}\n")
    assert refuses(places)


def test_a_refused_appended_list_is_named_where_it_is_written(places: Places) -> None:
    places.write("system", "{locked: [environment.modules], environment: {modules: [a]}}")
    places.write("spec", f"{SPEC}environment: {{modules+: b}}\n")
    with pytest.raises(SitePolicyError) as error:
        places.plan()
    assert [each.where for each in error.value.problems] == [f"{places.spec}:3"]


@pytest.mark.parametrize("section", [name for name in Site.model_fields if name not in ("extends", "locked")])
def test_a_whole_section_can_be_locked(places: Places, section: str) -> None:
    places.write("system", f"{{locked: [{section}], site: {{contact: help@lab}}}}")
    changed = next(key for key in keys() if key.startswith(f"{section}.") and key != "site.contact")
    places.write("user", yaml.safe_dump(nested(changed, two_values(changed)[1])))
    assert refuses(places)


ALIASES = [
    ("resources.mem_per_node", "resources: {sbatch: {mem-per-cpu: 4G}}"),
    ("resources.mem_per_node", "resources: {sbatch: {mem_per_gpu: 4G}}"),
    ("resources.gpus_per_node", "resources: {sbatch: {gres: 'gpu:4'}}"),
    ("resources.gpus_per_node", "resources: {sbatch: {tres-per-task: 'gres/gpu:4'}}"),
    ("resources.cpus_per_node", "resources: {sbatch: {mincpus: 4}}"),
    ("resources.time", "resources: {sbatch: {time-min: 5}}"),
    ("resources.sbatch.qos", "resources: {sbatch: {q: high}}"),
    ("resources.sbatch.qos", "resources: {sbatch: {--qos: high}}"),
    ("resources.sbatch.C", "resources: {sbatch: {constraint: h100}}"),
    ("resources.sbatch.mail_type", "resources: {sbatch: {mail-type: END}}"),
    ("resources.sbatch.nodelist", "resources: {sbatch: {w: n1}}"),
    ("resources.sbatch.nodelist", "resources: {sbatch: {F: nodes}}"),
    ("resources.sbatch.exclusive", "resources: {sbatch: {oversubscribe: true}}"),
    ("resources.sbatch", "resources: {sbatch: {licenses: x}}"),
    ("environment.venv", "environment: {python: /usr/bin/python3}"),
    ("environment.env.TOKEN", "environment: {secrets: [TOKEN]}"),
    ("environment.env.TOKEN", "environment: {secrets+: TOKEN}"),
    ("environment.env", "environment: {env: {NEW: 1}}"),
    ("output", "output: {path: /tmp/somewhere}"),
    ("pipeline.command", ""),
]


@pytest.mark.parametrize(("locked", "change"), ALIASES)
def test_no_other_name_of_a_locked_key_gets_around_it(places: Places, locked: str, change: str) -> None:
    places.environ["TOKEN"] = "x"
    places.write("system", f"{{locked: [{locked}], site: {{contact: help@lab}}}}")
    places.write("spec", f"{SPEC}{change}\n")
    assert refuses(places)
    if change and not locked.startswith("output"):
        places.write("spec", SPEC)
        section, value = next(iter(yaml.safe_load(change).items()))
        [(key, item)] = value.items()
        text = yaml.safe_dump(item, default_flow_style=True).removesuffix("...\n").strip()
        assert refuses(places, f"{section}.{key}={text}")


def test_a_locked_section_does_not_lock_what_it_does_not_say(places: Places) -> None:
    """Options of sbatch can do what other settings do; only those that are set speak for them."""
    places.write("system", "{locked: [resources.sbatch], site: {contact: help@lab}}")
    places.write("spec", f"{SPEC}resources: {{time: '1:00', gpus_per_node: 2, mem_per_node: 4G}}\n")
    assert places.plan().spec.resources.time == "1:00"
    for option in ("resources.sbatch.time-min=5", "resources.sbatch.gres='gpu:4'", "resources.sbatch.mem-per-cpu=4G"):
        assert refuses(places, option)
    places.write(
        "system", "{locked: [resources.sbatch], site: {contact: help@lab}, resources: {sbatch: {time-min: 5}}}"
    )
    assert refuses(places)


def test_options_by_which_something_else_is_asked_stay_free(places: Places) -> None:
    places.write("system", "{locked: [resources.gpus_per_node], site: {contact: help@lab}}")
    places.write("spec", f"{SPEC}resources: {{sbatch: {{gres: 'nvme:100'}}}}\n")
    assert places.plan().spec.resources.sbatch == {"gres": "nvme:100"}


def test_the_variable_for_the_runs_folder_is_no_way_around_a_lock(places: Places) -> None:
    places.write("system", f"{{locked: [storage.runs], site: {{contact: help@lab}}, storage: {{runs: {places.root}}}}}")
    assert places.plan().spec.storage.runs == str(places.root)
    places.environ["CURATOR_SLURM_RUNS"] = str(places.root / "elsewhere")
    assert refuses(places)
    places.write("system", f"storage: {{runs: {places.root}}}")
    plan = places.plan()
    assert plan.spec.storage.runs == str(places.root / "elsewhere")
    assert plan.origins["storage.runs"] == "$CURATOR_SLURM_RUNS"


def test_a_layer_cannot_unlock(places: Places) -> None:
    places.write("system", "{locked: [resources.time], site: {contact: help@lab}}")
    places.write("user", "locked: []\n")
    assert refuses(places, "resources.time=5")
    places.write("user", "locked: null\nextends: []\n")
    assert refuses(places, "resources.time=5")


def test_everything_that_is_refused_is_told_at_once(places: Places) -> None:
    places.write("system", "{locked: [resources.time, cluster.tls], site: {contact: help@lab}}")
    places.write("spec", f"{SPEC}cluster:\n  tls: true\n")
    with pytest.raises(SitePolicyError) as error:
        places.plan("resources.time=5")
    assert [(each.key, each.where) for each in error.value.problems] == [
        ("resources.time", "--set"),
        ("cluster.tls", f"{places.spec}:4"),
    ]


def test_every_key_of_a_spec_that_a_site_file_shares_is_tried() -> None:
    shared = {
        f"{name}.{key}"
        for name in SPEC_SECTIONS
        if (section := section_at((name,)))
        for key in settings(section)
        if section_at((name, key)) is None
    }
    assert {key for key in keys() if in_spec(key)} >= {
        key for key in shared if not key.startswith(("shards.", "storage.node_local"))
    }
    assert set(settings(Spec)) >= set(SPEC_SECTIONS)


@pytest.mark.parametrize(
    ("locked", "group"),
    [
        ("resources: {partition: batch}", "{name: a, partition: other}"),
        ("resources: {sbatch: {qos: low}}", "{name: a, sbatch: {q: high}}"),
        ("resources: {mem_per_node: 4G}", "{name: a, sbatch: {mem-per-cpu: 9G}}"),
        ("resources: {nodes: 1}", "{name: a, nodes: 3}"),
    ],
)
def test_a_group_is_no_way_around_a_lock(places: Places, locked: str, group: str) -> None:
    ((section, values),) = yaml.safe_load(locked).items()
    ((key, value),) = values.items()
    repeated = yaml.safe_dump({"name": "a", **values}, default_flow_style=True).strip()
    key = f"{key}.{next(iter(value))}" if isinstance(value, dict) else key
    places.write("system", f"{{locked: [{section}.{key}], site: {{contact: help@lab}}, {locked}}}")
    places.write("project", f"resources: {{groups: [{group}]}}")
    assert refuses(places)
    for same in ("{name: a}", repeated):
        places.write("project", f"resources: {{groups: [{same}]}}")
        places.plan()
