"""All input files of a spec, each once, with sizes; oddities are noted, problems are errors."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curator_slurm.common.addresses import is_remote
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.address import local_path, show
from curator_slurm.launcher.inputs.filelist import new_digest, read_blocks, read_list
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.local import FoundFiles, LocalLister
from curator_slurm.launcher.inputs.remote import ask_all, list_remote
from curator_slurm.launcher.inputs.thread_pool import ThreadPool
from curator_slurm.launcher.spec.data_sections import InputSpec

Progress = Callable[[str, int, int | None], None]
"""Called with the current step, the count so far, and the total if known; often, and from one thread."""
_LISTING, _SIZES = "listing files", "looking up sizes"
_EXAMPLES = 3
_SKIPPED = "skipped (the name begins with _)"


@dataclass(frozen=True)
class Listing:
    """Input files in the order in which the spec names them, each once; and sentences on what is odd."""

    files: Sequence[InputFile]
    notes: Sequence[str] = ()
    list_sha256: str = ""
    """Of the list in `manifest`, where the list alone says what the input is, sizes included (`filelist.digest_of`)."""


def input_files(paths: Sequence[str], manifest: str | None = None) -> list[str]:
    """The names of all input files; see `list_inputs`."""
    return [file.path for file in list_inputs(InputSpec(paths=list(paths), manifest=manifest)).files]


def list_inputs(given: InputSpec, progress: Progress = lambda *_: None) -> Listing:
    """All files that `input` names: sorted within each of its paths, in the order of the paths, none twice.

    A folder stands for every file below it, except names that begin with `.` or `_`; a pattern may use `**`.

    Raises:
        StorageError: a path matches nothing or cannot be read, or a line of the list is wrong.
    """
    collected = _Collected()
    with ThreadPool() as pool:
        lister = LocalLister(pool, lambda found: progress(_LISTING, len(collected.files) + len(found.files), None))
        for pattern in given.paths:
            if is_remote(pattern):
                _add_remote(pattern, collected)
            else:
                _add_local(pattern, lister, collected)
            progress(_LISTING, len(collected.files), None)
        sha256 = "" if given.manifest is None else _List(given.manifest, pool, progress).add_to(collected)
    _note(collected.repeated, "listed more than once (counted once)", collected.notes)
    _note(collected.aliases, "skipped (links to files that are listed already)", collected.notes)
    return Listing(list(collected.files.values()), collected.notes, "" if given.paths else sha256)


@dataclass
class _Collected:
    files: dict[str, InputFile] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    identities: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(self, files: Iterable[InputFile]) -> None:
        """Files by name; one that is there already is noted."""
        for file in files:
            known = self.files.setdefault(file.path, file)
            if known is not file:
                self.repeated.append(file.path)

    def add_found(self, found: FoundFiles) -> None:
        """Files of this machine, sorted by name; one that is there already under another name is noted."""
        pairs = sorted(zip(found.files, found.identities, strict=True), key=lambda pair: pair[0].path)
        for file, identity in pairs:
            known = self.identities.setdefault(identity, file.path)
            if known != file.path and Path(known).resolve() == Path(file.path).resolve():
                self.aliases.append(file.path)
            else:
                self.add([file])


def _note(names: Sequence[str], what: str, notes: list[str]) -> None:
    if names:
        some = ", ".join(map(show, sorted(names)[:_EXAMPLES]))
        more = ", ..." if len(names) > _EXAMPLES else ""
        notes.append(f"{len(names):,} file{'' if len(names) == 1 else 's'} {what}: {some}{more}")


# Paths


def _add_remote(address: str, collected: _Collected) -> None:
    try:
        files, skipped = list_remote(address)
    except StorageError as error:
        raise StorageError(f"input.paths: {error}") from error
    if not files:
        raise StorageError(f"input.paths: no files match {show(address)}; check the address")
    collected.add(files)
    _note(skipped, _SKIPPED, collected.notes)


def _add_local(pattern: str, lister: LocalLister, collected: _Collected) -> None:
    found = lister.pattern(local_path(pattern), only_folders=pattern.endswith("/"))
    if found.denied:
        raise StorageError(f"input.paths: {_denied(found)}")
    if not found.files:
        raise StorageError(f"input.paths: no files match {show(pattern)}; {_why_nothing(pattern, found)}")
    collected.add_found(found)
    _note(found.missing, "skipped (broken links, or just removed)", collected.notes)
    _note(found.skipped, _SKIPPED, collected.notes)
    _note(found.special, "skipped (neither files nor folders)", collected.notes)


def _why_nothing(pattern: str, found: FoundFiles) -> str:
    path = Path(local_path(pattern))
    if found.skipped:
        return f"all names there begin with _ and are skipped, such as {show(found.skipped[0])}"
    if found.missing and path.is_symlink():
        return "it is a broken link"
    if found.missing and not path.exists() and any(Path(name).is_symlink() for name in found.missing):
        return f"there are only broken links, such as {show(found.missing[0])}"
    if path.is_dir():
        return "it is a folder without files"
    if "{" in pattern:
        return "braces are not expanded; give several paths"
    return "check the path, also on the compute nodes"


def _denied(found: FoundFiles) -> str:
    examples = [f"{show(path)} cannot be read: {why}" for path, why in sorted(found.denied)[:_EXAMPLES]]
    more = len(found.denied) - len(examples)
    return "; ".join(examples) + (f"; and {more:,} more" if more else "")


# Lists


class _List:
    """The files of a list, with the lines in which they stand."""

    def __init__(self, path: str, pool: ThreadPool, progress: Progress) -> None:
        self.path = path
        self.pool = pool
        self.progress = progress
        self.files: dict[str, InputFile] = {}
        self.digest = new_digest(path)

    def add_to(self, collected: _Collected) -> str:
        """All its files; sizes that it does not give are looked up. Its checksum, if it gives all."""
        self._read(collected)
        unknown = [path for path, file in self.files.items() if file.bytes is None]
        self._look_up([path for path in unknown if not is_remote(path)])
        self._ask([path for path in unknown if is_remote(path)])
        if collected.files:
            collected.add(self.files.values())
        else:
            collected.files = self.files
        self.progress(_LISTING, len(collected.files), None)
        return "" if unknown else self.digest.hexdigest()

    def _read(self, collected: _Collected) -> None:
        count = 0
        for block in read_blocks(self.path, self.digest):
            self.files.update({file[0]: file for file in block.files})
            count += len(block.files)
            self.progress(_LISTING, len(collected.files) + len(self.files), None)
        if not self.files:
            raise StorageError(f"input.manifest: {show(self.path)} lists no files")
        if len(self.files) < count:
            self._read_with_repeated(collected)

    def _read_with_repeated(self, collected: _Collected) -> None:
        """Read it again, to note the files that are listed more than once."""
        self.files.clear()
        for number, file in read_list(self.path):
            known = self.files.setdefault(file.path, file)
            if known is file:
                continue
            if known != file:
                line = self._lines({file.path})[file.path]
                again = f"{show(file.path)} is also in line {line}, with a different size or checksum"
                raise StorageError(f"input.manifest: {show(self.path)}:{number}: {again}")
            collected.repeated.append(file.path)

    def _look_up(self, paths: Sequence[str]) -> None:
        if not paths:
            return
        found = LocalLister(self.pool, lambda found: self.progress(_SIZES, len(found.files), len(paths))).paths(paths)
        wrong = {path: f"cannot be read: {why}" for path, why in found.denied}
        wrong |= {path: "does not exist" + _blanks(path) for path in found.missing}
        wrong |= dict.fromkeys(found.special, "is not a file; put folders into input.paths")
        self._refuse(wrong)
        for file in found.files:
            self.files[file.path] = InputFile(file.path, file.bytes, file.mtime_ns, self.files[file.path].sha256)

    def _ask(self, addresses: Sequence[str]) -> None:
        wrong = {}
        try:
            for done, (address, answer) in enumerate(zip(addresses, ask_all(addresses), strict=True), 1):
                if answer is None:
                    wrong[address] = "does not exist"
                elif answer.is_folder:
                    wrong[address] = "is a folder; put folders into input.paths"
                else:
                    self.files[address] = InputFile(address, answer.bytes, None, self.files[address].sha256)
                self.progress(_SIZES, done, len(addresses))
        except StorageError as error:
            raise StorageError(f"input.manifest: {show(self.path)}: {error}") from error
        self._refuse(wrong)

    def _lines(self, paths: Container[str]) -> dict[str, int]:
        """The first lines of some paths, for messages: the list is read again rather than kept in memory for them."""
        found: dict[str, int] = {}
        for number, file in read_list(self.path):
            if file.path in paths:
                found.setdefault(file.path, number)
        return found

    def _refuse(self, wrong: dict[str, str]) -> None:
        if wrong:
            lines = self._lines(wrong)
            first = sorted(wrong, key=lambda path: lines.get(path, 0))[:_EXAMPLES]
            told = [
                f"input.manifest: {show(self.path)}:{lines.get(path, '?')}: {show(path)} {wrong[path]}"
                for path in first
            ]
            more = len(wrong) - len(first)
            raise StorageError("\n".join([*told, *([f"and {more:,} more lines"] if more else [])]))


def _blanks(path: str) -> str:
    name = path.rpartition("/")[2]
    return " (its name begins or ends with a space)" if name != name.strip() else ""
