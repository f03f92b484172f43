"""The layers of site files, found and merged: later ones win, locked keys stay.

catalogue entry (--site, $CURATOR_SLURM_CATALOGUE, or recognised) <
/etc/curator-slurm/site.yaml < $CURATOR_SLURM_SITE < ~/.config/curator-slurm/config.yaml <
$CURATOR_SLURM_RUNS < .curator-slurm.yaml of the spec's folder or the nearest one above < the spec < --set
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.files import expanded, is_there
from curator_slurm.launcher.runs.known_folders import default_folder
from curator_slurm.launcher.site import catalogue, recognition
from curator_slurm.launcher.site.trust import UntrustedError, read_trusted
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.locks import Below, Lock, changes, refuse
from curator_slurm.launcher.spec.merging import merge
from curator_slurm.launcher.spec.yaml_document import Document

if TYPE_CHECKING:
    from curator_slurm.launcher.site.model import Site

SYSTEM_FILE = Path("/etc/curator-slurm/site.yaml")
SITE_VARIABLE = "CURATOR_SLURM_SITE"
CATALOGUE_VARIABLE = "CURATOR_SLURM_CATALOGUE"
NO_ENTRY = "none"
RUNS_VARIABLE = "CURATOR_SLURM_RUNS"
FOLDER_FILE = ".curator-slurm.yaml"
_DEEPEST = 8
"""Of files that extend files."""


@dataclass(frozen=True)
class Layer:
    """One file of a site's configuration, as it was read."""

    path: Path
    kind: str
    document: Document = field(repr=False)


@dataclass(frozen=True)
class Layers:
    """What all layers say together. Without any file it says nothing."""

    layers: Sequence[Layer] = ()
    document: Document = field(default_factory=lambda: Document(value={}), repr=False)
    locks: Sequence[Lock] = ()
    notes: Sequence[str] = ()
    """Files that were found and do not count, and why."""

    @property
    def below(self) -> Below:
        """What it says about settings of specs."""
        return Below(self._of_specs(), self.locks)

    def site(self) -> Site | None:
        """The configuration as classes; None where there is no file."""
        if not self.layers:
            return None
        from curator_slurm.launcher.site.model import Site
        from curator_slurm.launcher.site.site_file import without_nulls

        return Site.model_validate(without_nulls(self.document.value, ()))

    def where(self, key: str) -> str:
        """`file:line` of a dotted key, or of the nearest section around it; empty where no layer says anything."""
        path = tuple(key.split("."))
        for length in range(len(path), 0, -1):
            if path[:length] in self.document.sources:
                line = self.document.lines.get(path[:length])
                source = self.document.sources[path[:length]]
                return f"{source}:{line}" if line else source
        return ""

    def _of_specs(self) -> Document:
        """The part that a spec can say itself."""
        if not self.layers:
            return Document()
        from curator_slurm.launcher.site.model import SPEC_SECTIONS
        from curator_slurm.launcher.spec.keys import section_at, settings
        from curator_slurm.launcher.spec.model import Spec

        whole = self.document
        values: dict[str, Any] = {}
        for name in SPEC_SECTIONS:
            section, known = whole.value.get(name), settings(section_at((name,)) or Spec)
            given = {key: item for key, item in (section or {}).items() if key in known and item is not None}
            if name == "storage" and isinstance(given.get("node_local"), dict):
                given["node_local"] = given["node_local"].get("path")
            if given:
                values[name] = given
        return Document(value=values, lines=whole.lines, written=whole.written, sources=whole.sources)


def with_site(environ: Mapping[str, str], site: str | None) -> Mapping[str, str]:
    """The variables with what `--site` says: an entry of the catalogue, or the path of a file."""
    if site is None:
        return environ
    is_path = "/" in site or site.endswith((".yaml", ".yml"))
    return {**environ, SITE_VARIABLE if is_path else CATALOGUE_VARIABLE: site}


def load(folder: Path, environ: Mapping[str, str]) -> Layers:
    """The layers for a spec in `folder`.

    Raises:
        SpecError: a file is wrong, or may have been written by somebody else.
        SitePolicyError: one changes what another has locked.
    """
    notes: list[str] = []
    found = Layers()
    chosen = _chosen(environ)
    if chosen is not None:
        found = _with_file(found, chosen[0], "catalogue", ())
    if not _is_missing(SYSTEM_FILE):
        found = _with_file(found, SYSTEM_FILE, "system", ())
    if environ.get(SITE_VARIABLE):
        found = _with_file(found, expanded(environ[SITE_VARIABLE]).absolute(), f"${SITE_VARIABLE}", ())
    own = user_file(environ)
    if is_there(own):
        found = _with_file(found, own, "user", ())
    if found.layers and environ.get(RUNS_VARIABLE):
        runs = str(default_folder(environ)).replace("$", "$$")
        source = Document({"storage": {"runs": runs}}, {("storage",): 0, ("storage", "runs"): 0})
        found = _on_top(found, source, f"${RUNS_VARIABLE}")
    nearest = _nearest(folder, notes)
    if nearest is not None:
        found = _with_file(found, nearest, "folder", ())
    _check_whole(found)
    if chosen is not None and chosen[1]:
        notes.append(chosen[1])
    return replace(found, notes=notes)


