"""Keys that a layer has locked: what comes after it may not change them, by whatever name or way.

What counts is the value at the end, not how it was written: a section that is replaced whole, another spelling, and
an option that does the same are changes like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.launcher.errors import SitePolicyError, SpecProblem
from curator_slurm.launcher.spec.keys import dotted, section_at
from curator_slurm.launcher.spec.merging import EXCLUSIVE, GROUPS, SBATCH, canonical, in_full, spelled, value_at
from curator_slurm.launcher.spec.yaml_document import Document, Path

_TRES = ((*SBATCH, "tres-per-task"), (*SBATCH, "tres-per-job"))
SAME: tuple[tuple[str, tuple[Path, ...]], ...] = (
    *(("", group) for group in EXCLUSIVE),
    ("mem", (("resources", "mem_per_node"), (*SBATCH, "mem-per-cpu"), (*SBATCH, "mem-per-gpu"), *_TRES)),
    ("gpu", (("resources", "gpus_per_node"), ("resources", "gpus"), (*SBATCH, "gres"), *_TRES)),
    ("cpu", (("resources", "cpus_per_node"), ("resources", "cpus"), (*SBATCH, "mincpus"), *_TRES)),
    ("", (("resources", "nodes"), ("resources", "gpus"), ("resources", "cpus"))),
    ("", (("resources", "time"), (*SBATCH, "time-min"))),
    ("", ((*SBATCH, "nodelist"), (*SBATCH, "nodefile"))),
    ("", ((*SBATCH, "exclusive"), (*SBATCH, "oversubscribe"))),
    ("", ((*SBATCH, "bb"), (*SBATCH, "bbf"))),
)
"""Settings that do the same, so that a lock of one is a lock of all; of options that list several things, with the
word that makes it the same: `gres` asks for GPUs where it says gpu."""
_LISTS_THINGS = frozenset({"gres", "tres-per-task", "tres-per-job"})


@dataclass(frozen=True)
class Lock:
    """A key or section that is locked, where that is said, and whom to ask."""

    key: str
    where: str
    contact: str = ""

    @property
    def path(self) -> Path:
        return canonical(tuple(self.key.split(".")))


@dataclass(frozen=True)
class Below:
    """What the layers below a spec say: defaults of its settings, and what is locked."""

    document: Document = field(default_factory=Document)
    locks: Sequence[Lock] = ()

    def check(self, after: Any, where: Callable[[Path], str]) -> None:
        """Refuse a change of what is locked; `where` says where something is written.

        Raises:
            SitePolicyError: with every change.
        """
        refuse(list(changes(self.document.value or {}, after, self.locks, where)))


def refuse(problems: Sequence[SpecProblem]) -> None:
    """Raise SitePolicyError if there is any problem."""
    if problems:
        raise SitePolicyError.of(problems)


def changes(before: Any, after: Any, locks: Sequence[Lock], where: Callable[[Path], str]) -> Iterator[SpecProblem]:
    """Every locked key whose value is not what it was."""
    before, after = in_full(before), in_full(after)
    for lock in locks:
        changed = next(iter(_watched(lock, before, after)), None)
        if changed is None:
            continue
        precise = _first_difference(before, after, changed)
        key = dotted(precise)
        is_below = _covers(lock.path, precise)
        by = f"`{key}`" if is_below else f"`{key}`, which does what `{lock.key}` does,"
        value = value_at(before, precise if is_below else lock.path)
        is_plain = isinstance(value, (str, int, float))
        stays = value or not section_at(lock.path[:1])  # a section that specs do not have
        kept = f"it is {_text(value)} there" if is_plain else "it stays as it is there" if stays else "it is not set"
        contact = f"; questions: {lock.contact}" if lock.contact else ""
        locked = f"`{lock.key}` is locked in {lock.where}: {kept}{contact}"
        yield SpecProblem(key, f"{by} cannot be changed here: {locked}", where(spelled(after, precise)))


def _watched(lock: Lock, before: Any, after: Any) -> Sequence[Path]:
    """The paths with a difference that the lock forbids; those first that are set now."""
    different = [path for path in _in_groups(lock.path, after) if _differs(path, before, after)]
    for word, group in SAME:
        if any(_covers(path, lock.path) or _locks_inside(lock.path, path, before) for path in group):
            everywhere = [each for path in group for each in _in_groups(path, after)]
            different += [path for path in everywhere if _differs(path, before, after, word)]
    name = lock.path[2] if len(lock.path) == 3 and lock.path[:2] == ("environment", "env") else None
    if name is not None and name in _secrets(after) and name not in _secrets(before):
        different.append(("environment", "secrets"))
    different = [path for path in different if not _repeats(path, before, after)]
    return sorted(different, key=lambda path: value_at(after, path) is None)


def _in_groups(path: Path, after: Any) -> list[Path]:
    """A setting, and the same of every group of nodes."""
    groups = value_at(after, GROUPS)
    count = len(groups) if isinstance(groups, list) and path[0] == "resources" and len(path) > 1 else 0
    return [path, *((*GROUPS, index, *path[1:]) for index in range(count) if path[: len(GROUPS)] != GROUPS)]


def _repeats(path: Path, before: Any, after: Any) -> bool:
    """Whether a group of nodes says what holds for it anyway."""
    if path[: len(GROUPS)] != GROUPS or len(path) <= len(GROUPS) + 1 or value_at(before, GROUPS) is not None:
        return False
    outside: Path = (path[0], *path[len(GROUPS) + 1 :])
    old, new = value_at(before, outside), value_at(after, path)
    return old is not None and bool(_plain(old, outside) == _plain(new, outside))


def _secrets(value: Any) -> Sequence[Any]:
    secrets = value_at(value, ("environment", "secrets"))
    return secrets if isinstance(secrets, list) else [secrets]


def _differs(path: Path, before: Any, after: Any, word: str = "") -> bool:
    old, new = value_at(before, path), value_at(after, path)
    if word and path[-1] in _LISTS_THINGS:
        old, new = (each if word in str(each).lower() else None for each in (old, new))
    return bool(_plain(old, path) != _plain(new, path))


def _first_difference(before: Any, after: Any, path: Path) -> Path:
    """The path of the first value that is another, as deep as sections go."""
    old, new = (value_at(value, path) for value in (before, after))
    for key in [*(new if isinstance(new, dict) else ()), *(old if isinstance(old, dict) else ())]:
        below = canonical((*path, key))
        if _differs(below, before, after):
            return _first_difference(before, after, below)
    return path


def _locks_inside(section: Path, path: Path, before: Any) -> bool:
    """Whether the lock of a section is one of this setting: of what it does not say, only the section itself."""
    return _covers(section, path) and value_at(before, path) is not None


def _covers(section: Path, path: Path) -> bool:
    return path[: len(section)] == section


def _plain(value: Any, path: Path) -> Any:
    """A value such that the ways to write it compare equal: no mapping as an empty one, 4 as "4", x as [x]."""
    if isinstance(value, Mapping):
        names = {canonical((*path, key)): item for key, item in value.items()}
        items = {name: _plain(item, name) for name, item in names.items()}
        return {name: item for name, item in items.items() if item is not None} or None
    if isinstance(value, list):
        return [_text(each) if isinstance(each, (str, int, float)) else _plain(each, ()) for each in value] or None
    if value is None or (value is False and path[:2] == SBATCH):
        return None
    return [_text(value)]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
