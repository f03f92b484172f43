"""pytest plug-in: `tmp_path` is in memory where there is room for it.

What the launcher writes it syncs, some hundred thousand times in a suite: on a disk each takes milliseconds, in which
no processor works. Of what a run's files survive, the real Slurm's tests show something: theirs are on a disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ROOM = 1 << 30
"""What must be free there: all tests leave a tenth of it, and pytest keeps those of three sessions."""
PLACE = "PYTEST_DEBUG_TEMPROOT"
"""Where pytest has the folders of its sessions; a user's own choice stands, as `TMPDIR` and `--basetemp` do."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    if "TMPDIR" not in os.environ and has_room(MEMORY):
        os.environ.setdefault(PLACE, str(MEMORY))


@pytest.fixture
def outside_memory() -> Iterator[Path]:
    """A folder for tests of what may be written where: everybody may write to /dev."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


def has_room(folder: Path) -> bool:
    """Whether tests can write there and start what they wrote: containers have 64 MB of it, and run nothing there."""
    try:
        system = os.statvfs(folder)
    except OSError:
        return False
    takes_programs = not system.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return takes_programs and system.f_bavail * system.f_frsize >= ROOM and os.access(folder, os.W_OK | os.X_OK)
