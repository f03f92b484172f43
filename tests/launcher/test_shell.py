"""Quoting for bash and for sbatch."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.shell import quote, sbatch_quote

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, max_size=5))
def test_quoted_words_are_the_same_words_for_bash(values):
    words = " ".join(map(quote, values))
    assert "\n" not in words
    done = subprocess.run(
        ["bash", "-c", f"f() {{ printf '%s\\0' {words}; }}; eval \"$(declare -f f)\"; f"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == "".join(f"{value}\0" for value in values or [""])


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain-1.0_x/y:z@a+b=c,d%e", "plain-1.0_x/y:z@a+b=c,d%e"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", "'it'\\''s'"),
        ("a\nb\x01", "$'a\\nb\\001'"),
        ("~", "'~'"),
    ],
)
def test_quote_keeps_plain_words_plain(value, quoted):
    assert quote(value) == quoted


@pytest.mark.parametrize(
    ("value", "quoted"), [("h100", "h100"), ("a b", '"a b"'), ('"\\', '"\\"\\\\"'), ("a#b", '"a#b"'), ("", '""')]
)
def test_quotes_of_sbatch(value, quoted):
    assert sbatch_quote(value) == quoted
