"""YAML read with the scalars of YAML 1.2, with lines, and with errors in place of surprises."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.spec.yaml_document import YamlSyntaxError, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8:00:00", "8:00:00"),
        ("190:20:30", "190:20:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("0x1F", 31),
        ("0o17", 15),
        ("007", 7),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("=", "="),
        ("!!str 12", "12"),
        ("'12'", "12"),
    ],
)
def test_scalars(text, value):
    assert parse(f"a: {text}").value == {"a": value}


def test_lines_and_how_numbers_were_written():
    document = parse("a: 1\nb:\n  - x\n  - c: 1.10\n")
    assert document.lines[("b", 1, "c")] == 4
    assert document.written == {("a",): "1", ("b", 1, "c"): "1.10"}


def test_aliases_and_merge_keys():
    document = parse("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: [*x, *x]\n")
    assert document.value == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": [{"p": 1, "q": 2}] * 2}
    document.value["c"][0]["p"] = 9
    assert document.value["a"]["p"] == 1


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ("x: 1\na: 1\na: 2", "`a` is a duplicate key; the first one is in line 2", 3),
        ("a:\n  b: !!python/object:os.system x", "the tag", 2),
        ("x: {1: 2}", 'write "1" with quotes', 1),
        ("x: {[1]: 2}", "a key must be a string", 1),
        ("<<: 3", "`<<` takes a mapping", 1),
        ("x: !!int abc", "does not match its tag", 1),
    ],
)
def test_errors_that_can_be_read(text, part, line):
    [(_, message, found)] = parse(text).problems
    assert part in message
    assert found == line


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ("a: [1,", "is not valid YAML", 1),
        ("a: b: c", "needs quotes", 1),
        ("a:\n\tb: 1", "indent with spaces", 2),
        ("a: *.txt", "starts with * needs quotes", 1),
        ("a: @x", "@", 1),
        ("a: 1\n---\nb: 2", "a single document", 2),
        ("a: &x [*x]", "recursive alias", 1),
        ("a: 1\nb: \x01", "U+0001", 2),
        ("[" * 3000, "nested too deeply", 1),
        ("{" * 100_000, "nested too deeply", 1),
        ("- " * 5000, "nested too deeply", 1),
        ("? " * 5000, "nested too deeply", 1),
    ],
)
def test_syntax_errors(text, part, line):
    with pytest.raises(YamlSyntaxError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert caught.value.line == line


def test_an_alias_bomb_is_refused():
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 20)}]" for i in range(1, 8)]
    with pytest.raises(YamlSyntaxError, match="more than"):
        parse("\n".join(["a0: &a0 [x, x]", *levels]))


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(YamlSyntaxError):
        parse(text)
