"""Options of sbatch: names and values."""

import re
from pathlib import Path

import pytest

from curator_slurm.launcher.spec.sbatch_options import EITHER, FLAGS, OWNED, SHORT, VALUES, normalise

ROOT = Path(__file__).parents[3]


def only(options):
    _, [(_, message)] = normalise(options)
    return message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"constraint": "h100"}, {"constraint": "h100"}),
        ({"mail_type": "ALL"}, {"mail-type": "ALL"}),
        ({"mail-type": "ALL"}, {"mail-type": "ALL"}),
        ({"--mail-type": "ALL"}, {"mail-type": "ALL"}),
        ({"C": "a&b"}, {"constraint": "a&b"}),
        ({"exclusive": True}, {"exclusive": True}),
        ({"exclusive": "user"}, {"exclusive": "user"}),
        ({"hold": False, "comment": None}, {}),
        ({"nice": 10, "core_spec": 2}, {"nice": "10", "core-spec": "2"}),
        ({"some-site-option": "x"}, {"some-site-option": "x"}),
        ({"--constraints": "new in some Slurm"}, {"constraints": "new in some Slurm"}),
    ],
)
def test_what_is_passed_on(options, expected):
    assert normalise(options) == (expected, [])


@pytest.mark.parametrize("option", OWNED)
def test_options_of_the_launcher_are_refused_in_every_spelling(option):
    for key in (option, option.replace("-", "_"), f"--{option}"):
        assert "cannot be set here" in only({key: "x"})
        assert normalise({key: None}) == ({}, [])  # for a plan that has it from an earlier version


@pytest.mark.parametrize("key", ["--qo", "qo", "--arra", "partit", "--expor", "mem-per", "--nod", "jo"])
def test_the_beginning_of_an_option_is_that_option_to_sbatch(key):
    """`#SBATCH --qo=high` went past a lock of `qos`, `--arra` past what the launcher owns."""
    assert "write it in full" in only({key: "x"})
    assert normalise({key: "x"})[0] == {}


def test_null_takes_an_option_away_in_every_spelling():
    for key in ("constraint", "--constraint", "C"):
        assert normalise({"constraint": "h100", "qos": "low"} | {key: None}) == ({"qos": "low"}, [])


@pytest.mark.parametrize("letter", [letter for letter, name in SHORT.items() if name in OWNED])
def test_short_forms_too(letter):
    assert "cannot be set here" in only({letter: "x"})


def test_the_key_to_use_instead():
    assert only({"N": 3}).endswith("cannot be set here: use `resources.nodes`")
    assert "`environment.env`" in only({"export": "ALL"})
    assert "use `shards`" in only({"array": "1-3"})


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"constrain": "x"}, "did you mean `constraint`?"),
        ({"mail-tipe": "x"}, "write `--mail-tipe`"),
        ({"mail-typ": "x"}, "did you mean `mail-type`? sbatch takes it so"),
        ({"job_nam": "x"}, "did you mean `job-name` (use `name`)?"),
        ({"z": "x"}, "is not an sbatch option"),
        ({"a b": "x"}, "is not a valid name"),
        ({"": "x"}, "is not a valid name"),
        ({"x=1\n": "x"}, "is not a valid name"),
        ({"comment": "a\nb"}, "control character"),
        ({"comment": "a\tb"}, "control character"),
        ({"comment": "x" * 5000}, "longer than"),
        ({"comment": ""}, "is empty"),
        ({"comment": ["a"]}, "found a list"),
        ({"comment": {"a": 1}}, "found a section"),
        ({"constraint": True}, "needs a value; found true"),
        ({"hold": "yes"}, "is a flag: use true or false"),
        ({"C": "x", "constraint": "y"}, "are the same option"),
    ],
)
def test_errors(options, part):
    assert part in only(options)


def test_every_option_has_one_kind():
    kinds = [set(OWNED), FLAGS, EITHER, VALUES]
    assert sum(map(len, kinds)) == len(set().union(*kinds))
    assert set(SHORT.values()) <= set().union(*kinds)


def test_no_message_and_no_page_names_an_option_that_is_refused():
    """`resources.sbatch.NAME` in a sentence is advice that must work."""
    sources = [*(ROOT / "launcher").rglob("*.py"), *(ROOT / "executors").rglob("*.py")]
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"), ROOT / "README.md", *sources]
    named = {
        (path.name, name)
        for path in pages
        for name in re.findall(r"resources\.sbatch\.([a-z][a-z-]*)(?![a-z(-])", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert not {(page, name) for page, name in named if name in OWNED}
