"""The wheel holds exactly what the tree holds: an unlisted sub-package is there in editable installs only."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "launcher", "executors", "slurm_templates")
DATA = (".py", ".j2", ".sh", ".yaml", ".css", ".js", ".md")
OTHERS = ("py.typed", "LICENSE", "NOTICE", "LICENSE-d3")


def tree():
    """What must be in a wheel."""
    found = {
        f"curator_slurm/{path.relative_to(ROOT)}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in DATA or path.name in OTHERS
    }
    own = {f"curator_slurm/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}
    return own | found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the tree, so that building leaves nothing behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "curator_slurm", source / "curator_slurm", symlinks=True)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    (source / "README.md").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(sign in done.stderr for sign in ("No matching distribution", "Connection", "resolve")):
        pytest.skip("the build needs setuptools from the package index, which cannot be reached")
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("curator_slurm-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_tree_and_no_other(wheel):
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == tree()


def test_the_command_and_the_licence(wheel):
    [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "curator-slurm = curator_slurm.launcher.cli:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def test_the_version_is_that_of_the_package(wheel):
    from curator_slurm.launcher import __version__

    [metadata] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    assert f"\nVersion: {__version__}\n" in wheel.read(metadata).decode()
