"""Which folders of the host a container sees, and which of those that a run needs are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from curator_slurm.launcher.environments.container import Mount, is_below


def without_doubles(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts that are needed, outer ones first: none that an outer one shows already, with at least its rights."""
    kept: list[Mount] = []
    for mount in sorted(dict.fromkeys(mounts), key=lambda each: (each.target.count("/"), each.target, each.read_only)):
        if not any(_includes(outer, mount, kept) for outer in kept):
            kept.append(mount)
    return tuple(kept)


def _includes(outer: Mount, inner: Mount, others: Sequence[Mount]) -> bool:
    """Whether `inner` is seen through `outer`, at its place, and nothing lies between them."""
    if not is_below(inner.target, outer.target) or (outer.read_only and not inner.read_only):
        return False
    rest = inner.target[len(outer.target.rstrip("/")) :]
    between = [
        each
        for each in others
        if each is not outer and is_below(inner.target, each.target) and is_below(each.target, outer.target)
    ]
    return outer.source.rstrip("/") + rest == inner.source and not between


def folder_of(path: str) -> str:
    """What must be mounted for a path that may have wildcards: the folder above the first of them."""
    parts = path.split("/")
    plain = next((index for index, part in enumerate(parts) if any(c in part for c in "*?[")), None)
    return (path if plain is None else "/".join(parts[:plain])) or "/"


def missing(paths: Iterable[tuple[str, str]], mounts: Sequence[Mount]) -> Iterator[tuple[str, str]]:
    """(key, path) of all that no mount shows inside by the name that it has here."""
    for key, path in paths:
        if not any(mount.shows(path) for mount in mounts):
            yield key, path
