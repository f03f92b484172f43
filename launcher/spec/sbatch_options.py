"""Options of sbatch that users give under `resources.sbatch`: names checked, values made text.

The names are those of Slurm 22.05 to 25.11. A name that is none of them and looks like one is taken for a typo, and the
beginning of one is refused, as sbatch takes it for that option: neither locks nor what this module owns would see it.
Any other is passed on, because a newer Slurm may have it and sbatch itself refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

_SETS_IT = "curator-slurm sets it itself"
OWNED = {
    "array": "use `shards`, which are submitted as job arrays",
    "account": "use `resources.account`",
    "chdir": f"{_SETS_IT}: a job starts in its run directory",
    "clusters": "other clusters than the default one are not available yet",
    "container": "use `environment.container`",
    "cpus-per-task": "use `resources.cpus_per_node`",
    "cpus-per-gpu": "use `resources.cpus_per_node`",
    "error": f"{_SETS_IT}: logs are in the run directory",
    "export": "use `environment.env` and `environment.secrets`",
    "export-file": "use `environment.env` and `environment.secrets`",
    "get-user-env": "use `environment.env` and `environment.setup`",
    "gid": f"{_SETS_IT}: a job runs as the user who submits it",
    "gpus": "use `resources.gpus_per_node`",
    "gpus-per-node": "use `resources.gpus_per_node`",
    "gpus-per-socket": "use `resources.gpus_per_node`",
    "gpus-per-task": "use `resources.gpus_per_node`",
    "help": "it does not submit a job",
    "ignore-pbs": f"{_SETS_IT}: its scripts have no PBS options",
    "input": f"{_SETS_IT}: a job reads nothing from its standard input",
    "job-name": "use `name`",
    "mem": "use `resources.mem_per_node`",
    "no-kill": "use `cluster.min_nodes`, with which a run survives the loss of nodes",
    "no-requeue": "restarts are set in `restart`; without any: restart.mechanism: off",
    "nodes": "use `resources.nodes`",
    "ntasks": "use `resources.nodes`: one task runs on every node",
    "ntasks-per-core": "use `resources.nodes`: one task runs on every node",
    "ntasks-per-gpu": "use `resources.nodes`: one task runs on every node",
    "ntasks-per-node": "use `resources.nodes`: one task runs on every node",
    "ntasks-per-socket": "use `resources.nodes`: one task runs on every node",
    "open-mode": f"{_SETS_IT}: logs are in the run directory",
    "output": f"{_SETS_IT}: logs are in the run directory",
    "parsable": _SETS_IT,
    "partition": "use `resources.partition`",
    "quiet": _SETS_IT,
    "requeue": "restarts are set in `restart`",
    "signal": _SETS_IT,
    "tasks": "use `resources.nodes`: one task runs on every node",
    "tasks-per-node": "use `resources.nodes`: one task runs on every node",
    "test-only": "it does not submit a job; `curator-slurm submit --dry-run` shows what would be submitted",
    "time": "use `resources.time`",
    "uid": f"{_SETS_IT}: a job runs as the user who submits it",
    "usage": "it does not submit a job",
    "verbose": _SETS_IT,
    "version": "it does not submit a job",
    "wait": "use `curator-slurm submit --watch`",
    "wait-all-nodes": f"{_SETS_IT}: the node agents wait for each other",
    "wrap": "use `pipeline.command`",
}
"""Options that cannot be set here -> what to use instead."""

FLAGS = frozenset({"contiguous", "hold", "overcommit", "reboot", "spread-job", "use-min-nodes"})
"""Options that never have a value."""

EITHER = frozenset({"exclusive", "nice", "oversubscribe", "propagate"})
"""Options with an optional value."""

VALUES = frozenset(
    """
    acctg-freq batch bb bbf begin cluster-constraint comment consolidate-segments constraint container-id
    core-spec cores-per-socket cpu-freq deadline delay-boot dependency distribution exclude extra
    extra-node-info gpu-bind gpu-freq gres gres-flags hint kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile nodelist oom-kill-step power prefer
    priority profile qos reservation resv-ports segment sockets-per-node spread-segments stepmgr switches
    thread-spec threads-per-core time-min tmp tres-bind tres-per-job tres-per-task wckey
    """.split()  # noqa: SIM905 (a word list reads better than 55 lines)
)
"""Options that need a value, as far as we know."""

SHORT = {
    "A": "account",
    "B": "extra-node-info",
    "C": "constraint",
    "D": "chdir",
    "F": "nodefile",
    "G": "gpus",
    "H": "hold",
    "J": "job-name",
    "L": "licenses",
    "M": "clusters",
    "N": "nodes",
    "O": "overcommit",
    "Q": "quiet",
    "S": "core-spec",
    "V": "version",
    "W": "wait",
    "a": "array",
    "b": "begin",
    "c": "cpus-per-task",
    "d": "dependency",
    "e": "error",
    "h": "help",
    "i": "input",
    "k": "no-kill",
    "m": "distribution",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "s": "oversubscribe",
    "t": "time",
    "v": "verbose",
    "w": "nodelist",
    "x": "exclude",
}

_UNSURE = frozenset({"consolidate-segments", "spread-segments", "stepmgr", "resv-ports"})
"""Newer options that may have no value."""
MAX_LENGTH = 4000
"""sbatch reads an option of a script into a fixed buffer."""

_NAMES = {*OWNED, *FLAGS, *EITHER, *VALUES}


def long_name(key: str) -> str:
    """`C`, `mail_type` and `--mail-type` as sbatch writes them: `constraint`, `mail-type`."""
    bare = key.lstrip("-")
    return SHORT.get(bare, bare.replace("_", "-"))


def find(key: str) -> str | None:
    """The option that `key` names, None where sbatch has none of that name."""
    name = long_name(key)
    return name if name in _NAMES else None


MAX_OPTIONS = 200


def normalise(options: Mapping[str, Any]) -> tuple[dict[str, str | bool], list[tuple[str, str]]]:
    """Long names with strings (or True for a flag), and the problems as (key, message).

    null takes an option away, also one that cannot be set here: a plan may be older than the launcher that owns it.
    """
    result: dict[str, str | bool] = {}
    problems: list[tuple[str, str]] = []
    given: dict[str, str] = {}
    if len(options) > MAX_OPTIONS:
        return {}, [("", f"`resources.sbatch` has {len(options):,} options; sbatch has fewer than {MAX_OPTIONS}")]
    for key, value in options.items():
        name = long_name(key)
        if value is None and name in _NAMES:
            result.pop(name, None)
            continue
        problem = _problem_of_name(key, name) or _problem_of_value(key, name, value)
        if not problem and name in given:
            problem = f"`resources.sbatch.{key}` and `resources.sbatch.{given[name]}` are the same option"
        if problem:
            problems.append((key, problem))
            continue
        given[name] = key
        if value is not None and value is not False:
            result[name] = value if value is True else str(value)
    return result, problems


def _problem_of_name(key: str, name: str) -> str | None:
    label = f"`resources.sbatch.{key}`"
    if name in OWNED:
        return f"{label} cannot be set here: {OWNED[name]}"
    if name in _NAMES:
        return None
    if not name or not all(c.isascii() and (c.isalnum() or c == "-") for c in name):
        return f"{label} is not a valid name of an sbatch option"
    if len(name) == 1:
        return f"{label} is not an sbatch option"
    if longer := sorted(known for known in _NAMES if known.startswith(name)):
        owner = f" ({OWNED[longer[0]]})" if longer[0] in OWNED else ""
        meant = f"did you mean `{longer[0]}`{owner}? sbatch takes it so; write it in full"
        return f"{label} is not an sbatch option; {meant}"
    close = get_close_matches(name, sorted(_NAMES), n=1, cutoff=0.8)
    if close and not key.startswith("--"):
        owner = f" ({OWNED[close[0]]})" if close[0] in OWNED else ""
        return (
            f"{label} is not an sbatch option; did you mean `{close[0]}`{owner}? "
            f"To pass on an option of a newer Slurm, write `--{name}`"
        )
    return None


def _problem_of_value(key: str, name: str, value: Any) -> str | None:
    label = f"`resources.sbatch.{key}`"
    if value is None or value is False:
        return None
    if value is True:
        needs_value = name in VALUES - _UNSURE
        return f"{label} needs a value; found true" if needs_value else None
    if not isinstance(value, (str, int, float)):
        found = "a list" if isinstance(value, list) else "a section"
        return f"{label} must be a string, a number or true; found {found}"
    if name in FLAGS:
        return f"{label} is a flag: use true or false"
    text = str(value)
    if not text:
        return f"{label} is empty; remove it, or give it a value"
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return f"{label} must not contain a newline or another control character"
    if len(text.encode(errors="surrogateescape")) > MAX_LENGTH:
        return f"{label} is longer than the {MAX_LENGTH} bytes that sbatch reads"
    return None
