"""Software on "shared storage", and a node that copies it."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from curator_slurm.launcher.staging import store
from curator_slurm.launcher.staging.software import roots_of
from curator_slurm.launcher.staging.tree import tree_of


@dataclass
class Node:
    """A node's own disk, and how its shell calls the program beside an archive."""

    local: Path

    @property
    def place(self):
        return self.local / "cs-staged-1"

    def call(self, archive, *arguments, env=None, before=(), days=14, most=1 << 40):
        """The program's exit code, and what the shell has afterwards: variables, and `python`."""
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.place / f"{archive.name}.lock", "a") as lock:
            command = [*before, sys.executable, "-I", "-S", archive / "unpack.pyz", "--archive", archive]
            command += ["--place", self.place, "--lock", str(lock.fileno()), "--days", str(days), "--most", str(most)]
            done = subprocess.run(
                [*command, *arguments],
                pass_fds=[lock.fileno()],
                env={**os.environ, **(env or {})},
                capture_output=True,
                text=True,
                check=False,
            )
        return done.returncode, self._after(done.stdout), done.stderr

    @staticmethod
    def _after(text):
        found = {}
        for word in shlex.split(text):
            name, sign, value = word.partition("=")
            if sign:
                found[name] = value
        return found


@pytest.fixture
def node(tmp_path):
    """A node with an empty disk."""
    return Node(tmp_path / "local")


@pytest.fixture
def runs_folder(tmp_path):
    """Where archives are kept."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def pack(runs_folder):
    """Packs the software of an interpreter, or folders of data, and gives the archive's folder."""

    def do(python=None, data=(), **options):
        tree = tree_of(roots_of(str(python) if python else None, [str(each) for each in data]))
        return store.pack(runs_folder, tree, str(python) if python else None, **options).folder

    return do


@pytest.fixture
def models(tmp_path):
    """A folder of data with a link inside, one to a file elsewhere, and one to a folder elsewhere."""
    folder = tmp_path / "shared/models"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs/abc").write_text("weights\n")
    (folder / "weights").symlink_to("blobs/abc")
    elsewhere = tmp_path / "shared/elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "file").write_text("far\n")
    (folder / "far").symlink_to(elsewhere / "file")
    (folder / "folder").symlink_to(elsewhere / "folder")
    return folder
