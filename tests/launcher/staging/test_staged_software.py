"""Which folders are an interpreter's software."""

import sys

import pytest

from curator_slurm.launcher.staging.software import Kind, Root, is_of_system, place_in, roots_of


def make(folder, settings=None, *, conda=False):
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin/python"
    python.touch()
    if conda:
        (folder / "conda-meta").mkdir()
    if settings is not None:
        (folder / "pyvenv.cfg").write_text(settings)
    return python


def test_a_venv_and_its_base(tmp_path):
    base = make(tmp_path / "base")
    python = make(tmp_path / "venv", f"home = {base.parent}\nversion = 3.12.4\n")
    venv, below = roots_of(str(python))
    assert (venv.kind, venv.path) == (Kind.VENV, str(tmp_path / "venv"))
    assert (below.kind, below.path, below.version, below.whole) == (Kind.BASE, str(tmp_path / "base"), "3.12", False)


def test_a_venv_of_the_systems_python(tmp_path):
    python = make(tmp_path / "venv", "home = /usr/bin\nversion_info = 3.11.2.final.0\n")
    assert [root.kind for root in roots_of(str(python))] == [Kind.VENV]


def test_conda_a_python_of_its_own_and_the_systems(tmp_path):
    assert [root.kind for root in roots_of(str(make(tmp_path / "c", conda=True)))] == [Kind.CONDA]
    assert [root.kind for root in roots_of(str(make(tmp_path / "p")))] == [Kind.PYTHON]
    assert roots_of("/usr/bin/python3") == []


def test_the_tests_own_environment():
    assert roots_of(sys.executable)[0].path == sys.prefix


def test_both_names_of_a_folder_behind_a_link(tmp_path):
    python = make(tmp_path / "real", "home = /usr/bin\nversion = 3.11\n")
    (tmp_path / "link").symlink_to("real")
    (root,) = roots_of(str(tmp_path / "link/bin/python"))
    assert root.names == (str(tmp_path / "link"), str(tmp_path / "real"))
    assert place_in([root], str(python)) == "0/bin/python"
    assert place_in([root], str(tmp_path / "link")) == "0"
    assert place_in([root], str(tmp_path / "link2")) is None


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("bin/python3.12", True),
        ("bin/jupyter", False),
        ("lib/libssl.so.3", True),
        ("lib/python3.12/os.py", True),
        ("lib/python3.12/site-packages", False),
        ("lib/python3.12/test", False),
        ("lib/python3.12/unittest", True),
        ("lib/python3.11/os.py", False),
        ("share", False),
        ("pkgs", False),
    ],
)
def test_what_is_taken_of_a_base(path, taken):
    assert Root(Kind.BASE, ("/b",), "3.12").takes(path) is taken


def test_the_base_of_a_venv_that_sees_its_packages():
    assert Root(Kind.BASE, ("/b",), "3.12", whole=True).takes("lib/python3.12/site-packages/numpy")


@pytest.mark.parametrize(
    ("path", "known"), [("/usr/local", True), ("/", True), ("/users/me", False), ("/opt/py", False)]
)
def test_folders_of_the_system(path, known):
    assert is_of_system(path) is known
