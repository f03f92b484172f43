"""Files for hosting services and hooks: they parse, and what they call is there."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from numbers_and_patterns import careless

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml"))


def commands(job):
    return [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]


def test_ci_runs_all_checks_with_every_supported_python():
    assert ".ci/run" in commands("test")
    pythons = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"]]
    assert pythons == [match[1] for match in declared if match]


def test_ci_builds_the_docs_strictly():
    assert "mkdocs build --strict" in commands("docs")
    assert "docs" in PROJECT["optional-dependencies"]


def test_ci_may_only_read():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for job in WORKFLOW["jobs"].values():
        assert job["timeout-minutes"] <= 90


def test_hooks_are_local_and_run_what_the_venv_has():
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, *arguments = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        for argument in arguments:
            assert "/" not in argument or (ROOT / argument).exists()


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_issue_forms(form):
    parsed = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(parsed)
    ids = [field["id"] for field in parsed["body"]]
    assert len(set(ids)) == len(ids)


def test_bug_reports_ask_for_the_status_as_json():
    assert "curator-slurm status RUN --json" in (ROOT / ".github/ISSUE_TEMPLATE/bug_report.yml").read_text("utf-8")


SOURCES = [path for part in ("common", "launcher", "executors") for path in sorted((ROOT / part).rglob("*.py"))]
TEXTS_OF_USERS = {"executors/stages/filters/quality.py"}
"""Modules that look for digits in texts in any language."""


def test_numbers_and_patterns_take_what_is_meant_alone():
    assert len(SOURCES) > 200
    found = [
        f"{name}:{line}: {reason}"
        for name, path in ((str(path.relative_to(ROOT)), path) for path in SOURCES)
        if name not in TEXTS_OF_USERS
        for line, reason in careless(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("text.isdigit()", 1),
        ("text.isdigit() and other.isascii()", 1),
        ("text.isascii() or text.isdigit()", 1),
        ("text.isascii() and text.isdigit() and len(text) < 9", 0),
        (r"re.compile('[0-9]+$')", 1),
        (r"re.match('(?:a|b$)', x)", 1),
        (r"re.search(f'{name}$', x)", 1),
        (r"re.compile(r'[$]a\$')", 0),
        (r"re.compile('^a$', re.MULTILINE)", 0),
        (r"re.fullmatch(r'\d+', x)", 1),
        (r"re.fullmatch(r'a|(?:[\d,]+)', x)", 1),
        (r"re.fullmatch(r'\d+', x, re.ASCII)", 0),
        (r"re.fullmatch(r'[0-9]+\Z', x)", 0),
    ],
)
def test_what_is_careless(source, count):
    assert len(list(careless(source))) == count