def load_file(path: Path) -> Layers:
    """One file alone, on top of what it extends.

    Raises:
        SpecError: it is wrong, or may have been written by somebody else.
        SitePolicyError: it changes what a file below it has locked.
    """
    found = _with_file(Layers(), expanded(path).absolute(), "file", ())
    _check_whole(found)
    return found


def _is_missing(path: Path) -> bool:
    """Whether there is no such file; one that may not be looked at is there, and an error: it may have locks."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _chosen(environ: Mapping[str, str]) -> tuple[Path, str] | None:
    """The entry of the catalogue that is named or recognised, and a note about it.

    Where an administrator has described the cluster, none is recognised.
    """
    name = environ.get(CATALOGUE_VARIABLE)
    if name == NO_ENTRY:
        return None
    if name:
        return catalogue.entry(name, f"--site or ${CATALOGUE_VARIABLE}"), ""
    if not _is_missing(SYSTEM_FILE) or environ.get(SITE_VARIABLE):
        return None
    known = recognition.recognised()
    if known is None:
        return None
    words = (
        f"this is taken for {known.name} of the catalogue, by its {known.by}; what that says is from documentation, "
        f"not tried on the machine (docs/sites/{known.name}.md). --site {NO_ENTRY} does without"
    )
    return catalogue.entry(known.name, "catalogue"), words


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own file, for all specs."""
    home = Path(environ.get("HOME") or Path.home())
    config = environ.get("XDG_CONFIG_HOME", "")
    return (Path(config) if config.startswith("/") else home / ".config") / "curator-slurm" / "config.yaml"


def _nearest(folder: Path, notes: list[str]) -> Path | None:
    """The file of the folder, or of the nearest one above it, that counts; a note of each that does not."""
    for above in (folder, *folder.parents):
        path = above / FOLDER_FILE
        try:
            read_trusted(path)
        except UntrustedError as error:
            if not error.foreign:
                raise _refused(path, str(error)) from None
            notes.append(f"{path} is not used: it {error}")
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
                notes.append(f"{path} is not used: {storage_errors.what(error)}")
        else:
            return path
    return None


def _with_file(found: Layers, path: Path, kind: str, extended_by: tuple[Path, ...]) -> Layers:
    """One more file on top, below it those that it extends."""
    if path in extended_by or len(extended_by) > _DEEPEST:
        raise _refused(path, f"extends itself: {' -> '.join(map(str, (*extended_by, path)))}")
    try:
        # Entries of the catalogue are part of the program, whoever may write it.
        raw = path.read_bytes() if path.parent == catalogue.FOLDER else read_trusted(path)
        text = raw.decode("utf-8-sig")
    except UntrustedError as error:
        raise _refused(path, str(error)) from None
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        named = f" (named by ${SITE_VARIABLE})" if kind.startswith("$") else ""
        raise _refused(path, f"cannot be read{named}: {storage_errors.what(error)}") from None
    from curator_slurm.launcher.site.site_file import is_file_name, read_site_text

    document = read_site_text(text, str(path), path.parent)
    for index, name in enumerate(document.value.pop("extends", ())):
        where = f"{path}:{document.lines.get(('extends', index), document.lines.get(('extends',), 1))}"
        below = expanded(name) if is_file_name(name) else catalogue.entry(name, where)
        found = _with_file(found, below, "extended", (*extended_by, path))
    return _on_top(found, document, str(path), Layer(path, kind, document))


def _on_top(found: Layers, document: Document, source: str, layer: Layer | None = None) -> Layers:
    """One more layer, which may not change what those below have locked."""
    from curator_slurm.launcher.site.model import Site
    from curator_slurm.launcher.site.site_file import place

    keys = document.value.pop("locked", None) or []
    merged = merge(found.document, document, Site, source)
    refuse(list(changes(found.document.value, merged.value, found.locks, lambda path: place(merged, path, source))))
    contact = str((merged.value.get("site") or {}).get("contact") or "")
    locks = [
        Lock(key, place(merged, ("locked", index), source), contact)
        for index, key in enumerate([keys] if isinstance(keys, str) else keys)
    ]
    layers = [*found.layers, layer] if layer else found.layers
    return Layers(layers, merged, [*found.locks, *locks])


def _check_whole(found: Layers) -> None:
    """Find what no single file has wrong, and all together have."""
    if not found.layers:
        return
    from curator_slurm.launcher.site.site_file import contradictions, place, problems_of

    last = str(found.layers[-1].path)
    wrong = list(problems_of(found.document.value)) or list(contradictions(found.document.value))
    problems = [SpecProblem(dotted(path), words, place(found.document, path, last)) for path, words in wrong]
    if problems:
        raise SpecError(problems, "the site's configuration")


def _refused(path: Path, words: str) -> SpecError:
    return SpecError([SpecProblem("", words, str(path))], str(path))
