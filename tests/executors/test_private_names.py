"""Private names of Ray and cosmos-xenna: none outside of the modules for them, and what happens when one changes."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.executors import ray_internals
from curator_slurm.executors.backends.xenna.engine import names as engine_names
from curator_slurm.executors.private_names import Feature, PrivateName, PrivateNames

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "private-names.md"
RAY = {"executors/ray_internals.py", "executors/ray_services.py"}
FENCE = {*RAY, *map(str, Path("executors/backends/xenna/engine").glob("*.py"))}
PUBLIC_MODULES = {"cosmos_xenna.pipelines", "cosmos_xenna.pipelines.v1"}
TABLES = {"ray": ray_internals.NAMES, "cosmos-xenna": engine_names.NAMES}
NAMES = [(table, name) for table in TABLES.values() for name in table.names if name.check is None]


def shown(value: Any) -> str:
    return value.path if isinstance(value, PrivateName) else value.package


@pytest.fixture(autouse=True)
def not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may share a Ray: its nodes cannot be asked while one of these names is gone."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


# ---- none outside --------------------------------------------------------------------------------------------


def is_private_module(dotted: str) -> bool:
    package, *rest = dotted.split(".")
    if package == "cosmos_xenna":
        return dotted not in PUBLIC_MODULES and not dotted.startswith("cosmos_xenna.pipelines.v1.")
    return package == "ray" and any(part.startswith("_") for part in rest)


def begins_with(node: ast.AST) -> str:
    """The name that an expression such as `a.b(c).d` begins with."""
    while not isinstance(node, ast.Name):
        inner = getattr(node, "func", None) or getattr(node, "value", None)
        if not isinstance(inner, ast.AST):
            return ""
        node = inner
    return node.id


def modules_of(node: ast.AST) -> Iterator[str]:
    """Dotted names of modules in a statement or a text."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute) and begins_with(node) in ("ray", "cosmos_xenna"):
        yield ast.unparse(node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value.partition(":")[0]
        if text.startswith(("ray.", "cosmos_xenna.")) and text.replace(".", "").replace("_", "").isalnum():
            yield text


PRIVATE_WORDS = {word for _, name in NAMES for word in name.path.partition(":")[2].split(".") if word[0] == "_"}
PRIVATE_WORDS |= {"__ray_metadata__", "_temp_dir"}


def private_names_in(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        found += [name for name in modules_of(node) if is_private_module(name)]
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE_WORDS:
            found.append(node.attr)
        elif isinstance(node, ast.FunctionDef) and node.name in PRIVATE_WORDS:
            found.append(node.name)
        elif isinstance(node, ast.keyword) and node.arg in PRIVATE_WORDS:
            found.append(node.arg)
        elif isinstance(node, ast.Constant) and node.value == "node:__internal_head__":
            found.append(str(node.value))
    return found


SOURCES = [path for package in ("executors", "launcher") for path in sorted((ROOT / package).rglob("*.py"))]


def test_private_names_stand_in_the_modules_for_them_only() -> None:
    sources = {str(path.relative_to(ROOT)): path for path in SOURCES}
    found = {name: private_names_in(ast.parse(path.read_text())) for name, path in sources.items() if name not in FENCE}
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    "code",
    [
        "from ray._private import state",
        "import ray._raylet",
        "from ray.data._internal.execution import execution_callback",
        "ray._private.state.state.actor_table(None)",
        "importlib.import_module('ray._raylet')",
        "from cosmos_xenna.ray_utils import actor_pool",
        "import cosmos_xenna.pipelines.private.streaming",
        "pool._ready_actors.clear()",
        "class Pool:\n    def _delete_worker_group(self, group): ...",
        "ray.init(_temp_dir='/tmp/x')",
        "'node:__internal_head__' in resources",
        "actor_class.__ray_metadata__.modified_class",
    ],
)
def test_private_names_are_found(code: str) -> None:
    assert private_names_in(ast.parse(code))


def test_public_names_are_not_found() -> None:
    code = "from cosmos_xenna.pipelines import v1\nfrom ray.util.scheduling_strategies import X\nself._run = ray.get(y)"
    assert not private_names_in(ast.parse(code))


# ---- what is there, and what is not ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=shown)
def test_the_installed_version_has_all(table: PrivateNames) -> None:
    said: list[str] = []
    table.warn(said.append)
    table.warn_untested(said.append)
    assert not said
    assert table.supported() == {feature.key for feature in table.features}


@pytest.mark.parametrize("table", TABLES.values(), ids=shown)
def test_every_feature_has_names_and_every_name_a_feature(table: PrivateNames) -> None:
    assert {name.feature for name in table.names} == {feature.key for feature in table.features}


def owner_of(name: PrivateName) -> tuple[Any, Any, str]:
    """What holds the name, what holds that, and the name."""
    module, _, dotted = name.path.partition(":")
    *owners, last = dotted.split(".")
    holder = owner = importlib.import_module(module)
    for part in owners:
        holder, owner = owner, getattr(owner, part)
    return holder, owner, last


def put(monkeypatch: pytest.MonkeyPatch, name: PrivateName, value: Any = None) -> None:
    """Take a name away, or put something else in its place; where a class cannot be changed, on one like it."""
    holder, owner, last = owner_of(name)
    try:
        if value is None:
            monkeypatch.delattr(owner, last)
        else:
            monkeypatch.setattr(owner, last, value)
        if value is not None or name.optional or name.problem():
            return
    except (AttributeError, TypeError):
        pass
    others = {key: inspect.getattr_static(owner, key) for key in dir(owner) if key[:2] != "__" and key != last}
    like = type(owner.__name__, (), {**others, **({} if value is None else {last: value})})
    monkeypatch.setattr(holder, owner.__name__, like)


def affected(table: PrivateNames, name: PrivateName) -> set[str]:
    """Features that need a name, or something of it, and those that need them."""
    direct = {other.feature for other in table.names if f"{other.path}.".startswith(f"{name.path}.")}
    return direct | {feature.key for feature in table.features if direct & set(feature.needs)}


def check_off(table: PrivateNames, name: PrivateName) -> None:
    assert table.supported() == {feature.key for feature in table.features} - affected(table, name)
    said: list[str] = []
    table.warn(said.append)
    (warning,) = [text for text in said if by_key(table, name.feature).lost in text and name.shown in text]
    assert warning.startswith(f"{table.package} {table.version()} (tested: {table.tested[0]} to {table.tested[1]}): ")
    for feature in table.features:
        if name.feature in feature.needs:
            assert feature.lost in warning


def by_key(table: PrivateNames, key: str) -> Feature:
    return next(feature for feature in table.features if feature.key == key)


@pytest.mark.parametrize(("table", "name"), NAMES, ids=shown)
def test_a_name_that_is_gone(table: PrivateNames, name: PrivateName, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.problem() is None and name.optional and not hasattr(owner_of(name)[1], owner_of(name)[2]):
        pytest.skip("this version does not have it")
    if name.path == "ray:init":
        pytest.skip("public, but for one of its parameters")
    put(monkeypatch, name)
    if name.optional:
        assert table.supports(name.feature)
    else:
        check_off(table, name)


@pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table, name in NAMES if name.takes is not None], ids=shown
)
def test_a_name_with_another_signature(table: PrivateNames, name: PrivateName, monkeypatch: pytest.MonkeyPatch) -> None:
    _, owner, last = owner_of(name)
    if not hasattr(owner, last):
        pytest.skip("this version does not have it")
    if isinstance(getattr(owner, last), type):

        class Changed(getattr(owner, last)):  # type: ignore[misc]
            def __init__(self, something_else: Any) -> None: ...

        put(monkeypatch, name, Changed)
    else:
        put(monkeypatch, name, (lambda self, something_else: None) if isinstance(owner, type) else lambda other: None)
    problem = name.problem()
    assert problem is not None
    assert "takes (" in problem
    assert name.feature not in table.supported()


