"""Laws of merging, on generated documents."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec.locks import Lock, changes
from curator_slurm.launcher.spec.merging import canonical, merge, value_at
from curator_slurm.launcher.spec.yaml_document import Document, Path

NAMES = st.sampled_from(["A", "B", "C"])
SCALARS = st.sampled_from(["x", "y", 1, 2, True])
LISTS = st.lists(st.sampled_from(["p", "q", "r"]), max_size=3)
SBATCH = st.dictionaries(st.sampled_from(["C", "constraint", "qos", "q", "--qos", "nice"]), SCALARS, max_size=3)


def one_spelling(options: dict[str, Any]) -> bool:
    return len({canonical(("resources", "sbatch", key)) for key in options}) == len(options)


RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "time": SCALARS,
        "account": SCALARS,
        "mem_per_node": SCALARS,
        "sbatch": SBATCH.filter(one_spelling),
    },
)
ENVIRONMENT = st.fixed_dictionaries(
    {},
    optional={
        "venv": SCALARS,
        "python": SCALARS,
        "modules": LISTS,
        "setup": LISTS,
        "env": st.dictionaries(NAMES, SCALARS, max_size=3),
    },
)
VALUES = st.fixed_dictionaries({}, optional={"resources": RESOURCES, "environment": ENVIRONMENT})


def lines_of(value: Any, path: Path = ()) -> dict[Path, int]:
    found = {path: len(path) + 1}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found.update(lines_of(item, (*path, key)))
    return found


def document(value: Any) -> Document:
    return Document(value, lines_of(value))


def merged(*layers: Any) -> Document:
    below = Document({})
    for number, value in enumerate(layers):
        below = merge(below, document(value), Site, f"file{number}")
    return below


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    if isinstance(value, dict):
        return {key: item for name in value for key, item in leaves(value[name], (*path, name)).items()}
    return {path: value}


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES, VALUES)
def test_what_is_above_is_in_the_result_and_nothing_is_invented(below: Any, above: Any) -> None:
    result = leaves(merged(below, above).value)
    assert leaves(above).items() <= result.items() or {} in (above, *above.values()) or _has_empty(above)
    for path, value in result.items():
        assert value in (value_at(above, canonical(path)), value_at(below, canonical(path)))


def _has_empty(value: Any) -> bool:
    return isinstance(value, dict) and (not value or any(map(_has_empty, value.values())))


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES, VALUES)
def test_every_value_is_from_the_file_that_has_it(below: Any, above: Any) -> None:
    result = merged(below, above)
    for path, value in leaves(result.value).items():
        if value == {}:
            continue
        mine = value_at(above, canonical(path)) is not None
        assert result.sources[path] == ("file1" if mine else "file0")
        assert path in result.lines


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES, VALUES, VALUES)
def test_layers_can_be_merged_in_any_grouping(one: Any, two: Any, three: Any) -> None:
    left = merge(merged(one, two), document(three), Site, "c").value
    assert left == merged(one, two, three).value


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_the_same_again_changes_nothing(value: Any) -> None:
    once, twice = merged(value), merged(value, value)
    assert twice.value == once.value


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_an_empty_layer_changes_nothing_and_layers_are_not_changed(value: Any) -> None:
    before = repr(value)
    result = merged(value, {}, {"resources": None, "environment": None})
    assert {key: item for key, item in result.value.items() if item is not None} == merged(value).value
    (result.value["resources"] or {})["time"] = "changed"
    assert repr(value) == before


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES, LISTS, LISTS)
def test_appending_is_the_list_below_and_then_the_new(value: Any, first: list[str], second: list[str]) -> None:
    value = {**value, "environment": {**value.get("environment", {}), "modules": first}}
    result = merged(value, {"environment": {"modules+": second}})
    assert result.value["environment"]["modules"] == [*first, *second]
    for index in range(len(first) + len(second)):
        wanted = "file0" if index < len(first) else "file1"
        assert result.sources["environment", "modules", index] == wanted


KEYS = ["resources", "environment", "resources.sbatch", "resources.time", "environment.env"]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(VALUES, VALUES, st.sampled_from(KEYS))
def test_a_lock_is_quiet_without_a_change_and_speaks_of_each(below: Any, above: Any, key: str) -> None:
    before, after = merged(below).value, merged(below, above).value
    lock = Lock(key, "file0:1")
    assert not list(changes(before, before, [lock], str))
    old, new = (normal(value_at(value, tuple(key.split(".")))) for value in (before, after))
    if old != new:
        assert list(changes(before, after, [lock], str))


def normal(value: Any) -> Any:
    """Values as the script would have them: options by one name, and nothing is the same as none of it."""
    found = leaves(value) if value else {}
    return {
        canonical(("resources", "sbatch", *path))[2:]: str(item) for path, item in found.items() if item not in ({}, [])
    }
