"""The site files that are in the package: one for each cluster that is known from its documentation."""

from __future__ import annotations

from pathlib import Path

from curator_slurm.launcher.errors import SpecError, SpecProblem

FOLDER = Path(__file__).with_name("catalogue")


def names() -> list[str]:
    """The entries that `extends` can name."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def entry(name: str, where: str) -> Path:
    """The file of an entry.

    Raises:
        SpecError: there is none of that name; `where` says who named it.
    """
    if name not in names():
        from difflib import get_close_matches

        close = get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names()) or 'none'}."
        message = f"there is no catalogue entry {name!r}; {hint} A file is named by its path, such as ./{name}.yaml"
        raise SpecError([SpecProblem("extends", message, where)], where)
    return FOLDER / f"{name}.yaml"
