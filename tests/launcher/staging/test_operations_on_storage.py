"""How many operations on names of shared storage a node needs: a few, whatever the number of files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (make packages)"),
]
FEW, MANY = 200, 20_000
IMPORTED = 100


def environment(folder, files):
    """A virtual environment with so many modules."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    many = next(folder.glob("lib/python3*/site-packages")) / "many"
    many.mkdir()
    (many / "__init__.py").touch()
    for number in range(files):
        (many / f"m{number}.py").write_text(f"NUMBER = {number}\n")
    return folder / "bin/python"


def operations(traced: Path, shared) -> list[str]:
    """The calls that name something below these folders."""
    lines = traced.read_text(errors="replace").splitlines()
    return [line for line in lines if any(f'"{folder}' in line for folder in shared)]


def strace(output):
    return ["strace", "-f", "-qq", "-e", "trace=%file,getdents64", "-o", str(output)]


@pytest.mark.parametrize("again", [False, True])
def test_nodes_need_as_many_operations_for_20000_files_as_for_200(tmp_path, node, pack, again):
    counts = {}
    for files in (FEW, MANY):
        archive = pack(environment(tmp_path / f"shared/{files}", files))
        if again:
            node.call(archive)
        output = tmp_path / f"{files}.strace"
        code, after, said = node.call(archive, before=strace(output))
        assert code == 0, said
        shared = [tmp_path / "shared", tmp_path / "runs"]
        counts[files] = len(operations(output, shared))
        imports = tmp_path / f"{files}.imports"
        work = f"import importlib\nfor n in range({IMPORTED}): importlib.import_module(f'many.m{{n}}')\n"
        subprocess.run([*strace(imports), after["python"], "-c", work], check=True, env={"PATH": os.environ["PATH"]})
        assert operations(imports, shared) == []
        assert len(re.findall(r"/many/m\d+\.", imports.read_text())) >= IMPORTED  # it was traced
    print(f"operations of a node on names of shared storage: {counts}")
    assert counts[FEW] == counts[MANY] < 60
