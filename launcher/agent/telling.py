"""Telling people of the end of a run from its job, by whoever writes the last outcome of it (`notify`)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.agent.last_element import is_over
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.notify.notice import Notice, notice_of_end, notice_of_wait
from curator_slurm.launcher.notify.run_command import leave_for_script, run_here
from curator_slurm.launcher.notify.tell import Teller
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs.attempt_records import Outcome
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.manifest import count_shards
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.submissions import Submission, read_submissions, submission_of
from curator_slurm.launcher.spec.data_sections import CollectMode
from curator_slurm.launcher.spec.notify_section import NotifyEvent
from curator_slurm.launcher.states import RunState

SIGNALLED_S = 5.0
"""The most that telling may take when Slurm has signalled the job: KillWait is 30 seconds as a rule."""


class Telling:
    """What a job tells of its run; make it before the run's secrets are removed.

    `commands`: the batch script that this agent belongs to will run `notify.command`.
    """

    def __init__(self, cluster: ClusterPaths, plan: Plan, *, environ: Mapping[str, str], commands: bool = True) -> None:
        self._cluster = cluster
        self._plan = plan
        self._thread: threading.Thread | None = None
        self._commands = commands
        notify = plan.spec.notify
        self._asked = notify.command is not None or notify.webhook is not None
        if not self._asked:
            return
        way = leave_for_script(cluster) if plan.cluster is Cluster.SLURM else run_here(cluster.root)
        self._teller = Teller(cluster.run, notify, environ, cluster.name, log.warning, way)

    def began(self, submission: int | None) -> None:
        """Tell that the run has waited for long, where nobody has while it did; in the background."""
        limit = self._plan.spec.notify.waiting_hours
        if not self._asked or limit is None or not self._teller.wants(NotifyEvent.WAITING):
            return
        own = submission_of(_submissions(self._cluster), submission)
        waited = 0.0 if own is None else (time.time() - own.record.prepared) / 3600
        if own is not None and waited >= limit:
            words = f"Its job {self._cluster.job_id} starts now."
            notice = notice_of_wait(RunState.STARTING, waited, **self._names(), message=words)
            self._start(notice, own.record.number)

    def end(self, outcome: Outcome) -> None:
        """Tell how the run has ended, if it has with this element; in the background, until `finish`."""
        if not self._asked or outcome.failure_class is FailureClass.SUPERSEDED:
            return
        submissions = _submissions(self._cluster)
        if not is_over(self._cluster, array=self._plan.array) or not self._has_all(submissions):
            return
        notice = self._notice_of_end(outcome)
        self._start(notice, max((each.record.number for each in submissions), default=0))

    def finish(self, *, hurries: bool) -> None:
        """Wait until it is told, or for as long as that may take."""
        if self._thread is not None:
            limit_s = self._plan.spec.notify.timeout_s + 1.0
            self._thread.join(min(limit_s, SIGNALLED_S) if hurries else limit_s)

    def _start(self, notice: Notice, number: int) -> None:
        before, posts = self._thread, not self._is_offline()

        def work() -> None:
            if before is not None:
                before.join()
            try:
                self._teller.tell(notice, number, posts=posts, commands=self._commands)
            except Exception:
                log.exception("telling people of the run failed")

        self._thread = threading.Thread(target=work, name="telling", daemon=True)
        self._thread.start()

    def _has_all(self, submissions: list[Submission]) -> bool:
        """Whether this element is the one to tell: no collect job comes after it, and no shards that had no room."""
        if not self._plan.array:
            return True
        if self._plan.cluster is Cluster.SLURM and self._plan.spec.output.collect is CollectMode.AUTO:
            return False
        given = {shard for each in submissions for element in each.elements for shard in element.shards}
        return len(given) >= count_shards(self._cluster.run.manifest)

    def _notice_of_end(self, outcome: Outcome) -> Notice:
        run, state = self._cluster.run, outcome.state
        done = len(done_shards(run))
        total = count_shards(run.manifest) if self._plan.array else 1
        if self._plan.array and state is not RunState.CANCELLED:
            state = RunState.COMPLETED if done >= total else RunState.INCOMPLETE if done else RunState.FAILED
        good = state is RunState.COMPLETED
        return notice_of_end(
            state,
            **self._names(),
            message=outcome.message if not good or not self._plan.array else "",
            failure_class="" if good else str(outcome.failure_class or ""),
            next_step="" if good else outcome.next_step,
            shards_done=done,
            shards_total=total,
        )

    def _names(self) -> dict[str, str]:
        run = self._cluster.run
        return {
            "run_id": run.run_id,
            "name": self._plan.spec.name,
            "run_dir": str(run.root),
            "job_id": self._cluster.job_id,
        }

    def _is_offline(self) -> bool:
        """Whether the site says that nothing outside can be reached from here: then others tell, who can."""
        if self._plan.site is None:
            return False
        from curator_slurm.launcher.plan.internet import internet_of

        return internet_of(self._plan)[0] == "no"


def _submissions(cluster: ClusterPaths) -> list[Submission]:
    try:
        return list(read_submissions(cluster.run))
    except (OSError, StorageError):
        return []


def telling_of(cluster: ClusterPaths, plan: Plan, *, commands: bool = True) -> Telling:
    """With the environment of this process."""
    return Telling(cluster, plan, environ=os.environ, commands=commands)
