"""Secrets that stand in a spec, or that a command would show: names and values that look like one. Pure.

What is found is a warning, never an error: nobody but the user knows. A message never has the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.placeholders import ENV, find
from curator_slurm.launcher.spec.yaml_document import Path

_WORDS = frozenset({"TOKEN", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"})
_GLUED = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY)\Z")
"""`PGPASSWORD`, `HFTOKEN`; but not `TOKENIZERS`."""
_KEYS = re.compile(
    r"(?:\A|_)(?:API|ACCESS|ACCOUNT|AUTH|ENCRYPTION|MASTER|PRIVATE|SECRET|SIGNING|SSH|STORAGE)_?KEY(?:\Z|_)"
)
_ABOUT = re.compile(
    r"_(?:PATH|FILE|DIR|FOLDER|NAME|ID|TYPE|MODE|KIND|URL|URI|ENDPOINT|HOST|TTL|TIMEOUT|EXPIRES|EXPIRY|LENGTH|LEN|SIZE|"
    r"LIMIT|COUNT|INDEX|PARALLELISM)\Z"
)
"""Last words of names of variables that are about a secret, and hold none."""
_OF_TEXTS = re.compile(r"(?:\A|_)(?:PAD|EOS|BOS|UNK|MASK|SEP|CLS|SPECIAL|STOP|START|END|NEXT|MAX|MIN|PER)_TOKEN\Z")
"""`PAD_TOKEN` and the like are tokens of a language model."""
_HARMLESS = re.compile(r"(?:true|false|yes|no|on|off|none|null|[0-9]{1,4}|[~./].*)?\Z", re.IGNORECASE)
"""Switches, numbers and paths."""
_MIXED = r"(?=[A-Za-z_-]*[0-9A-Z])"
_VALUES: Mapping[str, re.Pattern[str]] = {
    "a token of Hugging Face": re.compile(rf"\bhf_{_MIXED}[A-Za-z0-9]{{8,}}"),
    "an API key": re.compile(rf"\b(?:sk|nvapi|rk)-{_MIXED}[\w-]{{8,}}|\bAIza[\w-]{{30,}}"),
    "an access key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b"),
    "a token of GitHub or GitLab": re.compile(rf"\b(?:gh[pousr]_|github_pat_|glpat-){_MIXED}[\w-]{{8,}}"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[\w-]{8,}"),
    "a signed token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@$]+@"),
}
_ASSIGNED = re.compile(r"""(?<![\w$-])([A-Za-z_]\w*)=("[^"$`]+"|'[^']+'|[^\s"'$`;&|()]+)""")
_CURE = "name it in `environment.secrets`, and export it before you submit"


def warnings(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Where a secret stands or would be shown, and a sentence about it."""
    for name, value in spec.environment.env.items():
        if why := _why(name, value):
            yield (
                ("environment", "env", name),
                f"`environment.env.{name}` {why}; values of `environment.env` are in the plan and the script: {_CURE}",
            )
    for index, command in enumerate(spec.environment.setup):
        for name, value in (*_ASSIGNED.findall(command), ("", command)):
            if why := _why(name, value.strip("\"'")):
                what = f"sets {name}, which {why}" if name else why
                yield (
                    ("environment", "setup", index),
                    f"`environment.setup` {what}; the commands are in the plan and the script: {_CURE}",
                )
                break
    yield from _in_command(spec)
    for index, stage in enumerate(spec.pipeline.stages or ()):
        yield from _in_runtime_env(stage.runtime_env, ("pipeline", "stages", index, "runtime_env"))
    yield from _in_runtime_env(spec.executor.config.get("runtime_env"), ("executor", "config", "runtime_env"))


def looks_secret(name: str) -> bool:
    """Whether a variable of this name usually holds a secret."""
    name = name.upper()
    if _ABOUT.search(name) or _OF_TEXTS.search(name):
        return False
    return bool(_WORDS.intersection(name.split("_")) or _GLUED.search(name) or _KEYS.search(name))


def _why(name: str, value: str) -> str:
    """Why a variable seems to hold a secret, as the end of a sentence; empty if it does not."""
    kind = next((kind for kind, pattern in _VALUES.items() if pattern.search(value)), "")
    if kind:
        return f"has a value that looks like {kind}"
    return "looks like a secret by its name" if looks_secret(name) and not _HARMLESS.match(value) else ""


def _in_command(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Arguments of programs are public: everybody on a node reads them with `ps`."""
    command = spec.pipeline.command
    items = [command] if isinstance(command, str) else command or []
    for index, item in enumerate(items):
        path: Path = ("pipeline", "command") if isinstance(command, str) else ("pipeline", "command", index)
        if why := _why("", item):
            yield path, f"`pipeline.command` {why}; it is in the plan, and may be on a command line: {_CURE}"
        for found in find(item):
            variable = ENV.match(found.name or "") if not found.escaped else None
            name = variable[1] if variable else ""
            if name in spec.environment.secrets or looks_secret(name):
                yield (
                    path,
                    f"`${{env:{name}}}` in `pipeline.command`: everybody on the node can read a program's arguments; "
                    f"let the program read {name} from its environment",
                )


def _in_runtime_env(runtime_env: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Ray starts a worker with its `env_vars` as an argument."""
    variables = runtime_env.get("env_vars") if isinstance(runtime_env, dict) else None
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if why := _why(str(name), str(value)):
            here = (*path, "env_vars", name)
            yield here, f"`{dotted(here)}` {why}; Ray has `env_vars` on a command line while a worker starts: {_CURE}"
