"""Other files for shards that are submitted again: changed ones as they are now, and some left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.in_words import several
from curator_slurm.launcher.errors import StorageError, UsageError
from curator_slurm.launcher.inputs.address import show
from curator_slurm.launcher.runs.manifest import read_shard
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.changes import InputChange, as_found, check_inputs

_SHOWN = 10
_LOOKED_AT = 1000


@dataclass(frozen=True)
class InputRevision:
    """What the user wants: files that have changed since they were planned, as they are; files to leave out."""

    accept_changed: bool = False
    skip: Sequence[str] = ()

    @property
    def is_wanted(self) -> bool:
        return self.accept_changed or bool(self.skip)


def revised(run: RunPaths, shards: Sequence[int], wanted: InputRevision) -> list[Shard]:
    """Those of these shards whose files are other ones now; nothing is written.

    Raises:
        StorageError: a file is gone or cannot be read.
        UsageError: a file to leave out is in none of the shards, or nothing has changed.
    """
    if not wanted.is_wanted:
        return []
    planned = [read_shard(run.manifest, shard) for shard in shards]
    skip = _skipped(planned, wanted.skip)
    found, gone = [], []
    for shard in planned:
        left_out = tuple(file.path for file in shard.files if file.path in skip)
        files = [file for file in shard.files if file.path not in skip]
        now = [as_found(file) for file in files] if wanted.accept_changed else list(files)
        gone += [each for each in now if isinstance(each, InputChange)]
        new = Shard(
            shard.index, tuple(each for each in now if not isinstance(each, InputChange)), (*shard.skipped, *left_out)
        )
        if new != shard:
            found.append(new)
    if gone:
        raise StorageError(_gone(gone))
    if not found:
        raise UsageError(
            "no input file of these shards has changed since it was planned: --accept-changed-input has nothing to "
            "accept. Leave it out to submit them again as they are"
        )
    return found


def unaccepted(run: RunPaths, shards: Sequence[int], wanted: InputRevision) -> list[str]:
    """What to say of files that are not as planned, which the job would refuse, where nobody has accepted that.

    It looks at the first thousand, on this machine's file systems; the job looks at all.
    """
    if wanted.accept_changed:
        return []
    found: list[InputChange] = []
    room = _LOOKED_AT
    with suppress(StorageError):  # whoever needs the manifest says what is wrong with it
        for index in shards:
            shard = read_shard(run.manifest, index)
            local = [file for file in shard.files if not is_remote(file.path) and file.path not in wanted.skip]
            found += check_inputs(Shard(shard.index, tuple(local[:room])))
            room -= len(local)
            if room <= 0:
                break
    if not found:
        return []
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    return [
        f"the job will refuse {several(len(found), 'input file')}: {', '.join(map(str, found[:3]))}{more}. "
        "--accept-changed-input takes files as they are now, --skip-file leaves one out"
    ]


def _skipped(planned: Sequence[Shard], skip: Sequence[str]) -> set[str]:
    """The files to leave out, as planned; a path may be relative to the current directory."""
    known = {file.path for shard in planned for file in shard.files} | {p for shard in planned for p in shard.skipped}
    found = set()
    for path in skip:
        whole = path if path in known else os.path.abspath(path)  # noqa: PTH100 (links as planned)
        found.add(whole)
        if whole not in known:
            close = get_close_matches(path, known, n=1)
            hint = f"; did you mean {show(close[0])}?" if close else "; it takes the path as `plan` lists it"
            raise UsageError(f"--skip-file: {show(path)} is in none of the shards that would be submitted again{hint}")
    return found


def _gone(gone: Sequence[InputChange]) -> str:
    more = [f"  and {len(gone) - _SHOWN:,} more"] if len(gone) > _SHOWN else []
    return "\n".join(
        [
            "these input files cannot be read as they are now:",
            *(f"  {each}" for each in gone[:_SHOWN]),
            *more,
            "Restore them, or leave them out with --skip-file PATH",
        ]
    )
