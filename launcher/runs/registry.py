"""The registry of runs: their records, their directories, and how users name them.

A run directory is written whole beside its place and then renamed, so a half-made run never shows. Looking for
runs never fails on a directory that is damaged, foreign or not a run.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator_slurm.common.atomic_files import sync_folder, write_atomic
from curator_slurm.common.json_fields import checked, made
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.errors import RunNotFoundError, StorageError
from curator_slurm.launcher.files import expanded, is_there, read_json, write_json
from curator_slurm.launcher.runs import owners
from curator_slurm.launcher.runs.manifest import check_count, write_manifest
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.run_folders import RUN_ID, parents_of, run_directories, user
from curator_slurm.launcher.runs.shard_records import MOST_SHARDS, Shard

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.user_code import Code

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else
SCHEMA = 2
"""Of run directories. In those of schema 1, runs without `shards` had neither submissions nor elements."""
_JOB_ID = re.compile(r"[0-9]+(?:_[0-9]+)?|local-[0-9]+-[0-9]+")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """run.json: who submitted what, and when. Of its submissions it has the job ids alone, by which runs are found."""

    run_id: str
    name: str
    user: str = ""
    host: str = ""
    version: str = ""
    cluster: str = "slurm"
    created: float = 0.0
    plan_sha256: str = ""
    spec_path: str = ""
    output_path: str = ""
    """Where the outputs go; empty for the run directory."""
    array: bool = False
    """Whether it is submitted as job arrays, because the spec has `shards`; else it has one shard."""
    shards: int = 1
    list_sha256: str = ""
    """Checksum of the list of its input, where that alone says what the input is: nobody need list it again."""
    job_ids: tuple[str, ...] = ()
    cancelled: float | None = None
    purge_days: int | None = None
    """Days after which the site deletes unused files where the run is (storage.purge_days); None: not known."""
    poll_s: float = 0.0
    """The least time between two queries of Slurm by its user, as the site had it (`limits.poll_s`)."""
    schema: int = SCHEMA

    @property
    def is_local(self) -> bool:
        return self.cluster == "local"

    def to_json(self) -> dict[str, Any]:
        """The content of run.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> RunRecord:
        """Read run.json; keys of later versions are ignored, a wrong shape is a ValueError."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"it is not a JSON object with schema {SCHEMA}")
        record = made(cls, checked(cls, data))
        if 1 <= record.shards <= MOST_SHARDS:
            return record
        raise ValueError(f"a run has 1 to {MOST_SHARDS:,} shards, not {record.shards:,}")


@dataclass(frozen=True)
class Run:
    """A run directory and its record; `problem` says why there is no record."""

    paths: RunPaths
    record: RunRecord | None = None
    problem: str = ""

    @property
    def run_id(self) -> str:
        return self.paths.run_id

    @property
    def name(self) -> str:
        return self.record.name if self.record else self.paths.root.parent.name


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """What a run directory is made of."""

    name: str
    cluster: str
    spec_path: str
    spec_text: str
    plan_text: str
    plan_sha256: str
    script: str
    secret_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    output_path: str = ""
    array: bool = False
    poll_s: float = 0.0
    shards: Sequence[Shard] = field(default=(Shard(0, ()),), repr=False)
    list_sha256: str = ""
    code: Code | None = None
    purge_days: int | None = None
    travels: bool = False
    """Whether our package goes with the run, because its nodes may not have it."""


# Making and changing runs


def new_run_id(now: float) -> str:
    """A run id: local time, so that ids sort by it, and four random characters."""
    import secrets

    tail = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{tail}"


def run_comment(run_id: str, users: str = "", number: int = 0) -> str:
    """The comment that the job of a submission carries, after the user's own one: by it the job is found again."""
    ours = f"curator-slurm:{run_id}:{number:04d}"
    return f"{users} {ours}" if users else ours


