"""The user's modules beside a spec: a folder of the run has them as they were when the run was submitted.

It stands for the spec's folder on the module path of the job. The modules that the spec names, and those that they
import, are copied; whatever else lies beside the spec is a link. A module that would hide one of Python, or of the
packages that run the pipeline, is not in it: a `ray.py` beside the spec is nobody's idea of Ray.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.machinery import PathFinder
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from curator_slurm.common.json_fields import checked, made
from curator_slurm.launcher.files import folders_in, read_json, write_json
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths

CODE = "CURATOR_SLURM_CODE"
"""The variable that tells a driver where the modules are."""
PIPELINE_FILE = ".pipeline.yaml"
"""The copy of pipeline.file."""
MOST_FILES = 2000
MOST_BYTES = 50 << 20
MOST_ENTRIES = 1000
"""Of the spec's folder, where all of them are linked; of more, the modules alone."""
_PACKAGES = ("curator-slurm", "nemo-curator", "ray", "cosmos-xenna")
_IMPORT_NAMES = {"pyyaml": "yaml", "grpcio": "grpc", "protobuf": "google", "pillow": "PIL"}
"""Of distributions that may be missing here, and be there on the nodes."""
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LOOKED_AT = 200


@dataclass(frozen=True, kw_only=True)
class CodeRecord:
    """code.json: what the folder of code has; `files` are the copies, with their SHA-256."""

    source: str
    files: Mapping[str, str]
    live: tuple[str, ...] = ()
    """Modules that the pipeline uses and that are read as they are: too much to copy."""
    left_out: tuple[str, ...] = ()
    """Modules that would hide those of Python or of installed packages."""

    def summary(self) -> str:
        """What was taken, in a line."""
        names = sorted({name.partition("/")[0] for name in self.files})
        if not names:
            return f"as it is in {self.source} when the job runs"
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"{', '.join(names[:5])}{more} as of now; later changes in {self.source} do not count"

    def changed(self) -> list[str]:
        """The copied files that are not, or no longer, the same beside the spec."""
        return [name for name, digest in self.files.items() if _digest(Path(self.source, name)) != digest]

    def sentences(self) -> Iterator[str]:
        """What is to be said of it at submission."""
        if self.live:
            yield (
                f"not copied into the run, because it is more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB: "
                f"{', '.join(self.live)}. Do not change it before the run has ended"
            )
        if self.left_out:
            yield (
                f"left out of the job: {', '.join(self.left_out)} beside the spec. Python, or a package that runs the "
                "pipeline, has a module of this name. Rename what the pipeline needs of it"
            )


def modules_beside(folder: Path) -> dict[str, Path]:
    """Name -> file or package, of every module in a folder."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = entry.name.removesuffix(".py")
            if not _NAME.fullmatch(name) or name == "__pycache__":
                continue
            if name != entry.name or _is_package(entry):
                found.setdefault(name, Path(entry.path))
    return found


def _is_package(entry: os.DirEntry[str]) -> bool:
    """Whether one of the first files in a folder is Python: there may be millions of others."""
    with contextlib.suppress(OSError):
        if entry.is_dir():
            with os.scandir(entry.path) as files:
                return any(file.name.endswith(".py") for file in islice(files, _LOOKED_AT))
    return False


def _is_code(path: Path) -> bool:
    """Not a folder of data that has a script in it."""
    return path.is_file() or (path / "__init__.py").is_file()


def collect_code(source: Path, goal: Path, named: Collection[str], file: str | None = None) -> CodeRecord | None:
    """Fill `goal` with what stands for `source`, where the modules `named` are wanted, and with the pipeline's `file`.

    None where there is nothing to take: then there is no folder.

    Raises:
        OSError: something cannot be read or written.
    """
    modules = modules_beside(source)
    if not modules and file is None:
        return None
    hidden = _needed_elsewhere(modules, source)
    mine = {name: path for name, path in modules.items() if name not in hidden}
    goal.mkdir(mode=0o700, parents=True)
    files, live = _copy_all(_reached(mine, named), goal)
    if file is not None:
        shutil.copyfile(file, goal / PIPELINE_FILE)
    _link_rest(source, goal, mine, {modules[name].name for name in hidden})
    wanted = {name.partition(".")[0] for name in named}
    left_out = tuple(sorted(modules[name].name for name in hidden if name in wanted or _is_code(modules[name])))
    return CodeRecord(source=str(source), files=files, live=tuple(sorted(live)), left_out=left_out)


@dataclass(frozen=True)
class Code:
    """Where the user's code is: beside the spec, the modules that it names, and the pipeline's file."""

    source: str
    named: frozenset[str] = frozenset()
    file: str | None = None


def take_code(code: Code, goal: Path, record: Path) -> None:
    """Copy the code into a folder of the run, and write code.json last.

    Raises:
        OSError: something cannot be read or written.
    """
    found = collect_code(Path(code.source), goal, code.named, code.file)
    if found is not None:
        write_json(record, {"schema": 1, **vars(found)}, mode=0o600)


def would_take(code: Code) -> CodeRecord | None:
    """What `take_code` would write of a run that is submitted now.

    Raises:
        OSError: something cannot be read, or there is no room for a moment's copy.
    """
    with TemporaryDirectory(prefix="cs-code-") as folder:
        return collect_code(Path(code.source), Path(folder, "code"), code.named, code.file)


def newest_code(run: RunPaths, number: int | None = None) -> tuple[Path, CodeRecord] | None:
    """The code that a submission uses (None: the newest one): of a retry that has taken it again, else the run's."""
    taken = [
        SubmissionPaths(folder, run) for folder in folders_in(run.submissions) if whole_number(folder.name) is not None
    ]
    before = [each for each in reversed(taken) if number is None or each.number <= number]
    places: list[SubmissionPaths | RunPaths] = [*before, run]
    for place in places:
        if (record := read_code(place.code_record)) is not None:
            return place.code, record
    return None


