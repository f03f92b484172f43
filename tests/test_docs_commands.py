"""Every command of README and docs: run here where that takes no Ray and no site, else taken apart as it is typed.

Slurm is a fake one in which nothing starts. What only another test can run is named with that test; what no test can
run has its reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from docs_commands import PAGES, ROOT, Command, Kind, commands, shell_blocks
from fake_slurm import FakeSlurm
from run_dirs import own_home
from sharded_runs import fail, plan, publish, sharded_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import RunIncompleteError
from curator_slurm.launcher.runs.registry import Run

__all__ = ["own_home"]

ALL = [command for page in PAGES for command in commands(page)]
LINES = [command for command in ALL if command.kind is Kind.LINE]
OURS = [command for command in LINES if command.program == "curator-slurm"]

EXAMPLES = "tests/examples/test_examples.py::test_it_runs_as_written"
ELSEWHERE: Mapping[str, str] = {
    r"curator-slurm submit .*--like .*": (
        "tests/launcher/report/test_advice.py::test_submit_like_a_run_takes_its_advice_and_the_command_line_counts_more"
    ),
    r"curator-slurm run examples/(?!array|quickstart).*/(spec|recipe)\.yaml --cluster local.*": EXAMPLES,
    r"curator-slurm run examples/quickstart\.yaml --cluster local": EXAMPLES,
    r"curator-slurm run examples/audio/nemo_curator\.yaml --cluster local": (
        "tests/interop/test_media_of_curator.py::test_the_example_for_audio_with_its_stages"
    ),
    r"curator-slurm run examples/video/nemo_curator\.yaml --cluster local": (
        "tests/interop/test_media_of_curator.py::test_the_example_for_video_with_its_stages"
    ),
    r"curator-slurm submit examples/array/spec\.yaml --cluster local": (
        "tests/test_array_example.py::test_the_example_without_slurm"
    ),
    r"curator-slurm logs -f filter": "tests/launcher/cli/test_cli_runs.py::test_following_logs_ends_with_the_run",
    r"eval .*": "tests/launcher/cli/test_completion.py::test_verbs",
    r"KILLS=10 MOMENTS=7 .*": "tests/executors/resume/test_killed_drivers.py::test_killed_again_and_again",
}
"""Commands that another test runs, as they are or with the paths of the test."""

NOWHERE: Mapping[str, str] = {
    r"git clone PLACE|cd PLACE": "the clone has another address for everybody",
    r"(python3 -m venv|.*/bin/pip install|pip install) .*": "installs from an index; CI does that with make, before it",
    r"\.venv/bin/python tests/slurm_cluster/cluster\.py exec": "a shell for people, on a cluster that make has started",
    r"autoload .*|compinit": "zsh's own",
    r"install -D -m 644 site\.yaml /etc/curator-slurm/site\.yaml": "root puts the file into its place",
    r"curator-slurm submit spec\.yaml --site .*": "needs that cluster's partitions; its plan is made here",
    r"curator-slurm logs RUN --agent n017": "names a node of somebody's cluster",
    r"curator-slurm run spec\.yaml --cluster local|head .*|tail": "needs Ray; the same spec is validated here, and "
    "the examples run such ones",
}
"""Commands that no test runs, and why. They are taken apart all the same."""


def matching(table: Mapping[str, str], command: Command) -> str | None:
    return next((value for pattern, value in table.items() if re.fullmatch(pattern, command.text)), None)


HELP = main.context_settings["help_option_names"]

# Everything is taken apart


def verb_of(command: Command) -> tuple[click.Command, list[str]]:
    """The click command of a verb, and the words after it."""
    words = command.words[1:]
    found = main.get_command(click.Context(main), words[0])
    assert found is not None, f"{command.page}: there is no verb {words[0]!r}: {command.text}"
    words = words[1:]
    while isinstance(found, click.Group) and words:
        group, found = found, found.get_command(click.Context(found), words[0])
        assert found is not None, f"{command.page}: {group.name} has no verb {words[0]!r}: {command.text}"
        words = words[1:]
    return found, words


@pytest.mark.parametrize("command", OURS, ids=lambda each: f"{each.page}: {each.text}")
def test_the_verb_takes_the_line_as_it_is_typed(command: Command) -> None:
    verb, words = verb_of(command)
    verb.make_context(verb.name, words, help_option_names=HELP)  # which click keeps for whoever comes after us


def not_in_lines() -> list[Command]:
    return [each for each in ALL if each.kind is not Kind.LINE and each.program == "curator-slurm"]


@pytest.mark.parametrize("command", not_in_lines(), ids=lambda each: f"{each.page}: {each.text}")
def test_verbs_and_options_in_sentences_exist(command: Command) -> None:
    words = command.words
    if words[1] in ("VERB", "COMMAND") or words[1].startswith("-"):
        verb: click.Command = main
    else:
        verb, _ = verb_of(command)
    context = click.Context(verb, help_option_names=HELP)
    known = {name for option in verb.get_params(context) for name in option.opts}
    named = re.findall(r"(?<=[\s\[])-{1,2}[a-zA-Z][\w-]*", command.text)
    assert set(named) <= known, f"{command.page}: {command.text}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_program_is_known_and_has_a_place_where_it_is_run(page: Path) -> None:
    for command in commands(page):
        if command.kind is Kind.LINE:
            assert how(command) is not None, f"{command.page}: nothing runs {command.text!r}"


def how(command: Command) -> str | None:
    """Where a command is run; None where nobody does."""
    if (other := matching(ELSEWHERE, command) or matching(NOWHERE, command)) is not None:
        return other
    if command.program == "make":
        return "make -n"
    if command.program == "curator-slurm":
        return "fake Slurm"
    if command.page in ("docs/sites/install.md", "docs/sites/support.md"):
        return "tests/test_docs_admin.py, which types every shell block of these"
    if command.page == "docs/tutorial/first-run.md" or command.program == "export":
        return "bash"
    return "python" if command.text == "python examples/array/make_input.py" else None


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_what_is_run_elsewhere_is_run_there(place: str) -> None:
    file, _, name = place.partition("::")
    assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", [*ELSEWHERE, *NOWHERE])
def test_no_exception_outlives_its_command(pattern: str) -> None:
    assert any(re.fullmatch(pattern, command.text) for command in LINES)


def test_targets_and_variables_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for command in ALL:
        if command.program == "make":
            words = [word for word in command.words[1:] if word != "..."]
            variables = [word.partition("=")[0] for word in words if "=" in word]
            assert {word for word in words if "=" not in word} <= targets, command
            assert all(f"$({name})" in makefile or f"(or $({name})" in makefile for name in variables), command


def test_extras_and_files_of_pip_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for command in LINES:
        if command.program == "pip":
            assert set(re.findall(r"[a-z]+", "".join(re.findall(r"\[(.*?)\]", command.text)))) <= set(extras), command
            for name in re.findall(r"-c (?:PLACE/)?(\S+)", command.text):
                assert (ROOT / name).exists(), command


def test_a_wrong_option_a_wrong_verb_and_an_unknown_program_are_found() -> None:
    wrong = {"curator-slurm retry RUN --klass x": click.NoSuchOption, "curator-slurm rety": AssertionError}
    for text, error in wrong.items():
        with pytest.raises(error):
            test_the_verb_takes_the_line_as_it_is_typed(Command("page", Kind.LINE, text))
    with pytest.raises(AssertionError):
        test_verbs_and_options_in_sentences_exist(Command("page", Kind.INLINE, "curator-slurm plan --compair RUN"))
    assert how(Command("page", Kind.LINE, "squeue --me")) is None


# And run, as far as it goes


@pytest.fixture
def world(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, fake_slurm: FakeSlurm) -> Path:
    """A folder with a spec.yaml as the docs have it, on a login node of a Slurm in which nothing starts."""
    fake_slurm.configure(nodes=8, partitions=["main", "cpu", "highmem"])
    fake_slurm.pause()
    for folder in ("a", "b"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "x.txt").write_text("one\n")
    spec = {
        "name": "filter",
        "pipeline": {
            "stages": [
                {"use": "curator_slurm.executors.stages:TextReader", "with": {"file_paths": "${input.files}"}},
                {"use": "curator_slurm.executors.stages:WordCountFilter", "with": {"min_words": 1}},
            ]
        },
        "input": {"paths": ["data/a/*.txt"]},
        "environment": {"python": sys.executable},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    shutil.copytree(ROOT / "examples" / "array", tmp_path / "examples" / "array", ignore=lambda *_: ["data", "out"])
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HF_TOKEN", "hf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs_of_the_docs(folder: Path) -> tuple[Run, Run]:
    """A sharded run in which shards failed, as the docs tell of, and one that is done."""
    failed = sharded_run(folder, 50, the_plan=plan(folder))
    for shard in range(50):
        kinds = {12: "out_of_memory", 13: "time_limit", **dict.fromkeys(range(40, 44), "app_failed")}
        if shard in kinds:
            fail(failed, shard, f"4711_{shard}.0", kinds[shard])
        else:
            publish(failed, shard)
    done = sharded_run(folder, 2)
    for shard in range(2):
        publish(done, shard)
    return failed, done


def call(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    incomplete = words[0] == "status" and result.exit_code == RunIncompleteError.exit_code
    assert result.exit_code == 0 or incomplete, f"curator-slurm {' '.join(words)}\n{result.output}"


@pytest.mark.long
def test_commands_on_specs_run(world: Path) -> None:
    """On each page, one after the other, as it is read."""
    subprocess.run([sys.executable, "examples/array/make_input.py"], check=True)
    seen: set[str] = set()
    for command in OURS:
        if command.words[1] not in ("validate", "plan", "submit", "render"):
            continue
        if matching(ELSEWHERE, command) or matching(NOWHERE, command):
            continue
        words = [word.replace('"/data/', f'"{world}/data/') for word in command.words[1:] if word != "--watch"]
        if command.text not in seen:
            seen.add(command.text)
            call([*words, *(["--no-import"] if words[0] in ("submit", "validate") else [])])
    assert len(seen) >= 10


def test_commands_on_runs_run(world: Path) -> None:
    failed, done = runs_of_the_docs(world)
    ran = 0
    for text in dict.fromkeys(command.text for command in OURS):
        command = Command("", Kind.LINE, text)
        verb, words = command.words[1], command.words[2:]
        known = matching(ELSEWHERE, command) or matching(NOWHERE, command)
        if verb in ("status", "logs", "retry", "collect") and known is None:
            run = done if verb == "collect" else failed
            if words and not words[0].startswith("-"):
                words[0] = run.run_id
            call([verb, *words, *(["--dry-run"] if verb == "retry" and "--dry-run" not in words else [])])
            ran += 1
    assert ran >= 10


def test_the_first_site_file_can_be_typed(world: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """What administrators type, with the spec of the page; the probes really run, and look at this machine."""
    from curator_slurm.launcher.cli import _site_init

    monkeypatch.setattr(_site_init, "ADDRESSES", ())
    fake_slurm.configure(accounting=False, partitions=["main"])
    page = ROOT / "docs" / "sites" / "first-file.md"
    (spec,) = re.findall(r"^```yaml spec\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(spec.splitlines()) == 5
    (world / "spec.yaml").write_text(spec)
    typed = [each for each in commands(page) if each.kind is Kind.LINE and each.program == "curator-slurm"]
    assert [each.words[1] for each in typed] == ["site", "site", "site", "submit"]
    fake_slurm.resume()
    for command in typed[:3]:
        call(command.words[1:])
    fake_slurm.pause()
    call([word for word in typed[3].words[1:] if word != "--watch"])
    assert "main" in [job.facts["partition"] for job in fake_slurm.jobs if job.facts["name"] == "hello"]


def test_shell_blocks_are_shell(tmp_path: Path) -> None:
    for page in PAGES:
        for block in shell_blocks(page):
            check = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert check.returncode == 0, f"{page}: {check.stderr}"


@pytest.mark.usefixtures("own_home")
def test_the_first_run_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tutorial has a newcomer type and write, to the check of the spec."""
    text = (ROOT / "docs" / "tutorial" / "first-run.md").read_text(encoding="utf-8")
    (block,) = shell_blocks(ROOT / "docs" / "tutorial" / "first-run.md")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", block], cwd=tmp_path, env=environ, check=True)
    (spec,) = re.findall(r"^```yaml spec\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "first" / "spec.yaml").write_text(spec)
    monkeypatch.chdir(tmp_path / "first")
    call(["validate", "spec.yaml"])
    call(["plan", "spec.yaml"])
