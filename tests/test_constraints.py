"""constraints.txt: every dependency with the newest version that was tested, and it is what the tests run with."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, extras too; not the project's own extras of itself."""
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    return [found for found in map(Requirement, lines) if found.name != PROJECT["name"]]


def constraints() -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def constraint(name: str, python: str | None = None) -> Requirement:
    """The one line for a package on a Python; by default on this one."""
    environment = {"python_version": python} if python else {}
    (found,) = [
        line
        for line in constraints()
        if canonicalize_name(line.name) == canonicalize_name(name)
        and (line.marker is None or line.marker.evaluate(environment))
    ]
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_upper_version_on_each_python(python: str) -> None:
    for wanted in requirements():
        (limit,) = constraint(wanted.name, python).specifier
        assert limit.operator == "<=", wanted.name
        assert wanted.specifier.contains(limit.version), f"{wanted}: {limit} is not among them"


def test_nothing_is_constrained_that_nobody_asks_for() -> None:
    assert {canonicalize_name(line.name) for line in constraints()} == {
        canonicalize_name(wanted.name) for wanted in requirements()
    }


def test_the_tests_run_with_versions_that_it_allows() -> None:
    checked = 0
    for wanted in requirements():
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            continue  # an extra that this environment does without
        assert constraint(wanted.name).specifier.contains(installed, prereleases=True), f"{wanted.name} {installed}"
        checked += 1
    assert checked >= len(PROJECT["dependencies"])


def test_the_tested_pythons_are_those_of_the_project() -> None:
    named = {line.rsplit(" ", 1)[-1] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    assert named == set(PYTHONS)


def test_every_install_command_uses_it() -> None:
    """Without it, an install may bring versions that nobody has tried."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"), ROOT / "Makefile"]
    commands = [
        (page, line)
        for page in pages
        for line in page.read_text().replace("\\\n", " ").splitlines()
        if line.startswith(("    ", "\t")) and ("pip install" in line or "$(PIP) install" in line or "pip --" in line)
    ]
    assert len(commands) > 5
    for page, line in commands:
        if "torch==" not in line:
            assert "constraints.txt" in line, f"{page.relative_to(ROOT)}: {line.strip()}"
