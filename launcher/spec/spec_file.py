"""A spec file read and checked: all errors at once, each with the file and line (or `--set`) it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from curator_slurm.executors import known_options
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.spec import exposed_secrets, overrides, sbatch_options
from curator_slurm.launcher.spec.command_text import errors_in_text
from curator_slurm.launcher.spec.keys import dotted, is_environment_value, section_at, settings, wants_text
from curator_slurm.launcher.spec.locks import Below
from curator_slurm.launcher.spec.merging import leave_out_displaced, leave_out_shards, merge
from curator_slurm.launcher.spec.model import NOT_YET, Spec
from curator_slurm.launcher.spec.placeholders import errors_in, find
from curator_slurm.launcher.spec.problems import describe, keys_of, path_of, sentence, shortened
from curator_slurm.launcher.spec.target import TARGET
from curator_slurm.launcher.spec.value_types import Backend
from curator_slurm.launcher.spec.yaml_document import Document, Path, YamlSyntaxError, parse

MAX_BYTES = 16 * 2**20
"""Larger files are refused."""

MAX_PROBLEMS = 100
"""Where there are more errors than this, the others are not described."""

_STAND_INS: dict[str, Any] = {"name": "stand-in", "pipeline": {"command": "true"}}
"""Stand in for required keys that are wrong, so that the rest of the spec can be checked."""

_OF_A_SHARD = {"shard.files", "shard.index"}
"""Placeholders whose values differ between shards."""


@dataclass
class Reading:
    """What a spec file and its overrides say.

    `spec` is the spec as far as it can be read: wrong settings are left out of it, so that further checks can look at
    the others. It is None if nothing in the file can be used.
    """

    source: str
    text: str
    spec: Spec | None = None
    problems: list[SpecProblem] = field(default_factory=list)
    more: int = 0
    """Errors that are not among the problems, because there are too many."""
    document: Document = field(default_factory=Document)
    notes: list[SpecProblem] = field(default_factory=list)
    """What could not be looked at, and other things that are no errors."""
    _noted: set[str] = field(default_factory=set, repr=False)

    def where(self, path: Path) -> str:
        """`file:line` of a key (or of the nearest section around it), or `--set`."""
        for length in range(len(path), -1, -1):
            line = self.document.lines.get(path[:length])
            if line is not None:
                source = self.document.sources.get(path[:length])
                return f"{source or self.source}:{line}" if line else source or overrides.WHERE
        return self.source

    def add(self, path: Path, message: str, where: str | None = None) -> None:
        """Note an error, once."""
        if self.is_full:
            self.more += 1
            return
        problem = SpecProblem(dotted(path), shortened(message), self.where(path) if where is None else where)
        if str(problem) not in self._noted:
            self._noted.add(str(problem))
            self.problems.append(problem)

    def warnings(self) -> list[SpecProblem]:
        """What is allowed, and is probably not meant."""
        found = exposed_secrets.warnings(self.spec) if self.spec is not None else ()
        return [*(SpecProblem(dotted(path), message, self.where(path)) for path, message in found), *self.notes]

    @property
    def is_full(self) -> bool:
        """Whether further errors are only counted: looking for what was meant by 20,000 unknown keys takes minutes."""
        return len(self.problems) >= MAX_PROBLEMS

    def add_at(self, key: str, message: str) -> None:
        """Note an error at a dotted key."""
        self.add(_path_of(key), message)

    def note_at(self, key: str, message: str) -> None:
        """Note what is no error at a dotted key."""
        self.notes.append(SpecProblem(key, shortened(message), self.where(_path_of(key))))

    def finish(self) -> None:
        """Raise SpecError if there is any error, in the order of the file."""
        if self.problems:
            order = {id(problem): index for index, problem in enumerate(self.problems)}
            ranked = sorted(self.problems, key=lambda problem: (_line_number(problem.where), order[id(problem)]))
            raise SpecError(ranked, self.source, self.more)


def _path_of(key: str) -> Path:
    parts = key.split(".") if key else ()
    return tuple(part if (index := whole_number(part)) is None else index for part in parts)


def read(path: FilePath, set_options: Sequence[str] = (), below: Below | None = None) -> Reading:
    """Read and check a spec file on top of the layers `below` it.

    Raises:
        SpecError: it cannot be read as YAML at all; other errors are noted.
        SitePolicyError: it changes what a layer has locked.
    """
    text = read_text(path)
    return read_string(text, str(path), set_options, below)


def read_string(text: str, source: str, set_options: Sequence[str] = (), below: Below | None = None) -> Reading:
    """`read` for a string, named `source` in messages."""
    reading = Reading(source, text)
    try:
        reading.document = parse(text)
    except YamlSyntaxError as error:
        raise SpecError([SpecProblem("", f"{error}", f"{source}:{error.line}")], source) from None
    _check_top(reading)
    for path, message, line in reading.document.problems:
        reading.add(path, message, f"{source}:{line}")
    below = below or Below()
    reading.document = merge(below.document, reading.document, Spec)
    for option in set_options:
        override = overrides.parse_override(option)
        problem = override if isinstance(override, SpecProblem) else overrides.apply(reading.document, override)
        if problem:
            reading.problems.append(problem)
    leave_out_displaced(reading.document)
    below.check(reading.document.value, reading.where)
    leave_out_shards(reading.document)
    _refuse_unavailable(reading)
    _restore_text(reading)
    _check_placeholders(reading)
    data = _without_nulls(reading.document.value, ())
    reading.spec = _validate(reading, data)
    _check_sbatch(reading)
    _check_executor(reading)
    return reading


def folder_of(path: FilePath) -> FilePath:
    """Where the relative paths of a spec file begin: its folder; of what a shell pipes in, where the shell is."""
    return FilePath.cwd() if path.is_fifo() else path.absolute().parent


def read_text(path: FilePath) -> str:
    """The text of a spec file; raises SpecError."""
    try:
        if path.is_dir():
            raise SpecError([SpecProblem("", "is a folder; give the YAML file in it", str(path))], str(path))
        with path.open("rb") as stream:  # also a pipe: validate <(...)
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "no such file; `curator-slurm init` writes a starter spec"
        raise SpecError([SpecProblem("", hint, str(path))], str(path)) from None
    except OSError as error:
        raise SpecError([SpecProblem("", f"cannot be read: {error.strerror}", str(path))], str(path)) from None
    except ValueError:
        raise SpecError([SpecProblem("", "is not a valid file name", repr(str(path)))], repr(str(path))) from None
    if len(raw) > MAX_BYTES:
        words = f"is too large for a spec: it has more than {MAX_BYTES:,} bytes"
        raise SpecError([SpecProblem("", words, str(path))], str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text: byte 0x{raw[error.start]:02x}; save the file as UTF-8"
        raise SpecError([SpecProblem("", message, f"{path}:{line}")], str(path)) from None


def origins(reading: Reading) -> dict[str, str]:
    """Dotted key of every setting of the spec -> `file:line`, `--set` or `default`."""
    assert reading.spec is not None
    return dict(_origins(reading, reading.spec.model_dump(by_alias=True), ()))


def _origins(reading: Reading, value: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        here = (*path, key)
        if isinstance(item, dict) and item and section_at(here):
            yield from _origins(reading, item, here)
        else:
            yield dotted(here), reading.where(here) if here in reading.document.lines else "default"


def _check_top(reading: Reading) -> None:
    value = reading.document.value
    if value is None:
        reading.document.value = {}
        if not reading.text.strip() or not reading.document.lines:
            reading.add((), "the spec is empty; `curator-slurm init` writes a starter spec", reading.source)
    elif not isinstance(value, dict):
        message = f"a spec must be a mapping of keys to values; found {describe(value)}"
        raise SpecError([SpecProblem("", message, f"{reading.source}:1")], reading.source)


def _refuse_unavailable(reading: Reading) -> None:
    for key, reason in NOT_YET.items():
        path = tuple(key.split("."))
        section = reading.document.value
        for part in path[:-1]:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict) and path[-1] in section:
            reading.add(path, f"`{key}`: {reason}")
            del section[path[-1]]


def _restore_text(reading: Reading) -> None:
    """Restore numbers as they were written where a string is expected: `1.10` is not 1.1."""
    for path, written in reading.document.written.items():
        holder = _holder(reading.document.value, path)
        if holder is None:
            continue
        truth = isinstance(holder[path[-1]], bool)
        of_group = path[:2] == ("resources", "groups") and path[3:-1] == ("sbatch",)
        option = path[:-1] == ("resources", "sbatch") or of_group
        if (is_environment_value(path) or (not truth and (wants_text(path) or option))) and holder[
            path[-1]
        ] is not None:
            holder[path[-1]] = written


def _holder(value: Any, path: Path) -> Any:
    """The dict or list that holds `path`; None if it does not exist (any more)."""
    for part in path[:-1]:
        if not _has(value, part):
            return None
        value = value[part]
    return value if path and _has(value, path[-1]) else None


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)


def _without_nulls(value: Any, path: Path) -> Any:
    """A setting without a value counts as not set; inside users' own mappings null stays."""
    section = section_at(path)
    if isinstance(value, dict) and section:
        known = settings(section)
        return {
            key: _without_nulls(item, (*path, key))
            for key, item in value.items()
            if item is not None or key not in known
        }
    if isinstance(value, list):
        return [_without_nulls(item, (*path, index)) for index, item in enumerate(value)]
    return value


