"""The address of a webhook, which is a secret: who knows it can post there.

It is read where a run is submitted and lies among the run's secrets, so that jobs need neither the file nor the
variable; no message has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.files import read_object
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.spec.notify_section import NotifySpec

_KEY = "notify.webhook"
_NAME = "curator-slurm webhook"
"""Among the secret variables of a run: no variable can have this name, so that no program gets it."""
_BYTES = 1 << 16


def address_for(
    notify: NotifySpec, environ: Mapping[str, str], source: str, run: RunPaths | None = None
) -> dict[str, str]:
    """What is to be put among the secrets of a run; where nobody can tell, what is there already of `run`.

    Raises:
        SpecError: the variable or the file is missing, or holds no address.
    """
    if notify.webhook is None:
        return {}
    try:
        return {_NAME: _read(notify, environ)}
    except ValueError as error:
        known = address_of(run, notify, {}) if run is not None else None
        if known is not None:
            return {_NAME: known}
        raise SpecError([SpecProblem(_KEY, f"`{_KEY}`: {error}")], source) from None


def address_of(run: RunPaths, notify: NotifySpec, environ: Mapping[str, str]) -> str | None:
    """The address for a run that exists; None where there is none, or no more."""
    if notify.webhook is None:
        return None
    known = (read_object(run.secret_environment) or {}).get(_NAME)
    if isinstance(known, str):
        return known
    try:
        return _read(notify, environ)
    except ValueError:
        return None


def _read(notify: NotifySpec, environ: Mapping[str, str]) -> str:
    variable = notify.webhook_variable
    if variable is not None:
        if variable not in environ:
            raise ValueError(f"the environment variable {variable} is not set; export it first")
        text, where = environ[variable], f"the value of {variable}"
    else:
        where = str(notify.webhook)
        try:
            text = read_plain(Path(where), _BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise ValueError(f"{where} cannot be read: {storage_errors.what(error)}") from None
    text = text.strip()
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and not any(c.isspace() for c in text)
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"{where} is not one http or https address")
    return text
