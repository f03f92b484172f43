"""Templates of a site over ours: what they change, whom they are taken from, and what an upgrade does to them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jinja2 import Environment, nodes
from site_places import Places

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.plan import template_overrides
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.revise import replan
from curator_slurm.launcher.plan.script import render, render_collect
from curator_slurm.launcher.plan.template_blocks import FOLDER, blocks_of, our_blocks

DOCS = Path(__file__).parents[3] / "docs" / "sites" / "index.md"
NODE = '{% extends "curator-slurm/_node.j2" %}\n'
LAUNCH = '{% extends "curator-slurm/_launch.j2" %}\n'
HOOK = NODE + "{% block before_software %}\n    ulimit -n 65536\n{% endblock %}\n"


@pytest.fixture
def folder(places: Places) -> Path:
    """The folder that the system's site file names, relative to itself."""
    places.write("system", "templates: {folder: scripts}\n")
    there = places.system.parent / "scripts"
    (there / "originals").mkdir(parents=True)
    for each in (there, there / "originals"):
        each.chmod(0o755)
    return there


@pytest.fixture
def site(places: Places, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(places.spec.parent)
    for name in ("CURATOR_SLURM_RUNS", "CURATOR_SLURM_SITE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, expect: int = 0) -> Result:
        result = CliRunner(env=places.environ).invoke(main, ["site", *arguments])
        assert result.exit_code == expect, result.output
        return result

    return call


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def plain(places: Places) -> Plan:
    return places.plan().model_copy(update={"templates": []})


def refused(places: Places) -> str:
    with pytest.raises(SpecError) as caught:
        render(places.plan())
    return str(caught.value)


def test_every_block_has_one_name_and_jinja_sees_the_same() -> None:
    names: Counter[str] = Counter()
    for path in FOLDER.glob("*.j2"):
        source = path.read_text()
        found = blocks_of(source)
        assert set(found) == {block.name for block in Environment().parse(source).find_all(nodes.Block)}, path.name
        names.update(list(found))
    assert set(names.values()) == {1}
    assert set(names) == set(our_blocks())
    described = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \| `.*\.j2` \|", DOCS.read_text())
    assert sorted(re.findall(r"\w+", " ".join(described))) == sorted(names)
    assert our_blocks()["before_software"].is_empty
    assert 'srun --nodes="$SLURM_JOB_NUM_NODES"' in our_blocks()["srun"].text


def test_what_adds_needs_no_copy_and_is_in_both_scripts(places: Places, folder: Path) -> None:
    write(folder / "_node.j2", HOOK)
    write(
        folder / "_options.j2",
        '{% extends "curator-slurm/_options.j2" %}{% block options %}\n'
        "{{ super() }}#SBATCH --hint=nomultithread\n{% endblock %}",
    )
    (folder / "README").write_text("no template")
    plan = places.plan()
    before, text = render(plain(places)), render(plan)
    assert text.replace("    ulimit -n 65536\n", "").replace("#SBATCH --hint=nomultithread\n", "") == before
    assert "prepare_software() {\n    ulimit -n 65536\n" in text
    assert "    ulimit -n 65536\n" in render_collect(plan)
    assert not re.search(r"(?m)^templates:", plain(places).to_yaml())
    assert re.search(r"(?m)^templates:", plan.to_yaml())


def test_the_plan_has_them_so_that_a_retry_needs_no_file(places: Places, folder: Path) -> None:
    write(folder / "_node.j2", HOOK)
    text = places.plan().to_yaml()
    (folder / "_node.j2").unlink()
    kept = Plan.from_yaml(text)
    assert "ulimit -n 65536" in render(kept)
    again = replan(kept, "r", ["resources.nodes=2"], places.environ)
    assert "ulimit -n 65536" in render(again)


def test_a_block_that_is_replaced_must_be_what_it_was(places: Places, folder: Path) -> None:
    srun = our_blocks()["srun"].text
    ours = srun.replace("--wait=0", "--wait=7")
    path = write(folder / "_launch.j2", f"{LAUNCH}\n{{% block srun %}}\n{ours}{{% endblock %}}\n")
    assert f"{path}:3" in (words := refused(places))
    assert "block `srun` of _launch.j2 has no copy of what it replaces" in words
    copy = write(folder / "originals" / "srun.j2", srun)
    assert render(places.plan()) == render(plain(places)).replace("--wait=0", "--wait=7")
    kept = places.plan()
    write(copy, srun.replace("--cpu-bind=none", "--cpu-bind=old"))
    words = refused(places)
    assert "block `srun` of _launch.j2 has changed since it was written: `curator-slurm site diff-template" in words
    assert f"{path}:3" in words
    changed = [kept.templates[0].model_copy(update={"originals": {"srun": "older"}})]
    with pytest.raises(SpecError, match="has changed since"):
        render(kept.model_copy(update={"templates": changed}))  # as of a retry after an upgrade


@pytest.mark.parametrize(
    ("name", "text", "where", "words"),
    [
        ("_node.j2", NODE + "{% block setup %}\n{% if %}\n{% endblock %}", ":3", "Expected an expression"),
        ("_nodes.j2", NODE, "", "there is no template _nodes.j2; did you mean _node.j2?"),
        ("_node.j2", "#!/bin/bash\n", ":1", 'must begin with {% extends "curator-slurm/_node.j2" %}'),
        ("_node.j2", '\n{% extends "_node.j2" %}\n', ":2", 'must begin with {% extends "curator-slurm/_node.j2" %}'),
        ("_node.j2", NODE + "\n{% block befor_software %}{% endblock %}", ":3", "did you mean before_software?"),
        (
            "_node.j2",
            NODE + "{% block before_software %}\n    x={{ plan.spec.nme | quote }}\n{% endblock %}",
            ":3",
            "has no attribute 'nme'",
        ),
        (
            "_node.j2",
            NODE + "{% block before_software %}\n    true\n    if ulimit; then\n{# why #}\n{% endblock %}",
            ":4",
            "the script is no bash with these templates: syntax error",
        ),
        (
            "_node.j2",
            NODE + "{% block before_software %}\n    case x in )\n{% endblock %}",
            ":3",
            "syntax error near unexpected token `)'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    places: Places, folder: Path, name: str, text: str, where: str, words: str
) -> None:
    path = write(folder / name, text)
    said = refused(places)
    assert words in said
    assert f"{path}{where}" in said


def test_a_line_is_found_behind_what_takes_several() -> None:
    source = "a\n{% set x = [\n 1] %}\n  {{ x }} b\n{# one\n two #}\nc\n{%- if x %}\nd\n{% endif %}\n"
    marked = "".join(template_overrides._marked(7, source))
    assert re.findall("\x017:([0-9]+)\x02(.)", marked) == [("1", "a"), ("4", " "), ("7", "c"), ("9", "d")]


def test_who_else_may_write_them(places: Places, folder: Path) -> None:
    path = write(folder / "_node.j2", HOOK, 0o664)
    assert f"{path} may be written by others (mode 0664)" in refused(places)
    path.chmod(0o644)
    folder.chmod(0o777)
    assert f"{folder} may be written by others (mode 0777): chmod go-w {folder}" in refused(places)
    folder.chmod(0o755)
    render(places.plan())
    path.unlink()
    (folder / "originals").rmdir()
    folder.rmdir()
    said = refused(places)
    assert f"{folder} cannot be read" in said
    assert f"{places.system}:1" in said


def test_from_a_block_of_ours_through_an_upgrade(places: Places, folder: Path, site: Callable[..., Result]) -> None:
    assert "The site has no templates." in site("diff-template").stdout
    written = site("override-template", "srun").stdout.split()
    assert written == [str(folder / "_launch.j2"), str(folder / "originals" / "srun.j2")]
    site("override-template", "before_nodes")
    assert render(places.plan()) == render(plain(places)), "as ours, until it is edited"
    assert "has the block srun already" in site("override-template", "srun", expect=2).output
    assert "does not replace the block setup" in site("override-template", "setup", "--accept", expect=2).output
    shown = site("show").stdout
    assert f"# template: _launch.j2, block srun ({folder}/_launch.j2:3): fits" in shown
    assert "block before_nodes" in shown
    assert site("diff-template").stdout.count("#") == 2

    copy = folder / "originals" / "srun.j2"
    write(copy, copy.read_text().replace("--wait=0", "--wait=60"))
    shown = site("diff-template", "srun", expect=2).stdout
    assert "block srun (" in shown
    assert "has changed since it was written" in shown
    assert re.search(r"(?m)^-.*--wait=60", shown)
    assert re.search(r"(?m)^\+.*--wait=0", shown)
    assert "has changed since it was written" in site("show").stdout
    assert "diff-template srun" in CliRunner(env=places.environ).invoke(main, ["validate", str(places.spec)]).output
    site("override-template", "srun", "--accept")
    site("diff-template")
    assert render(places.plan()) == render(plain(places))
    assert "there is no block nothing" in site("diff-template", "nothing", expect=2).output


def test_a_folder_of_nobody_yet(places: Places, site: Callable[..., Result]) -> None:
    assert "name the folder with --folder" in site("override-template", "setup", expect=2).output
    there = places.root / "new"
    before = os.umask(0o002)  # as where each user has a group
    try:
        site("override-template", "setup", "--folder", str(there))
    finally:
        os.umask(before)
    places.write("user", f"templates: {{folder: {there}}}\n")
    assert render(places.plan()) == render(plain(places))