def _check_placeholders(reading: Reading) -> None:
    data = reading.document.value
    pipeline = data.get("pipeline")
    if not isinstance(pipeline, dict):
        return
    files = data.get("input")
    has_input = isinstance(files, dict) and bool(files.get("paths") or files.get("manifest"))
    command = pipeline.get("command")
    used: dict[str | None, Path] = {}
    for path, text in _texts(pipeline, ("pipeline",)):
        inside_arguments = path[1] == "args" or (path[1] == "stages" and len(path) > 3 and _is_argument(pipeline, path))
        if inside_arguments or path[1] == "command":
            used.update((found.name, path) for found in find(text) if not found.escaped)
            errors = errors_in(text, has_input, bash=text is command)
            for message in chain(errors, errors_in_text(text) if text is command else ()):
                reading.add(path, f"`{dotted(path)}`: {message}")
    if data.get("shards") is not None and "input.files" in used and not used.keys() & _OF_A_SHARD:
        message = "`${input.files}` are all input files: every shard would process all of them; use `${shard.files}`"
        reading.add(used["input.files"], f"`{dotted(used['input.files'])}`: {message}")


def _is_argument(pipeline: dict[str, Any], path: Path) -> bool:
    """Whether a text in a stage is an argument: below `with`, or anywhere beside `_target_`."""
    stage = _holder(pipeline, path[1:4])
    return path[3] == "with" or (isinstance(stage, dict) and TARGET in stage and path[3] not in (TARGET, "resources"))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, part))


