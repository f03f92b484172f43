"""A part of the suite as an ordinary user where root runs it: root is never denied anything."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import scratch

TESTS = Path(__file__).parent
AS_THEY_ARE = ("launcher/cli/test_cli_main.py", "launcher/runs", "launcher/inputs/test_filelist.py")
"""Tests beside those marked `ordinary_user`: what a user's first run goes through."""
ALIKE_FOR_ALL = ("any_operation", "of_many_at_once", "test_manifest.py")
"""Of these, crashes, full storage, races and sheer length, which mean the same to root."""


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests are run by an ordinary user already")
def test_as_an_ordinary_user():
    marked = [path for path in TESTS.rglob("test_*.py") if "pytest.mark.ordinary_user" in path.read_text("utf-8")]
    marked.remove(Path(__file__))
    assert marked
    with tempfile.TemporaryDirectory(prefix="ordinary-", dir=os.environ.get(scratch.PLACE, "/tmp")) as folder:
        command = ["unshare", "--mount", sys.executable, str(TESTS / "as_ordinary_user.py"), folder]
        command += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += map(str, [*marked, *(TESTS / part for part in AS_THEY_ARE)])
        command += ["-k", " and ".join(f"not {name}" for name in ALIKE_FOR_ALL)]
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        done = subprocess.run(command, env=outside, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 50
