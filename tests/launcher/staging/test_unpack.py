"""The program of the nodes, as their shells call it, with real environments."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curator_slurm.common.staged_paths import STAGED, staged_path


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """Made by venv, with a script and an editable package."""
    folder = tmp_path_factory.mktemp("shared")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (folder / "project").mkdir()
    (folder / "project/editable.py").write_text("")
    _fill(folder / "venv", folder / "project")
    return folder / "venv"


@pytest.fixture(scope="module")
def uv_venv(tmp_path_factory):
    """Made by uv."""
    folder = tmp_path_factory.mktemp("uv")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, folder / "venv"], check=True)
    _fill(folder / "venv", folder)
    return folder / "venv"


def _fill(venv, project):
    packages = next(venv.glob("lib/python3*/site-packages"))
    (packages / "here.py").write_text("")
    (packages / "project.pth").write_text(f"{project}\n")
    script = venv / "bin/tool"
    script.write_text(f"#!{venv}/bin/python\nimport sys\nprint(sys.prefix)\n")
    script.chmod(0o755)


def run(python, text, **env):
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, check=True, env={**os.environ, **env})
    return done.stdout.strip()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["venv", "uv_venv"])
def test_an_environment_is_at_home_in_its_copy(kind, request, node, pack):
    source = request.getfixturevalue(kind)
    archive = pack(source / "bin/python")
    given = {"VIRTUAL_ENV": str(source), "PATH": f"{source}/bin:/usr/bin:/bin"}
    code, after, said = node.call(archive, env=given)
    assert code == 0, said
    local = node.place / archive.name / "0"
    assert after["python"] == f"{local}/bin/python"
    assert after["VIRTUAL_ENV"] == str(local)
    assert after["PATH"] == f"{local}/bin:/usr/bin:/bin"
    seen = run(after["python"], "import sys, os, here; print(sys.prefix, here.__file__, os.__file__, sys.base_prefix)")
    prefix, here, stdlib, _ = seen.split()
    assert prefix == str(local)
    assert here.startswith(str(local))
    if not sys.base_prefix.startswith("/usr"):
        assert stdlib.startswith(str(node.place))
    shutil.move(source, source.with_name("away"))
    try:
        assert subprocess.check_output([local / "bin/tool"], text=True).strip() == str(local)
        activated = f". {local}/bin/activate && python -c 'import sys; print(sys.prefix)'"
        assert subprocess.check_output(["bash", "-c", activated], text=True).strip() == str(local)
    finally:
        shutil.move(source.with_name("away"), source)
    told = json.loads(after[STAGED])
    assert told["how"] == "unpacked"
    assert staged_path(source / "bin", after) == f"{local}/bin"
    code, after, _ = node.call(archive)
    assert json.loads(after[STAGED])["how"] == "reused"


@pytest.mark.long
def test_an_editable_package_stays_where_it_is(venv, node, pack):
    code, after, said = node.call(pack(venv / "bin/python"))
    assert code == 0, said
    seen = run(after["python"], "import editable; print(editable.__file__)")
    assert seen == str(venv.parent / "project/editable.py")


@pytest.mark.long
def test_one_that_is_staged_with_it_does_not(venv, node, pack):
    code, after, said = node.call(pack(venv / "bin/python", [venv.parent / "project"]))
    assert code == 0, said
    assert run(after["python"], "import editable; print(editable.__file__)").startswith(str(node.place))


def test_data_alone(models, node, pack, tmp_path):
    archive = pack(None, [models])
    code, after, said = node.call(archive, env={"HF_HOME": f"{models}/hub", "OTHER": f"{models}2"})
    assert code == 0, said
    local = node.place / archive.name / "0"
    assert (local / "weights").read_text() == "weights\n"
    assert (local / "far").read_text() == "far\n"
    assert (local / "folder").resolve() == tmp_path / "shared/elsewhere/folder"
    assert set(after) == {STAGED, "HF_HOME"}
    assert after["HF_HOME"] == f"{local}/hub"


@pytest.mark.parametrize("in_image", [False, True])
def test_a_node_without_programs(models, node, pack, in_image):
    """Neither zstd nor tar: its Python has gzip, and zstd by pyarrow."""
    archive = pack(None, [models], in_image=in_image)
    kind = "gz" if in_image else "zst"
    assert (archive / f"archive.tar.{kind}").is_file()
    code, _, said = node.call(archive, env={"PATH": "/nonexistent"})
    assert code == 0, said
    assert (node.place / archive.name / "0/blobs/abc").read_text() == "weights\n"


def damaged(node, archive, models):
    shutil.rmtree(node.place / archive.name / "0/blobs")


def unfinished(node, archive, models):
    (node.place / archive.name / "done.json").unlink()


def rebooted(node, archive, models):
    path = node.place / archive.name / "done.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))


def emptied(node, archive, models):
    (node.place / archive.name / "0/blobs/abc").write_text("")


@pytest.mark.parametrize("harm", [damaged, unfinished, rebooted, emptied])
def test_a_copy_that_is_not_whole_is_made_again(models, node, pack, harm):
    archive = pack(None, [models])
    node.call(archive)
    harm(node, archive, models)
    code, after, said = node.call(archive)
    assert code == 0, said
    assert json.loads(after[STAGED])["how"] == "unpacked"
    assert (node.place / archive.name / "0/weights").read_text() == "weights\n"


@pytest.mark.long
def test_a_killed_unpacking_is_repaired(tmp_path, node, pack):
    """Killed while it unpacks: nobody finds the half of it, and the next one removes that."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3000):
        (data / f"{number}").write_bytes(os.urandom(1000))  # so that half of the archive is half of the files
    archive = pack(None, [data])
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    real = archive / "archive.tar.zst"
    kept = real.read_bytes()
    real.unlink()
    real.symlink_to(fifo)
    command = [sys.executable, "-c", f"import os; os.setsid(); {_CALL}", str(archive), str(node.place)]
    node.place.mkdir(mode=0o700, parents=True)
    process = subprocess.Popen(command)
    try:
        with open(fifo, "wb", buffering=0) as stream:
            stream.write(kept[: len(kept) // 2])
            _wait(lambda: list(node.place.glob(".new-*/0/1*")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (node.place / archive.name).exists()
    real.unlink()
    real.write_bytes(kept)
    code, _, said = node.call(archive)
    assert code == 0, said
    assert len(list((node.place / archive.name / "0").iterdir())) == 3000
    assert not list(node.place.glob(".new-*"))


_CALL = """
import sys; sys.path.insert(0, "")
archive, place = sys.argv[1:]
lock = os.open(f"{place}/{os.path.basename(archive)}.lock", os.O_RDWR | os.O_CREAT)
os.set_inheritable(lock, True)
os.execv(sys.executable, [sys.executable, "-I", "-S", f"{archive}/unpack.pyz", "--archive", archive, "--place", place,
    "--lock", str(lock), "--days", "14", "--most", str(1 << 40)])
"""


def _wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.long
def test_several_at_once_unpack_once(models, node, pack):
    archive = pack(None, [models])
    node.place.mkdir(mode=0o700, parents=True)
    command = [sys.executable, "-c", f"import os; {_CALL}", str(archive), str(node.place)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = [process.communicate()[0] for process in processes]
    assert sum('"how": "unpacked"' in text for text in said) == 1
    assert sum('"how": "reused"' in text for text in said) == 5


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--room", "4096"], "allowed in"), (["--most", "4096"], "allowed in")],
)
def test_no_room_is_shared_storage(models, node, pack, arguments, why):
    archive = pack(None, [models])
    code, after, said = node.call(archive, *arguments)
    assert code == 3
    assert set(after) == {STAGED}
    assert why in json.loads(after[STAGED])["why"]
    assert "used from shared storage" in said
    assert not (node.place / archive.name).exists()
    assert staged_path(models, after) == str(models)


def test_a_folder_that_others_may_write_is_not_used(models, node, pack):
    archive = pack(None, [models])
    node.call(archive)
    node.place.chmod(0o770)
    code, after, _ = node.call(archive)
    assert code == 3
    assert "closed to others" in json.loads(after[STAGED])["why"]
    node.place.chmod(0o700)
    node.local.chmod(0o777)
    assert "sticky" in json.loads(node.call(archive)[1][STAGED])["why"]
    node.local.chmod(0o1777)
    assert node.call(archive)[0] == 0


def test_an_archive_that_others_may_write_is_not_used(models, node, pack):
    archive = pack(None, [models])
    (archive / "index.json").chmod(0o666)
    code, after, _ = node.call(archive)
    assert code == 3
    assert "written by others" in json.loads(after[STAGED])["why"]


def test_old_and_unused_copies_go(models, node, pack):
    first = pack(None, [models])
    node.call(first)
    (models / "more").write_text("more")
    second = pack(None, [models])
    assert second != first
    node.call(second)
    assert (node.place / first.name).is_dir()
    os.utime(node.place / first.name / "done.json", (1, 1))
    node.call(second)
    assert not (node.place / first.name).exists()
    assert sorted(path.name for path in node.place.iterdir()) == [second.name, f"{second.name}.lock"]


def test_the_oldest_copies_go_where_there_are_too_many_bytes(models, node, pack):
    first = pack(None, [models])
    node.call(first)
    (models / "more").write_text("more")
    second = pack(None, [models])
    room = json.loads((second / "index.json").read_text())["room"]
    code, _, said = node.call(second, most=room + 1000)
    assert code == 0, said
    assert not (node.place / first.name).exists()


def test_a_copy_that_is_used_stays(models, node, pack):
    import fcntl

    first = pack(None, [models])
    node.call(first)
    (models / "more").write_text("more")
    second = pack(None, [models])
    os.utime(node.place / first.name / "done.json", (1, 1))
    with open(node.place / f"{first.name}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        node.call(second)
        assert (node.place / first.name).is_dir()
        node.call(first, "--release")
        assert (node.place / first.name).is_dir()
    node.call(first, "--release")
    assert not (node.place / first.name).exists()


def test_a_run_that_keeps_nothing_leaves_others_copies(models, node, pack):
    first = pack(None, [models])
    node.call(first)
    (models / "more").write_text("more")
    second = pack(None, [models])
    node.call(second, days=0)
    node.call(second, "--release", days=0)
    assert sorted(path.name for path in node.place.iterdir()) == [first.name, f"{first.name}.lock"]
