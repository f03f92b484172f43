"""Objects given as `module:name`."""

from __future__ import annotations

import pathlib
import sys

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


def test_a_file_that_another_module_hides_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("code", "time"):
        (tmp_path / f"{name}.py").write_text("class Mine: pass")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(
        NoSuchNameError,
        match=rf"code has no 'Mine'; it is .*code\.py, and "
        rf"{tmp_path}/code\.py is not seen",
    ):
        import_named("code:Mine")
    with pytest.raises(NoSuchNameError, match=rf"it is built into Python, and {tmp_path}/time\.py is not seen"):
        import_named("time:Mine")
