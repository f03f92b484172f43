"""Which attempt at a shard is the newest: a file that each attempt replaces when it begins, and never again.

Whoever finds another's name in it has been superseded, and ends: Slurm has started the job twice, or somebody has taken
its head for lost. The file is read again and again by a head that lives; its content is fetched anew at every open,
also on network file systems, and it has a name that is never removed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from curator_slurm.common.json_fields import whole
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.runs.paths import AttemptPaths


@dataclass(frozen=True)
class Epoch:
    """Content of the file: the newest attempt, and how many have begun so far."""

    number: int
    attempt: str


def read_epoch(attempt: AttemptPaths) -> Epoch | None:
    """The newest attempt at the shard of this one; None where nobody has said so, or it cannot be read."""
    try:
        value = read_json(attempt.epoch)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or (number := whole(value.get("number"))) is None:
        return None
    return Epoch(number, str(value.get("attempt")))


def raise_epoch(attempt: AttemptPaths) -> Epoch:
    """Make this attempt the newest; of two that do so at once, the one that is later.

    Raises:
        OSError: the storage refuses.
    """
    attempt.epoch.parent.mkdir(parents=True, exist_ok=True)
    before = read_epoch(attempt)
    epoch = Epoch(1 if before is None else before.number + 1, attempt.name)
    write_json(attempt.epoch, {"schema": 1, **asdict(epoch)})
    return epoch
