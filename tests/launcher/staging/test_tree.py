"""The key of what is staged: another one for every change that a copy must show, and the same for what it need not."""

import os
import shutil

import pytest

from curator_slurm.launcher.staging.software import roots_of
from curator_slurm.launcher.staging.tree import tree_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data/inner/__pycache__").mkdir(parents=True)
    (tmp_path / "data/file").write_text("text")
    (tmp_path / "data/inner/module.py").write_text("a = 1")
    (tmp_path / "data/link").symlink_to("file")
    return tmp_path / "data"


def key(folder):
    return tree_of(roots_of(None, [str(folder)])).key


def rewritten_with_its_old_time(folder):
    old = (folder / "file").stat()
    (folder / "file").write_text("TEXT")
    os.utime(folder / "file", ns=(old.st_atime_ns, old.st_mtime_ns))


def replaced_by_a_file_of_two_names(folder):
    """As uv and conda do it from their caches."""
    old = (folder / "file").stat()
    (folder.parent / "cached").write_text("TEXT")
    os.utime(folder.parent / "cached", ns=(old.st_atime_ns, old.st_mtime_ns))
    (folder / "file").unlink()
    os.link(folder.parent / "cached", folder / "file")


CHANGES = [
    rewritten_with_its_old_time,
    replaced_by_a_file_of_two_names,
    lambda folder: (folder / "new").touch(),
    lambda folder: (folder / "inner/new").mkdir(),
    lambda folder: (folder / "file").unlink(),
    lambda folder: (folder / "file").chmod(0o700),
    lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("inner/module.py")),
    lambda folder: (folder / "inner").rename(folder / "other"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_has_another_key(folder, change):
    before = key(folder)
    change(folder)
    assert key(folder) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: None,
        lambda folder: (folder / "inner/__pycache__/module.cpython-311.pyc").write_text("compiled"),
        lambda folder: os.utime(folder / "inner"),
    ],
)
def test_what_changes_nothing_has_the_same_key(folder, change):
    before = key(folder)
    change(folder)
    assert key(folder) == before


def test_another_name_of_a_cached_file_is_no_change(folder):
    os.link(folder / "file", folder.parent / "in-the-cache")
    before = key(folder)
    os.link(folder / "file", folder.parent / "in-another-environment")
    assert key(folder) == before


def test_a_copy_elsewhere_is_another(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    assert key(folder) != key(tmp_path / "copy")


def test_what_cannot_be_seen_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        key(tmp_path / "missing")


def test_links_and_editable_packages(models, tmp_path):
    """A link inside stays one, a file elsewhere is copied, a folder elsewhere is named."""
    tree = tree_of(roots_of(None, [str(models)]))
    entries = {entry.place: entry for entry in tree.entries}
    assert entries["0/weights"].target == "blobs/abc"
    assert entries["0/far"].source == str(tmp_path / "shared/elsewhere/file")
    assert entries["0/folder"].target == str(tmp_path / "shared/elsewhere/folder")
    assert tree.outside == (str(tmp_path / "shared/elsewhere/folder"),)
    assert tree.files == 2


def test_a_folder_in_another_is_copied_once(models):
    tree = tree_of(roots_of(None, [str(models), str(models / "blobs")]))
    places = [entry.place for entry in tree.entries]
    assert "1/abc" in places
    assert "0/blobs/abc" not in places
    assert {entry.place: entry.target for entry in tree.entries}["0/weights"] == "../1/abc"