@pytest.mark.parametrize(("table", "name"), NAMES, ids=shown)
def test_a_module_that_is_gone(table: PrivateNames, name: PrivateName, monkeypatch: pytest.MonkeyPatch) -> None:
    module = name.path.partition(":")[0]
    if module in {"ray", "ray.data"}:
        pytest.skip("public")
    monkeypatch.setitem(sys.modules, module, None)
    assert name.optional or name.feature not in table.supported()


def test_a_version_that_was_not_tested_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(PrivateNames, "version", lambda _: "0.6.1")
    engine_names.NAMES.warn_untested(said.append)
    assert said == ["cosmos-xenna 0.6.1 is not among the versions that were tested, 0.2.0 to 0.5.12"]


@pytest.mark.parametrize(("version", "tested"), [("0.2.0", True), ("0.5.12rc1", True), ("0.1.9", False), ("1", False)])
def test_versions_are_compared_by_numbers(version: str, tested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(PrivateNames, "version", lambda _: version)
    engine_names.NAMES.warn_untested(said.append)
    assert (not said) is tested


def test_classes_of_the_engine_are_loaded_only_where_they_are_supported() -> None:
    code = (
        "import sys; import curator_slurm.executors.backends.xenna.executor\n"
        "print([name for name in sys.modules if name.endswith(('xenna.pool', 'xenna.queue', 'engine.actor_pool'))])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("package", "executor"),
    [("xenna", "XennaExecutor"), ("ray_data", "RayDataExecutor"), ("ray_actor_pool", "RayActorPoolExecutor")],
)
def test_packages_of_back_ends_load_ray_with_their_executor(package: str, executor: str) -> None:
    code = (
        f"import sys; from curator_slurm.executors.backends import {package} as package\n"
        f"assert 'ray' not in sys.modules; print(package.{executor}.__name__)\n"
        "import contextlib\n"
        "with contextlib.suppress(AttributeError): print(package.NoSuchExecutor)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{executor}\n"


# ---- what does without ---------------------------------------------------------------------------------------


def test_functions_on_ray_do_without_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PrivateNames, "supports", lambda *_: False)
    ray_internals.reload_authentication()
    assert ray_internals.folder_option("/tmp/x") == {}
    assert ray_internals.store_stats(1.0) is None
    assert ray_internals.actors_of_this_job() == []
    assert not ray_internals.is_worker_process()
    assert ray_internals.class_of_actor(object) is None
    assert ray_internals.step_callback_base() is object
    assert ray_internals.step_callback_setting() is None


def test_a_head_node_that_does_not_show_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    said: list[str] = []
    ray_internals.warn_of_changes(said.append, ray_internals.HEAD_NODE)
    assert not said  # not connected: nobody knows
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Resources": {"CPU": 1.0}}])
    ray_internals.warn_of_changes(said.append, ray_internals.HEAD_NODE)
    assert "`ignore_head_node` has no effect" in said[0]


# ---- the docs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=shown)
def test_the_docs_have_the_table(table: PrivateNames) -> None:
    assert table.table() in DOCS.read_text(), f"docs/private-names.md: put in\n{table.table()}"


def test_requirements_allow_the_tested_versions_only() -> None:
    assert '"cosmos-xenna>=0.2,<0.6"' in (ROOT / "pyproject.toml").read_text()


def test_a_worker_imports_the_engine_only_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from curator_slurm.executors.backends.xenna import worker_process\n"
        "assert 'cosmos_xenna.pipelines.private.streaming' not in sys.modules\n"
        "from cosmos_xenna.pipelines import v1\n"
        "assert issubclass(worker_process.XennaStage, v1.Stage)\n"
        "assert issubclass(worker_process.StageSpec, v1.StageSpec)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    engine = importlib.import_module("cosmos_xenna.pipelines.v1")
    monkeypatch.delattr("cosmos_xenna.pipelines.private.specs.StageSpec")
    assert engine_names.stage_classes() is engine
    monkeypatch.setitem(sys.modules, "cosmos_xenna.pipelines.private.specs", None)
    assert engine_names.stage_classes() is engine
