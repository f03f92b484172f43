"""Copies at another path: texts, first lines of scripts, and strings in the binary files of conda."""

import pytest

from curator_slurm.launcher.staging.local_copies import SharedError
from curator_slurm.launcher.staging.relocate import first_line, padded, renaming


def rename(text, tmp_path):
    index = {"roots": [{"names": ["/s/env"]}, {"names": ["/s/env/inner", "/other"]}]}
    return renaming(tmp_path, index)(text.encode()).decode().replace(str(tmp_path), "LOCAL")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("#!/s/env/bin/python", "#!LOCAL/0/bin/python"),
        ("A=/s/env:/s/env/inner/x:/s/env2", "A=LOCAL/0:LOCAL/1/x:/s/env2"),
        ("'/s/env' file:///s/env", "'LOCAL/0' file://LOCAL/0"),
        ("/s/env-old /s/env.bak /s/environment /x/s/env", "/s/env-old /s/env.bak /s/environment /x/s/env"),
        ("/other", "LOCAL/1"),
    ],
)
def test_texts(text, wanted, tmp_path):
    assert rename(text, tmp_path) == wanted


def test_a_long_first_line():
    short = b"#!/a/bin/python\nprint()\n"
    assert first_line(short) == short
    python = b"/" + b"a" * 200 + b"/bin/python3"
    assert first_line(b"#!" + python + b" -I\nprint()\n") == (
        b"#!/bin/sh\n'''exec' \"" + python + b'" -I "$0" "$@"\n' + b"' '''\nprint()\n"
    )
    no_python = b"#!/" + b"a" * 200 + b"/bin/perl\n"
    assert first_line(no_python) == no_python


def test_strings_of_conda_stay_where_they_are():
    kept = 40
    string = b"/s/env/lib:/s/env/share"
    content = b"\x7fELF" + b"\0" + string + b"\0" * (2 * (kept - 6) + 1) + b"next\0"
    changed = padded(content, b"/s/env", b"/local/longer", kept, "lib/x.so")
    assert len(changed) == len(content)
    assert b"\0/local/longer/lib:/local/longer/share\0" in changed
    assert changed.endswith(b"\0next\0")


@pytest.mark.parametrize(
    ("new", "content"), [(b"/" + b"x" * 50, b"/s/env\0" * 9), (b"/longer/path", b"/s/env/lib\0after\0")]
)
def test_no_room_for_another_path(new, content):
    with pytest.raises(SharedError, match="room"):
        padded(content, b"/s/env", new, 40, "lib/x.so")