def create_run(folder: Path, new: NewRun) -> Run:
    """Make the directory of a new run in `folder`, readable by its owner alone; it appears by one rename."""
    now = time.time()
    run_id = new_run_id(now)
    elsewhere = "Give the run another name, or another folder with storage.runs in the spec or $CURATOR_SLURM_RUNS."
    record = RunRecord(
        run_id=run_id,
        name=new.name,
        user=user(),
        host=os.uname().nodename,
        version=__version__,
        cluster=new.cluster,
        created=now,
        plan_sha256=new.plan_sha256,
        spec_path=new.spec_path,
        output_path=new.output_path,
        array=new.array,
        shards=len(new.shards),
        purge_days=new.purge_days,
        list_sha256=new.list_sha256,
        poll_s=new.poll_s,
    )
    parent = folder / new.name
    temporary = parent / f".new-{run_id}"
    try:
        parent = _make_parent(folder, new.name, elsewhere)
        temporary = parent / f".new-{run_id}"
        owners.make_private(temporary, elsewhere)
        _fill(RunPaths(temporary), new, record)
        if new.travels:
            from curator_slurm.launcher.runs.travelling_package import give_package, remove_unused

            give_package(RunPaths(temporary))
            remove_unused(parent, now)
        temporary.rename(parent / run_id)
        sync_folder(parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        where = error.filename or parent
        raise StorageError(
            f"cannot create the run directory in {folder}: {error.strerror or error} ({where}).\n"
            "Give another folder with storage.runs in the spec, --set storage.runs=DIR or $CURATOR_SLURM_RUNS; "
            "it must be on storage that all nodes share."
        ) from error
    return Run(RunPaths.of_run(parent / run_id, array=new.array, output_path=new.output_path), record)


def _make_parent(folder: Path, name: str, elsewhere: str) -> Path:
    """The folder of our runs of this name: in a folder that users share, another's runs may have the plain name."""
    *before, last = parents_of(folder, name)
    for parent in before:
        with contextlib.suppress(StorageError):
            owners.make_private(parent, elsewhere)
            return parent
        if owners.is_own(parent):
            break  # say why
    else:
        parent = last
    owners.make_private(parent, elsewhere)
    return parent


def _fill(paths: RunPaths, new: NewRun, record: RunRecord) -> None:
    from curator_slurm.launcher.runs.secrets import write_secrets
    from curator_slurm.launcher.runs.user_code import take_code

    for folder in (paths.attempts, paths.elements):
        folder.mkdir(mode=0o700)
    write_secrets(paths, new.secret_environment)
    write_atomic(paths.spec, new.spec_text, mode=0o600)
    write_atomic(paths.plan, new.plan_text, mode=0o600)
    write_atomic(paths.script, new.script, mode=0o700)
    write_manifest(paths.manifest, new.shards)
    if new.code is not None:
        take_code(new.code, paths.code, paths.code_record)
    write_json(paths.record, record.to_json(), mode=0o600)


def remove_run(run: Run) -> None:
    """Remove the directory of a run that was never submitted, and the folder of its name if that is empty now."""
    shutil.rmtree(run.paths.root, ignore_errors=True)
    with contextlib.suppress(OSError):
        run.paths.root.parent.rmdir()


def add_job_ids(run: Run, job_ids: Iterable[str]) -> Run:
    """Let the run be found by the ids of these jobs."""
    record = _current_record(run)
    return _rewrite(run, replace(record, job_ids=tuple(dict.fromkeys((*record.job_ids, *job_ids)))))


def mark_cancelled(run: Run, when: float | None) -> Run:
    """Record that its user asked for the end of the run; with None, take that back."""
    return _rewrite(run, replace(_current_record(run), cancelled=when))


def move_outputs(run: Run, output_path: str) -> Run:
    """Record that the outputs of a run go to another folder than its plan says."""
    now = _rewrite(run, replace(_current_record(run), output_path=output_path))
    assert now.record is not None
    return Run(RunPaths.of_run(run.paths.root, array=now.record.array, output_path=output_path), now.record)


def _current_record(run: Run) -> RunRecord:
    """The record as it is on disk now: another command may have changed it."""
    now = load_run(run.paths.root)
    if now.record is None:
        raise StorageError(f"the record of run {run.run_id} cannot be read: {now.problem}")
    return now.record


def _rewrite(run: Run, record: RunRecord) -> Run:
    try:
        write_json(run.paths.record, record.to_json(), mode=0o600)
    except OSError as error:
        raise StorageError(f"cannot write {run.paths.record}: {error.strerror or error}") from error
    return Run(run.paths, record)


# Looking for runs


def load_run(root: Path) -> Run:
    """The run in the directory `root`; with a `problem` in place of a record where that cannot be read."""
    paths = RunPaths(root)
    try:
        data = read_json(paths.record)
    except PermissionError:
        return Run(paths, None, "you may not read it")
    except (OSError, ValueError) as error:
        return Run(paths, None, f"{paths.record} is damaged: {error}")
    if data is None:
        return Run(paths, None, f"{paths.record.name} is missing")
    if isinstance(data, dict) and (problem := _of_another_version(data, root)):
        return Run(paths, None, problem)
    try:
        record = RunRecord.from_json(data)
        if record.run_id != root.name:
            raise ValueError(f"it is that of run {record.run_id}")
        check_count(paths.manifest, record.shards)
        return Run(RunPaths.of_run(root, array=record.array, output_path=record.output_path), record)
    except ValueError as error:
        return Run(paths, None, f"{paths.record} is damaged: {error}")


def _of_another_version(data: Mapping[str, Any], root: Path) -> str:
    """Why a run directory of another version cannot be used, and what to do; empty for one of ours."""
    schema = data.get("schema")
    if not isinstance(schema, int) or schema == SCHEMA:
        return ""
    return (
        f"it was written by curator-slurm {data.get('version') or 'of another version'} in the "
        f"{'older' if schema < SCHEMA else 'newer'} format {schema}, which this version (format {SCHEMA}) does not "
        f"read. Its outputs and logs are in {root}, unchanged. Use that version for this run, or submit its spec again"
    )


def find_run(text: str, folders: Sequence[Path]) -> Run:
    """The run that `text` means: a path, a run id, a name (its latest run), a job id, or a unique prefix of an id."""
    if text.startswith((".", "~", os.sep)) or os.sep in text:
        return _find_by_path(text)
    directories = run_directories(folders)
    for path in directories:
        if text == path.name or path.parent in parents_of(path.parent.parent, text):
            return load_run(path)
    if _JOB_ID.fullmatch(text) and (run := _find_by_job(text, directories)) is not None:
        return run
    matching = [path for path in directories if path.name.startswith(text)]
    if len(matching) == 1:
        return load_run(matching[0])
    if matching:
        raise RunNotFoundError(_ambiguous(text, matching))
    raise RunNotFoundError(_unknown(text, directories, folders))


def check_readable(run: Run) -> Run:
    """The run, if its record can be read.

    Raises:
        StorageError: it cannot, such as one that another version has written.
    """
    if run.record is None:
        raise StorageError(f"run {run.run_id} cannot be read: {run.problem}")
    return run


def latest_run(folders: Sequence[Path]) -> Run:
    """The newest run of all."""
    directories = run_directories(folders)
    if not directories:
        raise RunNotFoundError(f"there are no runs yet{_looked_in(folders)}")
    return load_run(directories[0])


def _find_by_path(text: str) -> Run:
    path = expanded(text).absolute()
    for candidate in (path, *path.parents):
        if not RUN_ID.fullmatch(candidate.name):
            continue
        try:
            if (candidate / "run.json").exists():
                return load_run(candidate)
        except OSError as error:
            raise StorageError(f"run {candidate.name} cannot be read: {storage_errors.what(error)}") from error
    what = "is not in a run directory" if is_there(path) else "does not exist, or you may not look there"
    raise RunNotFoundError(f"{path} {what}.\n`curator-slurm list` shows your runs.")


def _find_by_job(job_id: str, directories: Iterable[Path]) -> Run | None:
    """The newest run with a submission of this id; `4711_12` is an element of the array 4711."""
    base = job_id if job_id.startswith("local-") else job_id.partition("_")[0]
    for path in directories:
        run = load_run(path)
        if run.record and base in run.record.job_ids and owners.is_own(run.paths.record):
            return run
    return None


def _ambiguous(text: str, matching: Sequence[Path]) -> str:
    shown = [f"  {path.name}  {path.parent.name}" for path in matching[:8]]
    more = [f"  and {len(matching) - 8} more"] if len(matching) > 8 else []
    return "\n".join([f"{len(matching)} runs begin with {text!r}; give more of the id:", *shown, *more])


def _unknown(text: str, directories: Sequence[Path], folders: Sequence[Path]) -> str:
    words = list(dict.fromkeys(word for path in directories for word in (path.parent.name, path.name)))
    from difflib import get_close_matches

    close = get_close_matches(text, words, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    others = _of_others(text, folders)
    return f"there is no run {text!r}{hint}\n{others}`curator-slurm list` shows your runs{_looked_in(folders)}"


def _of_others(text: str, folders: Sequence[Path]) -> str:
    """Whose run it may be that was meant: such are read by their path."""
    for path in run_directories(folders, of_others=True):
        if text in (path.name, path.parent.name) and not owners.is_own(path):
            return f"{path} belongs to {owners.owner_of(path)}; give its path to read it.\n"
    return ""


def _looked_in(folders: Sequence[Path]) -> str:
    return "; looked in:\n" + "\n".join(f"  {folder}" for folder in folders)