def _validate(reading: Reading, data: dict[str, Any]) -> Spec | None:
    """The spec; wrong settings are noted and left out, and the rest is checked again."""
    left_out: set[str] = set()
    for _ in range(4):
        try:
            return Spec.model_validate(data)
        except ValidationError as failure:
            for error in failure.errors(include_url=False):
                path = path_of(error, data)
                keys = keys_of(error)
                if keys:
                    path = tuple(keys[0].split("."))
                if not any(key in left_out for key in (*keys, dotted(path))):
                    reading.add(path, "" if reading.is_full else sentence(error, path))
                _leave_out(data, path, left_out)
                if error["type"] != "extra_forbidden":
                    left_out.update([dotted(path), *keys])
    return None


def _leave_out(data: dict[str, Any], path: Path, left_out: set[str]) -> None:
    """Take a wrong setting out of the data; required ones and the pipeline as a whole get a stand-in."""
    top = str(path[0]) if path else ""
    if top in _STAND_INS:
        data[top] = _STAND_INS[top]
        left_out.add(top)
        return
    holder = _holder(data, path)
    if isinstance(holder, list):
        # One wrong item makes the list useless, and taking it out would move the others.
        _leave_out(data, path[:-1], left_out)
    elif isinstance(holder, dict):
        del holder[path[-1]]


def _check_sbatch(reading: Reading) -> None:
    if reading.spec is None:
        return
    resources = reading.spec.resources
    for key, message in sbatch_options.normalise(resources.sbatch)[1]:
        reading.add(("resources", "sbatch", *filter(None, [key])), message)
    for index, group in enumerate(resources.groups):
        for key, message in sbatch_options.normalise(group.sbatch)[1]:
            path: Path = ("resources", "groups", index, "sbatch", *filter(None, [key]))
            reading.add(path, message.replace("`resources.sbatch", f"`{dotted(path[:4])}"))


def _check_executor(reading: Reading) -> None:
    """Refuse options that no version of the executor has; only the driver can tell what the installed version has."""
    spec = reading.spec
    if spec is None or not isinstance(spec.executor.backend, Backend):
        return
    for key in spec.executor.config:
        if problem := known_options.refusal(spec.executor.backend, key, suggest=not reading.is_full):
            reading.add(("executor", "config", key), f"`executor.config.{key}` {problem}")
    for index, stage in enumerate(spec.pipeline.stages or ()):
        for key in stage.xenna_stage_spec or {}:
            if problem := known_options.stage_refusal(key, suggest=not reading.is_full):
                path: Path = ("pipeline", "stages", index, "xenna_stage_spec", key)
                reading.add(path, f"`{dotted(path)}` {problem}")


def _line_number(where: str) -> int:
    last = whole_number(where.rpartition(":")[2])
    return 10**9 if last is None else last
