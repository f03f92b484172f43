"""What can be seen before submission, on the machine where the user is: files, folders, secrets."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from curator_slurm.common.addresses import is_address, is_remote
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.inputs.address import local_path
from curator_slurm.launcher.runs.published import why_kept
from curator_slurm.launcher.spec.data_sections import IfExists
from curator_slurm.launcher.spec.environment_section import EnvironmentSpec, Stage
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.value_types import Backend
from curator_slurm.launcher.staging.software import is_of_system


def problems(
    spec: Spec, environ: Mapping[str, str], folder: Path, *, publishes: bool = True
) -> Iterator[tuple[str, str]]:
    """(dotted key, message) of everything that would make a run of this spec, from `folder`, fail.

    `publishes` is False where nothing is to be put into `output.path`. A path that may not be looked at (no
    permission, a name too long) is an error of its setting.
    """
    for key, check in _CHECKS.items():
        if key == "output.path" and not publishes:
            continue
        if key in _OF_IMAGE and spec.environment.container is not None:
            continue  # a path of the image
        try:
            yield from check(spec)
        except (OSError, ValueError) as error:
            yield key, f"`{key}`: {storage_errors.what(error)}"
    yield from _executor(spec, folder)
    yield from _secrets(spec.environment, environ)


def _pipeline_file(spec: Spec) -> Iterator[tuple[str, str]]:
    file = spec.pipeline.file
    if file is not None and not Path(file).is_file():
        yield "pipeline.file", f"`pipeline.file`: {file} does not exist"


def _checkpoint(spec: Spec) -> Iterator[tuple[str, str]]:
    checkpoint = spec.pipeline.checkpoint_path
    if checkpoint is None:
        return
    if is_address(checkpoint):
        yield "pipeline.checkpoint_path", f"`pipeline.checkpoint_path` must be a folder; found {checkpoint}"
    elif Path(checkpoint).exists() and not Path(checkpoint).is_dir():
        yield "pipeline.checkpoint_path", f"`pipeline.checkpoint_path` {checkpoint} is a file, not a folder"
    elif problem := cannot_create(Path(checkpoint)):
        yield "pipeline.checkpoint_path", f"`pipeline.checkpoint_path` {checkpoint} cannot be created: {problem}"


def _executor(spec: Spec, folder: Path) -> Iterator[tuple[str, str]]:
    backend = spec.executor.backend
    here = spec.environment
    if not isinstance(backend, Backend) and not (
        here.python or here.venv or here.conda or here.uv or here.container
    ):  # else its modules are there
        package = backend.partition(":")[0].partition(".")[0]
        beside = (folder / package).is_dir() or (folder / f"{package}.py").is_file()
        if not beside and importlib.util.find_spec(package) is None:
            hint = "; pip install nemo-curator brings it" if package == "nemo_curator" else ""
            yield "executor.backend", f"`executor.backend`: there is no module {package!r} in this environment{hint}"


def _input_paths(spec: Spec) -> Iterator[tuple[str, str]]:
    for index, pattern in enumerate(spec.input.paths if spec.input else ()):
        key = f"input.paths.{index}"
        try:
            if not is_remote(pattern) and not _names_a_file(local_path(pattern)):
                yield key, f"`input.paths`: {pattern}: {_why_no_file(Path(local_path(pattern)))}"
        except (OSError, ValueError) as error:
            yield key, f"`input.paths`: {storage_errors.what(error)}"


def _input_manifest(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.input is None or spec.input.manifest is None:
        return
    from curator_slurm.launcher.inputs.filelist import KINDS

    manifest = Path(local_path(spec.input.manifest))
    if not spec.input.manifest.lower().endswith(KINDS):
        yield "input.manifest", f"`input.manifest`: {spec.input.manifest} must end in .txt, .jsonl or .csv"
    elif is_remote(spec.input.manifest):
        return
    elif not manifest.is_file():
        what = "is a folder; put folders into `input.paths`" if manifest.is_dir() else "does not exist"
        yield "input.manifest", f"`input.manifest`: {manifest} {what}"
    elif not os.access(manifest, os.R_OK):
        yield "input.manifest", f"`input.manifest`: {manifest} cannot be read"


def _names_a_file(pattern: str) -> bool:
    """Whether a path, folder or glob matches any file; stops at the first, because there may be millions."""
    from curator_slurm.launcher.inputs.local import matches

    return any(Path(match).is_file() or any(files for _, _, files in os.walk(match)) for match in matches(pattern))


def _why_no_file(path: Path) -> str:
    if not path.is_dir():
        return "no files match"
    return "is a folder without files" if os.access(path, os.R_OK | os.X_OK) else "cannot be read: Permission denied"


def _venv(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.environment.venv is not None:
        python = Path(spec.environment.venv, "bin", "python")
        if not os.access(python, os.X_OK):
            yield (
                "environment.venv",
                f"`environment.venv` {spec.environment.venv} is not a virtual environment: no {python}",
            )


def _python(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.environment.python is not None:
        python = Path(spec.environment.python)
        # An interpreter may be there on the nodes alone; then its folder is not here either.
        if python.parent.is_dir() and not (python.is_file() and os.access(python, os.X_OK)):
            yield "environment.python", f"`environment.python` {python} is not an executable program"


def _conda(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.environment.conda is not None and spec.environment.conda.startswith("/"):
        prefix = Path(spec.environment.conda)
        if prefix.parent.is_dir() and not (prefix / "conda-meta").is_dir():
            yield "environment.conda", f"`environment.conda` {prefix} is not a conda environment: it has no conda-meta"


def _uv(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.environment.uv is None:
        return
    project = Path(spec.environment.uv)
    if not project.parent.is_dir():
        return  # it may be there on the nodes alone
    for name in ("pyproject.toml", "uv.lock"):
        if not (project / name).is_file():
            step = "run `uv lock` there" if name == "uv.lock" else "name the folder of a project of uv"
            yield "environment.uv", f"`environment.uv` {project} has no {name}; {step}"
            return
    if not os.access(project / ".venv/bin/python", os.X_OK):
        message = (
            f"`environment.uv` {project} has no environment yet; run `uv sync --locked` there, where the internet is"
        )
        yield "environment.uv", message


def _stage_paths(spec: Spec) -> Iterator[tuple[str, str]]:
    environment = spec.environment
    if environment.stage_paths and environment.stage is Stage.SHARED:
        yield (
            "environment.stage_paths",
            "`environment.stage_paths` go to the nodes with `environment.stage: node_local`; set that, or leave them "
            "out",
        )
    for index, text in enumerate(environment.stage_paths):
        key, path = f"environment.stage_paths.{index}", Path(text)
        if is_of_system(text):
            yield key, f"`{key}`: {text} is a folder that every node has itself"
        elif path.parent.is_dir() and not path.is_dir():
            what = "is a file; name its folder" if path.exists() else "does not exist"
            yield key, f"`{key}`: {text} {what}"


def _secrets(environment: EnvironmentSpec, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(environment.secrets):
        if name not in environ:
            yield (
                f"environment.secrets.{index}",
                f"`environment.secrets`: {name} is not set in your environment; export it before submitting",
            )


def _output(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.output.path is None:
        return
    path = Path(spec.output.path)
    if is_address(spec.output.path):
        yield "output.path", f"`output.path` must be a folder on shared storage; found {spec.output.path}"
    elif path.is_dir():
        if any(path.iterdir()) and (problem := _filled(path, spec.output.if_exists)):
            yield "output.path", problem
    elif path.exists():
        yield "output.path", f"`output.path` {path} is a file, not a folder"
    elif problem := cannot_create(path):
        yield "output.path", f"`output.path` {path} cannot be created: {problem}"


def _filled(path: Path, if_exists: IfExists) -> str:
    """Why outputs cannot go to a folder that is not empty; empty where what is there may be replaced."""
    if if_exists is not IfExists.REPLACE:
        return (
            f"`output.path` {path} is not empty; outputs would be mixed with its files. Give another folder, or "
            "set output.if_exists to new_version, or to replace where an earlier run has published what is there"
        )
    if why := why_kept(path):
        return f"`output.path` {path} cannot be replaced: it {why}"
    parent = path.parent
    return (
        ""
        if os.access(parent, os.W_OK | os.X_OK)
        else f"`output.path` {path} cannot be replaced: {parent} is not writable"
    )


def _runs_folder(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.storage.runs is None:
        return
    path = Path(spec.storage.runs)
    advice = "set another folder with storage.runs or $CURATOR_SLURM_RUNS"
    if is_address(spec.storage.runs):
        yield "storage.runs", f"`storage.runs` must be a folder on shared storage; found {path}"
    elif path.is_dir():
        if not os.access(path, os.W_OK | os.X_OK):
            yield "storage.runs", f"the runs folder {path} is not writable; {advice}"
    elif problem := cannot_create(path):
        yield "storage.runs", f"the runs folder {path} cannot be created: {problem}; {advice}"


def cannot_create(path: Path) -> str:
    """Why `path` and its parent folders cannot be created; empty if they can."""
    for parent in (path, *path.parents):
        if parent.is_dir():
            if parent.is_relative_to("/proc") or parent.is_relative_to("/sys"):
                return f"{parent} belongs to the kernel"
            if os.statvfs(parent).f_flag & os.ST_RDONLY:
                return f"the file system of {parent} is read-only"
            return "" if os.access(parent, os.W_OK | os.X_OK) else f"{parent} is not writable"
        if parent.exists() or parent.is_symlink():
            return f"{parent} is not a folder"
    return ""


_CHECKS: Mapping[str, Callable[[Spec], Iterator[tuple[str, str]]]] = {
    "pipeline.file": _pipeline_file,
    "pipeline.checkpoint_path": _checkpoint,
    "input.paths": _input_paths,
    "input.manifest": _input_manifest,
    "environment.venv": _venv,
    "environment.python": _python,
    "environment.conda": _conda,
    "environment.uv": _uv,
    "environment.stage_paths": _stage_paths,
    "output.path": _output,
    "storage.runs": _runs_folder,
}
"""Setting -> its check."""
_OF_IMAGE = frozenset({"environment.venv", "environment.python", "environment.conda"})