def read_code(path: Path) -> CodeRecord | None:
    """The record in code.json; None where there is none, or it is damaged."""
    try:
        data = read_json(path)
        return made(CodeRecord, checked(CodeRecord, data)) if isinstance(data, dict) else None
    except (OSError, ValueError):
        return None


def _reached(modules: Mapping[str, Path], named: Iterable[str]) -> list[Path]:
    """The modules that are named, and what they import of those beside the spec."""
    left, found = [name for name in named if name in modules], {}
    while left:
        name = left.pop()
        if name in found:
            continue
        found[name] = modules[name]
        for file in _python_files(modules[name]):
            left += [other for other in _imports(file) if other in modules]
    return [found[name] for name in sorted(found)]


def _python_files(module: Path) -> Iterator[Path]:
    if module.is_file():
        yield module
    for path in _files(module) if module.is_dir() else ():
        if path.suffix == ".py":
            yield path


def _files(package: Path) -> Iterator[Path]:
    """The files of a package, without what Python and version control leave there."""
    for number, (folder, names, files) in enumerate(os.walk(package)):
        if number > MOST_FILES:
            return
        names[:] = sorted(name for name in names if not name.startswith(".") and name != "__pycache__")
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _imports(file: Path) -> set[str]:
    """The first names of all modules that a file imports; also those in texts, which may be given to importlib."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            found.add(re.split("[.:]", node.value, maxsplit=1)[0])
    return found


def _copy_all(modules: Iterable[Path], goal: Path) -> tuple[dict[str, str], list[str]]:
    """Copy modules, as long as there is room; the digests of the copies, and the names of what was too much."""
    digests: dict[str, str] = {}
    live = []
    left_files, left_bytes = MOST_FILES, MOST_BYTES
    for module in modules:
        files = [module] if module.is_file() else list(_files(module))
        size = sum(file.stat().st_size for file in files if file.exists())
        if len(files) > left_files or size > left_bytes:
            live.append(module.name)
            continue
        left_files, left_bytes = left_files - len(files), left_bytes - size
        for file in files:
            name = file.relative_to(module.parent)
            (goal / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if file.exists():  # a link to nowhere is of no use to anybody
                shutil.copy2(file, goal / name)
                digests[str(name)] = _digest(goal / name)
    return digests, live


def _link_rest(source: Path, goal: Path, modules: Mapping[str, Path], hidden: Collection[str]) -> None:
    entries = [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]
    if len(entries) > MOST_ENTRIES:
        entries = list(modules.values())[:MOST_ENTRIES]
    for path in entries:
        if path.name != "__pycache__" and path.name not in hidden and not (goal / path.name).exists():
            (goal / path.name).symlink_to(path)


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _needed_elsewhere(modules: Mapping[str, Path], source: Path) -> set[str]:
    """The names that Python, or a package that runs the pipeline, has for modules of its own."""
    names = {name for name in modules if name in sys.stdlib_module_names}
    path = [each for each in sys.path if each and Path(each).resolve() != source.resolve()]
    rest = {name for name in modules.keys() - names if name in _certain() or PathFinder.find_spec(name, path)}
    return names | (rest & (_certain() | _installed_names()) if rest else set())


def _certain() -> set[str]:
    return {name.replace("-", "_") for name in _PACKAGES}


@cache
def _installed_names() -> frozenset[str]:
    """The import names of our packages and of all that they cannot do without, directly or not."""
    left, seen, names = list(_PACKAGES), set(), set()
    while left:
        name = re.sub("[-_.]+", "-", left.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        names.add(_IMPORT_NAMES.get(name, name.replace("-", "_")))
        from importlib import metadata

        with contextlib.suppress(metadata.PackageNotFoundError):
            found = metadata.distribution(name)
            listed = (found.read_text("top_level.txt") or "").split()
            names |= set(listed) or {Path(file.parts[0]).stem for file in found.files or () if file.parts[0] != ".."}
            required = (_REQUIREMENT.match(each) for each in found.requires or () if "extra ==" not in each)
            left += [match[0] for match in required if match]
    return frozenset(names)
