"""The kinds of values that a spec is made of, each with its check, and what a section is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError

from curator_slurm.common.sizes import parse_size

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENTRY_PATTERN = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
_ENTRY = re.compile(_ENTRY_PATTERN)
_TIME = re.compile(r"(\d{1,9}|\d{1,9}:\d{1,2}|\d{1,9}:\d{1,2}:\d{1,2}|\d{1,9}-\d{1,2}(:\d{1,2}){0,2})", re.ASCII)
_MEMORY = re.compile(r"\d{1,15}([KMGT]B?)?", re.ASCII | re.IGNORECASE)
_GPUS = re.compile(r"([A-Za-z0-9._-]+:)?\d{1,9}", re.ASCII)


def problem(message: str, *keys: str) -> PydanticCustomError:
    """A validation error of a section about `keys` (dotted, from the top); it is reported at the first of them."""
    return PydanticCustomError("problem", "{message}", {"message": message, "keys": list(keys)})


def _one_line(value: str) -> str:
    """Refuse control characters: they would end a line of the script, or hide in a log."""
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must not contain a newline or another control character")
    return value


def _scalar_to_text(value: Any) -> Any:
    """YAML gives 2 and true where environment variables and sbatch options are strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return value


def _no_truth_value(value: Any) -> Any:
    """Refuse true and false, which pydantic takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number; found {str(value).lower()}")
    return value


def _command(value: Any) -> Any:
    if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise ValueError("must be a string, which bash runs, or a list of strings: the program and its arguments")
    if not value or (isinstance(value, str) and not value.strip()):
        raise ValueError("must not be empty")
    if any("\0" in item for item in value):
        raise ValueError("must not contain a NUL byte")
    return value


GROUP_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,30}[A-Za-z0-9])?"
"""Ray takes it for the value of a label."""


def _group_name(text: str) -> str:
    if not re.fullmatch(GROUP_PATTERN, text):
        raise ValueError("must be letters, digits, `-`, `_` and `.`, at most 32, with a letter or digit first and last")
    return text


def _name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            "must be at most 63 letters, digits, dots, hyphens and underscores, and start with a letter or digit"
        )
    return value


def _bash(value: str) -> str:
    """Refuse what bash source or sbatch cannot contain."""
    if "\r" in value:
        raise ValueError("must not contain a carriage return: sbatch refuses such scripts")
    return _no_null(value)


def as_list(value: Any) -> Any:
    """A single string as the list that it stands for."""
    return [value] if isinstance(value, str) else value


def _no_null(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL byte")
    return value


def _time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError("must be a Slurm time: minutes, minutes:seconds, hours:minutes:seconds or days-hours...")
    return value


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise ValueError("must be a number with K, M, G or T (Slurm's units; a bare number is megabytes)")
    return value


def _size(value: str) -> str:
    try:
        parse_size(value)
    except ValueError:
        raise ValueError("must be a size such as 500M, 10G or 1.5T (powers of 1024; a bare number is bytes)") from None
    return value


def _gpus(value: str) -> str:
    if not _GPUS.fullmatch(value):
        raise ValueError("must be a number of GPUs, or type:number such as a100:4")
    return value


def _env_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a valid name of an environment variable")
    return value


class Backend(StrEnum):
    """The executors of curator-slurm."""

    XENNA = "xenna"
    RAY_DATA = "ray_data"
    RAY_ACTOR_POOL = "ray_actor_pool"


def _backend(value: Any) -> Any:
    names = [backend.value for backend in Backend]
    if value in names:
        return Backend(value)
    if isinstance(value, str) and _ENTRY.fullmatch(value):
        return value
    if isinstance(value, str) and ("." in value or ":" in value):
        raise ValueError(
            f"must be {', '.join(names)}, or module:Class of another executor, such as "
            f"nemo_curator.backends.xenna:XennaExecutor; found {value!r}"
        )
    raise PydanticCustomError("enum", "not a backend", {"expected": ", ".join(names)})


def _entry(value: str) -> str:
    if not _ENTRY.fullmatch(value):
        is_class = value.isidentifier() and value[:1].isupper()
        example = f"curator_slurm.executors.stages:{value}" if is_class else "my_project.pipelines:build"
        raise ValueError(f"{value!r} must be module:name, such as {example}")
    return value


_TEXT_SCHEMA = WithJsonSchema({"type": ["string", "number"]})
_TEXT_LIST_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": ["string", "number"]}, {"type": "array", "items": {"type": ["string", "number"]}}]}
)

Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_truth_value)]
Line = Annotated[str, AfterValidator(_one_line), Field(min_length=1), _TEXT_SCHEMA]
"""Text without control characters."""
Entry = Annotated[str, AfterValidator(_entry)]
BackendName = Annotated[
    Backend | str,
    BeforeValidator(_backend),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [backend.value for backend in Backend]},
                {"type": "string", "pattern": f"^{_ENTRY_PATTERN}$"},
            ]
        }
    ),
]
EnvName = Annotated[str, AfterValidator(_env_name)]
EnvValue = Annotated[
    str,
    BeforeValidator(_scalar_to_text),
    AfterValidator(_no_null),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Bash = Annotated[str, AfterValidator(_bash)]
LineList = Annotated[list[Line], BeforeValidator(as_list), _TEXT_LIST_SCHEMA]
Path = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})]
GroupName = Annotated[
    str, AfterValidator(_group_name), WithJsonSchema({"type": "string", "pattern": f"^{GROUP_PATTERN}$"})
]
Command = Annotated[
    str | list[str],
    BeforeValidator(_command),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}),
]
Gpus = Annotated[str, BeforeValidator(_scalar_to_text), AfterValidator(_gpus), _TEXT_SCHEMA]
Memory = Annotated[str, BeforeValidator(_scalar_to_text), AfterValidator(_memory), _TEXT_SCHEMA]
Time = Annotated[str, BeforeValidator(_scalar_to_text), AfterValidator(_time), _TEXT_SCHEMA]
Size = Annotated[str, BeforeValidator(_scalar_to_text), AfterValidator(_size), _TEXT_SCHEMA]
"""A number of bytes, written as 10G or 512MiB."""
EnvNameList = Annotated[list[EnvName], BeforeValidator(as_list), _TEXT_LIST_SCHEMA]
BashList = Annotated[list[Bash], BeforeValidator(as_list), _TEXT_LIST_SCHEMA]


@dataclass(frozen=True)
class OrPlain:
    """Beside its validator: says in the JSON schema that a section may be written as a plain value, too."""

    plain: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), dict(self.plain)]}


class Section(BaseModel):
    """One section of the spec: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, ser_json_inf_nan="constants", defer_build=True
    )
