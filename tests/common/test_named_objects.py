"""Objects given as `module:name`."""

from __future__ import annotations

import pathlib

import pytest

from curator_slurm.common.named_objects import NoSuchNameError, import_named


def test_objects_by_name() -> None:
    assert import_named("pathlib:Path") is pathlib.Path
    assert import_named("pathlib:Path.home") == pathlib.Path.home


@pytest.mark.parametrize("entry", ["pathlib", "pathlib:", ":Path", ""])
def test_what_is_no_name(entry: str) -> None:
    with pytest.raises(ValueError, match="must be module:name"):
        import_named(entry)


def test_what_is_not_there() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_named("no_such_module_of_ours:x")
    with pytest.raises(NoSuchNameError, match=r"pathlib has no 'Pat'; did you mean 'Path'\?"):
        import_named("pathlib:Pat")
