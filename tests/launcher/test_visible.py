"""Which characters are shown instead of sent to a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.launcher.errors import SlurmError, SpecError, SpecProblem
from curator_slurm.launcher.visible import visible, visible_line, visible_log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé ☃ 日本語 👩‍🔬", "plain ünïcödé ☃ 日本語 👩‍🔬"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H"),
        ("\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"),
        ("\x9b31m\x9d0;x\x9c", "\\x9b31m\\x9d0;x\\x9c"),
        ("bs\b\b del\x7f nul\0", "bs\\x08\\x08 del\\x7f nul\\x00"),
        ("over\rwritten", "over\\rwritten"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("a\u2028b\u200bc\ufeff", "a\\u2028b\\u200bc\\ufeff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("bytes \udcff\udc1b \ud800", "bytes \\xff\\udc1b \\ud800"),
        ("\x1b[36m(Worker pid=7)\x1b[0m text", "(Worker pid=7) text"),
        ("\x1b[38;5;1;48:2:0:0:0mhidden\x1b[8m", "hidden"),
        ("\x1b\x1b[31m[2J", "\\x1b[2J"),
    ],
)
def test_what_controls_a_terminal_is_shown(text, shown):
    assert visible(text) == shown


def test_a_line_stays_one():
    assert visible_line("a\nState  completed\tb\x1b") == "a\\nState  completed\\tb\\x1b"


def test_the_states_of_a_progress_bar_are_lines():
    assert visible_log("\r 10%|#   |\r 20%|##  |\nend\r\n") == "\n 10%|#   |\n 20%|##  |\nend\n"


@given(st.text())
def test_nothing_that_controls_is_left_and_nothing_is_escaped_twice(text):
    shown = visible(text)
    assert visible(shown) == shown
    bad = [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert bad == []
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )


def test_messages_of_errors_are_fit_for_a_terminal():
    """In a notebook or a traceback, too, where no command line prints them."""
    assert str(SlurmError("sbatch: error: \x1b[2Jbad")) == "sbatch: error: \\x1b[2Jbad"
    assert "\x9b" not in str(SpecError([SpecProblem("a\x9b", "found \x9b", "s.yaml\x9b:1")], "s.yaml\x9b"))
