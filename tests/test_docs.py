"""The docs say what is there: commands, settings, links, and specs that are valid."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import click
import generated_docs
import pytest
import site_tables
import spec_tables
import state_picture

from curator_slurm.executors import stages
from curator_slurm.launcher import cli, errors
from curator_slurm.launcher.failure_classes import FailureClass, blame_of
from curator_slurm.launcher.site.site_file import read_site_text
from curator_slurm.launcher.spec.model import NOT_YET
from curator_slurm.launcher.spec.spec_file import read_string
from curator_slurm.launcher.states import RunState

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in {*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")}
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
VERBS = [verb for verbs in cli.VERBS.values() for verb in verbs]
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
FAILURES = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
SPEC_PAGE = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")

_BASE = "name: x\npipeline: {command: 'true'}\n"


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def anchors(text):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def spec_blocks(kind):
    for page in PAGES:
        blocks = re.findall(rf"^```yaml {kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, block in enumerate(blocks):
            yield pytest.param(block, id=f"{page.name}-{number}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page}: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page):
    names = re.findall(r"`((?:launcher|executors|slurm_templates|common|tests)/[\w./]*)`", page.read_text("utf-8"))
    assert not [name for name in names if not (ROOT / name).exists()]


def test_picture_and_docstrings_say_what_the_table_of_packages_says():
    command = [sys.executable, ROOT / "docs" / "packages.py", "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"run: make docs-picture\n{check.stdout}"


def test_the_picture_of_the_states_is_that_of_the_table() -> None:
    assert state_picture.PICTURE.read_text(encoding="utf-8") == state_picture.picture(), "run: make docs-tables"
    assert set(state_picture.PLACES) == set(RunState)
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| ", FAILURES)
    assert {name: blame for name, blame in rows if name in list(FailureClass)} == {
        failure.value: blame_of(failure) or "nobody" for failure in FailureClass
    }
    assert all(f"| `{state}` | " in FAILURES for state in RunState)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_and_option_is_documented(verb):
    command = importlib.import_module(f"curator_slurm.launcher.cli.{verb}").command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            first_line = (below.help or "").partition("\n")[0]
            _is_documented(below, f"{verb} {name}", [first_line])
    else:
        _is_documented(command, verb, [cli.VERBS[heading][verb] for heading in cli.VERBS if verb in cli.VERBS[heading]])


def _is_documented(command, verb, texts):
    """It has a row with its texts and its options, and no other option."""
    [row] = re.findall(rf"^\| `{verb}[ `].*$", COMMANDS, re.MULTILINE)
    for text in texts:
        assert text.rstrip(".") in row
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    known = {name for option in options for name in option.opts}
    for option in known:
        assert not option.startswith("--") or f"`{option}" in row, f"{verb} {option}"
    assert set(re.findall(r"`(--[a-z-]+)", row)) <= known, f"{verb}: documents an option that is not there"


def test_every_exit_code_is_documented():
    codes = {
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")
    }
    documented = set(map(int, re.findall(r"^\| (\d+) \|", FAILURES, re.MULTILINE)))
    assert codes | {0, cli.INTERRUPTED} <= documented


@pytest.mark.parametrize("kind", [FailureClass, RunState])
def test_every_failure_class_and_state_is_documented(kind):
    documented = re.findall(r"^\| `(\w+)` \|", FAILURES, re.MULTILINE)
    assert {member.value for member in kind} <= set(documented)


def test_the_list_of_all_stages_is_made_of_their_docstrings():
    page = generated_docs.STAGES.read_text(encoding="utf-8")
    assert page == generated_docs.all_stages(page), "run: make docs-tables"
    for line in page.partition("## All of them in one list")[2].strip().splitlines()[2:]:
        assert len(line.split("|")[2].strip()) > 10, line


def test_no_page_and_no_message_names_a_package_that_is_on_no_index():
    """The project is installed from its repository; what is missing is named by its own name."""
    sources = [path for package in ("launcher", "executors", "examples") for path in (ROOT / package).rglob("*.py")]
    for path in [*PAGES, *sources]:
        assert not re.search(r"pip install [\"']?curator-slurm", path.read_text(encoding="utf-8")), path


def test_every_stage_is_documented():
    page = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    assert set(stages.__all__) <= set(re.findall(r"`(\w+)`", page))


def test_every_file_of_a_run_is_documented():
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    source = (ROOT / "launcher" / "runs" / "paths.py").read_text(encoding="utf-8")
    names = re.findall(r"self(?:\.root|\.\w+)? / f?\"([^\"{]+)", source)
    assert not [name for name in names if name.strip(".") not in page], "docs/files.md does not name these"


def test_the_tables_of_the_spec_are_those_of_the_classes():
    assert spec_tables.page(SPEC_PAGE) == SPEC_PAGE, "run: python tests/spec_tables.py"
    assert {match[1] for match in spec_tables.MARK.findall(SPEC_PAGE)} == set(spec_tables.sections())


@pytest.mark.parametrize("name", spec_tables.sections())
def test_every_setting_says_what_it_is(name):
    for row in spec_tables.table(name).splitlines():
        assert not row.endswith("|  |"), row


def test_keys_that_are_not_available_are_told():
    tail = SPEC_PAGE.partition("## Not available yet")[2]
    for key in NOT_YET:
        assert f"`{key}`" in tail or "keys of site configs" in tail


@pytest.mark.parametrize("block", list(spec_blocks("spec")))
def test_specs_in_the_docs_are_valid(block):
    assert not read_string(block, "page").problems


@pytest.mark.parametrize("block", list(spec_blocks("site")))
def test_site_files_in_the_docs_are_valid(block):
    read_site_text(block, "page", ROOT)


def test_the_keys_of_site_files_are_those_of_the_classes():
    assert site_tables.PAGE.read_text(encoding="utf-8") == site_tables.page(), "run: make docs-tables"


@pytest.mark.parametrize("block", list(spec_blocks("spec-part")))
def test_parts_of_specs_in_the_docs_are_valid(block):
    missing = "".join(line for line in _BASE.splitlines(True) if f"\n{line.split(':')[0]}:" not in f"\n{block}")
    assert not read_string(missing + block, "page").problems


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(example):
    assert not read_string(example.read_text(encoding="utf-8"), example.name).problems


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_no_longer_than_those_of_the_sources(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert not [number for number, line in lines if len(line) > 120 and not line.startswith("|")]
