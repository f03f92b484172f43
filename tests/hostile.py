"""Values that break careless quoting, for specs, paths and environment variables."""

from pathlib import Path

import pytest

ONE_LINE_VALUES = (
    "two words",
    " leading and trailing ",
    "tab\tinside",
    "it's",
    'say "hi"',
    "'\"'\"'",
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "$HOME",
    "; touch pwned",
    "a && touch pwned",
    "a | cat",
    "a > pwned",
    "back\\slash\\",
    "\\n",
    "*",
    "?[a-z]*",
    "{a,b}",
    "~",
    "!!",
    "-n",
    "--help",
    "#hash",
    "a #not a comment",
    "100%",
    "%j %A %a %%",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "${shard.index}",
    "a=b",
    "a,b:c;d",
    "naïve — ünïcödé ☃ 日本語",
    "e\u0301 combining",
    "\u202eright to left",
    "null",
    "yes",
    "0x10",
    "",
)
"""Each must arrive unchanged, or be refused with a message; never be run or cut."""

MULTI_LINE_VALUES = (
    "first\nsecond",
    "trailing newline\n",
    "\n#SBATCH --nodes=99",
    "\nEOF\ntouch pwned\n",
    "carriage\rreturn",
    "dos\r\nline",
)
"""The same, with line breaks; a place that cannot hold them must refuse them."""


@pytest.fixture(params=[*ONE_LINE_VALUES, *MULTI_LINE_VALUES], ids=ascii)
def weird_value(request: pytest.FixtureRequest) -> str:
    """Each of the values in turn."""
    return str(request.param)


@pytest.fixture
def weird_values() -> tuple[str, ...]:
    """Return all of the values at once, for tests too slow to run for each."""
    return ONE_LINE_VALUES + MULTI_LINE_VALUES


@pytest.fixture
def weird_path(tmp_path: Path) -> Path:
    """Make a directory whose name has in it what breaks careless code: blanks, quotes, `$()`, a line break."""
    directory = tmp_path / "-a \"b\" 'c' $(touch pwned) `d` %j #e {f} \\ é\n☃"
    directory.mkdir()
    return directory
