"""What an element leaves where the run goes on after it: a request that its batch script carries out.

The request is lines of `key=value` that bash reads; what is to be submitted lies beside it, complete.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher.files import RECORD_BYTES
from curator_slurm.launcher.ranges import format_numbers, parse_numbers
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.submissions import RESTARTING_S

GOES_ON = 75
"""What an agent exits with that has left a request, because the head of its job is lost."""
ENDS_JOB = 76
"""What an agent exits with where nothing goes on: the shell outside, which has Slurm's commands, ends the job."""


class How(StrEnum):
    """What the batch script does."""

    REQUEUE = "requeue"
    SUBMIT = "submit"
    CHAIN = "chain"
    """Nothing: the next job of the chain is in the queue."""
    DROP = "drop"
    """It does not go on: the other jobs of the chain are cancelled."""


@dataclass(frozen=True, kw_only=True)
class RestartRequest:
    """How a run goes on after an element, with which shards, and what sbatch is to be given."""

    how: How
    shards: Sequence[int] = ()
    delay_s: float = 0.0
    comment: str = ""
    array: str = ""
    after: str = ""
    job_name: str = ""
    may_submit: bool = False
    """Of a requeue: whether a new job will do where Slurm refuses."""
    cancels: bool = False
    """Whether the job is to be ended, because its head cannot."""
    jobs: Sequence[str] = ()
    """What is dropped."""
    exclude: str = ""
    """Nodes that the next job does without, if it can start so."""

    def write(self, cluster: ClusterPaths) -> None:
        """Write it, for bash.

        Raises:
            OSError: that is impossible.
        """
        values = {
            "how": self.how.value,
            "shards": format_numbers(self.shards),
            "delay": str(int(self.delay_s + 0.5)),
            "comment": self.comment,
            "array": self.array,
            "after": self.after,
            "name": self.job_name,
            "may_submit": "1" if self.may_submit else "",
            "cancels": "1" if self.cancels else "",
            "jobs": " ".join(self.jobs),
            "exclude": self.exclude,
        }
        write_atomic(cluster.restart_request, "".join(f"{key}={value}\n" for key, value in values.items()), 0o600)


def read_request(cluster: ClusterPaths) -> RestartRequest | None:
    """The request of an element; None where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        text = read_plain(cluster.restart_request, RECORD_BYTES).decode(errors="replace")
        values = dict(line.partition("=")[::2] for line in text.splitlines())
        shards = values.get("shards", "")
        return RestartRequest(
            how=How(values.get("how", "")),
            shards=parse_numbers(shards) if shards else (),
            delay_s=float(values.get("delay") or 0),
            comment=values.get("comment", ""),
            array=values.get("array", ""),
            after=values.get("after", ""),
            job_name=values.get("name", ""),
            may_submit=bool(values.get("may_submit")),
            cancels=bool(values.get("cancels")),
            jobs=values.get("jobs", "").split(),
            exclude=values.get("exclude", ""),
        )
    return None


def goes_on(cluster: ClusterPaths) -> RestartRequest | None:
    """The request of the newest folder of an element, while it waits to be carried out or for its effect.

    A new job has a submission of its own from the moment on at which its folder is moved to its place.
    """
    request = read_request(cluster)
    if request is None or cluster.restart_refused.exists() or cluster.cancelled.exists():
        return None
    if request.how is How.SUBMIT and not cluster.resubmission.exists():
        return None
    return request if request.how in (How.REQUEUE, How.SUBMIT) else None


def is_fresh(cluster: ClusterPaths) -> bool:
    """Whether a request is so new that somebody is still at it."""
    with contextlib.suppress(OSError):
        return abs(time.time() - cluster.restart_request.stat().st_mtime) < RESTARTING_S
    return False
