"""A conda environment that a real implementation of conda has linked, from a package made here."""

import asyncio
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from curator_slurm.launcher.staging.software import Kind, Root

rattler = pytest.importorskip("rattler", reason="py-rattler, of the extra dev, is not installed")

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.base_prefix == "/usr", reason="no Python that can be moved")]
PLACEHOLDER = "/" + "_h_env_placehold" * 15
TOOL = f"#!{PLACEHOLDER}/bin/python\nimport sys\nprint(sys.prefix)\n".encode()
STRINGS = b"\x7fELF\0" + f"{PLACEHOLDER}/lib:{PLACEHOLDER}/share".encode() + b"\0after\0"


def contents():
    """Name -> file of the package: an interpreter, a script, and a binary file with paths in it."""
    base = Root(Kind.BASE, (sys.base_prefix,), f"{sys.version_info[0]}.{sys.version_info[1]}")
    for path in sorted(Path(base.path).rglob("*")):
        name = str(path.relative_to(base.path))
        is_needed = name.startswith("lib/") and "__pycache__" not in name and base.takes(name)
        if is_needed and path.is_file() and not path.is_symlink():
            yield name, path.read_bytes(), None
    yield "bin/python", Path(sys.base_prefix, f"bin/python{base.version}").read_bytes(), None
    yield "bin/tool", TOOL, "text"
    yield "lib/strings.so", STRINGS, "binary"


def make_package(folder):
    paths = []
    folder.mkdir(parents=True)
    with tarfile.open(folder / "demo-1.0-0.tar.bz2", "w:bz2", compresslevel=1) as tar:

        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))

        for name, content, mode in contents():
            add(name, content)
            found = {"_path": name, "path_type": "hardlink", "size_in_bytes": len(content)}
            found["sha256"] = hashlib.sha256(content).hexdigest()
            paths.append({**found, "prefix_placeholder": PLACEHOLDER, "file_mode": mode} if mode else found)
        about = {"name": "demo", "version": "1.0", "build": "0", "build_number": 0, "depends": [], "subdir": "linux-64"}
        add("info/index.json", json.dumps(about).encode())
        add("info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())


async def link(channel, prefix, cache):
    from rattler.index import index_fs

    await index_fs(channel)
    platforms = [rattler.Subdir("linux-64")]
    records = await rattler.solve([rattler.Channel(channel.as_uri())], ["demo"], platforms=platforms)
    await rattler.install(records, target_prefix=prefix, cache_dir=cache, show_progress=False)


def test_a_conda_environment_is_at_home_in_its_copy(tmp_path, node, pack):
    make_package(tmp_path / "channel/linux-64")
    (tmp_path / "channel/noarch").mkdir()
    prefix = tmp_path / "envs/demo"
    asyncio.run(link(tmp_path / "channel", prefix, tmp_path / "cache"))
    assert subprocess.check_output([prefix / "bin/tool"], text=True).strip() == str(prefix)
    archive = pack(prefix / "bin/python")
    code, after, said = node.call(archive, env={"CONDA_PREFIX": str(prefix)})
    assert code == 0, said
    local = node.place / archive.name / "0"
    assert after["CONDA_PREFIX"] == str(local)
    shutil.rmtree(prefix)
    assert subprocess.check_output([local / "bin/tool"], text=True).strip() == str(local)
    strings = (local / "lib/strings.so").read_bytes()
    assert len(strings) == len(STRINGS)
    assert strings.startswith(b"\x7fELF\0" + f"{local}/lib:{local}/share".encode() + b"\0")
    assert strings.endswith(b"\0after\0")
