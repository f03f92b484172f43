"""The folders in which runs are looked for: the default one, and every other that this user has submitted to."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.common.plain_files import read_plain

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.registry import Run


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where runs go unless the spec says otherwise."""
    given = environ.get("CURATOR_SLURM_RUNS")
    if not given:
        return Path.home() / "curator-slurm" / "runs"
    if given.startswith("~"):  # mostly the shell has replaced it; completion has no time for what reads records
        from curator_slurm.launcher.files import expanded

        return expanded(given).absolute()
    return Path(given).absolute()


def _index_file(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "curator-slurm" / "runs-folders"


def known_folders(environ: Mapping[str, str]) -> list[Path]:
    """Every folder that this user has submitted to, that of this shell first."""
    return list(dict.fromkeys([default_folder(environ), *_lasting_folders(environ)]))


def _lasting_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where every shell of this user looks for runs, whatever its CURATOR_SLURM_RUNS is."""
    folders = [default_folder({})]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        folders += [Path(line) for line in read_plain(_index_file(environ), 1 << 20).decode().splitlines() if line]
    return folders


def remember_folder(folder: Path, environ: Mapping[str, str]) -> None:
    """Let later commands find runs in `folder`; best effort, see `reference`."""
    if folder in _lasting_folders(environ):
        return
    index = _index_file(environ)
    with contextlib.suppress(OSError):
        index.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with index.open("a", encoding="utf-8") as stream:
            stream.write(f"{folder}\n")


def reference(run: Run, environ: Mapping[str, str]) -> str:
    """What commands can call a run in another shell: its id, or its path where its folder could not be remembered."""
    import shlex

    root = run.paths.root
    return run.run_id if root.parent.parent in _lasting_folders(environ) else shlex.quote(str(root))
