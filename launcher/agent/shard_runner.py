"""The shards of a job or array element, one after the other, each with its own driver, folder and outcome.

A run without an array has one shard, and its job's outcome is that of the shard.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from curator_slurm.common.in_words import several
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.credentials import remove_credentials
from curator_slurm.launcher.agent.draining import Draining
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.drivers import Drivers, EndedEarlyError, stop_driver
from curator_slurm.launcher.agent.earlier_attempts import EarlierAttempts
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.errors import BootstrapError, StorageError
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.files import read_json, read_jsonl
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.manifest import read_shard
from curator_slurm.launcher.runs.nothing_kept import nothing_kept
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.publish import Publisher
from curator_slurm.launcher.runs.shard_records import DoneRecord, Shard, count_failed
from curator_slurm.launcher.runs.takeover import sweep
from curator_slurm.launcher.sharding.changes import check_inputs
from curator_slurm.launcher.spec.data_sections import IfExists
from curator_slurm.launcher.states import RunState


class ShardRunner:
    """Processes shards on one Ray cluster. A shard that fails does not stop the others; a cluster that ends does."""

    def __init__(
        self,
        context: AgentContext,
        drivers: Drivers,
        events: EventLog,
        outcomes: Outcomes,
        shards: Sequence[int],
        draining: Draining,
        check_nodes: Callable[[], None] = lambda: None,
    ) -> None:
        self.context = context
        self.driver: DriverProcess | None = None
        self._drivers = drivers
        self._events = events
        self._outcomes = outcomes
        self._draining = draining
        self._check_nodes = check_nodes
        self._earlier = EarlierAttempts(context, events)
        self._left = deque(shards)
        self._total = len(shards)
        self._done: list[int] = []
        self._failed: dict[int, Outcome] = {}
        self._attempt: AttemptPaths | None = None
        self._shard: Shard | None = None
        self._abandoned: list[AttemptPaths] = []
        self._latest: Outcome | None = None
        self._began = time.time()
        self._publisher = Publisher(
            run=context.run,
            checksums=bool(getattr(context.plan.spec.output, "checksums", False)),
            umask=context.umask,
            replaces=context.plan.spec.output.if_exists is IfExists.REPLACE,
        )

    # -- the work ----------------------------------------------------------------------------------------------

    def prepare(self) -> Outcome | None:
        return None if self._advance() else self._summary()

    @property
    def last_driver(self) -> DriverProcess | None:
        return None if self._left else self.driver

    def start(self) -> None:
        assert self._attempt is not None
        self.driver = self._drivers.start(self._attempt, self._earlier.environment(self._attempt))

    def run(self, address: str) -> Outcome:
        while True:
            assert self.driver is not None
            try:
                verdict = self._drivers.see_through(self.driver, address)
            except EndedEarlyError as end:
                if not end.only_driver:
                    return self.abandon(end.outcome)
                self._fail(end.outcome)
            else:
                self._judge(verdict)
            if self._left and (over := self._no_more()):
                return self._summary(over)
            if not self._advance():
                return self._summary()
            self.start()

    def _no_more(self) -> Outcome | None:
        """Why the shards that are left are not for this element; they stay for a retry."""
        if self.context.stop.requested:
            return self._outcomes.stopped(None)
        if self.context.fence.has_twin(self.context.cluster.job_id):
            return self._latest
        self._draining.look()
        if (order := self._draining.announced) is not None:
            return self._outcomes.drained(order.reason, "the next shard was not begun")
        try:
            self._check_nodes()
        except BootstrapError as error:
            failure = failure_class_of(error.failure_class)
            return self._outcomes.outcome(RunState.FAILED, str(error), 1, failure, next_step=error.next_step)
        return None

    def abandon(self, outcome: Outcome) -> Outcome:
        """The current attempt, if any, ends like the whole element."""
        stop_driver(self.driver)
        if self._attempt is not None:
            done = self._publisher.finished(self._attempt.shard)
            self._abandoned.append(self._attempt)
            self._finish(outcome if done is None else self._by_other(done))
        return self._summary(outcome)

    def amend(self, outcome: Outcome) -> None:
        """The reason of the element's end is known now: it is that of the attempts that ended with it."""
        for attempt in self._abandoned:
            ended = self._failed.get(attempt.shard)
            if ended is not None and ended.provisional:
                replace(
                    outcome,
                    started=ended.started,
                    shards_done=None,
                    shards_failed=None,
                    sources_before=ended.sources_before,
                    sources_finished=ended.sources_finished,
                    last_finished=ended.last_finished,
                ).write(attempt)

    def close(self) -> None:
        """Staged outputs of attempts that failed go, if nothing is finished, and token and keys of the cluster."""
        for attempt in self._abandoned:
            self._earlier.give_up(attempt, keep=self._publisher.keeps_staging)
        with contextlib.suppress(OSError):
            remove_credentials(self.context.cluster)

    # -- one shard ---------------------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """Go to the next shard that is to be processed; False if there is none."""
        while self._left:
            number = self._left.popleft()
            self._attempt = self._shard = None
            earlier = self._publisher.finished(number)
            if earlier is not None:
                self._events.add("shard_skipped", f"shard {number} was done by {earlier.attempt}", shard=number)
                sweep(self.context.cluster.attempt(number))  # it may have died before it did
                self._latest = self._by_other(earlier)
                self._done.append(number)
            elif self._begin(number):
                return True
        return False

    def _begin(self, number: int) -> bool:
        """Make the folder of the attempt and look at the inputs; False where the attempt fails at that."""
        cluster = self.context.cluster
        self._outcomes.begin()
        self._attempt = cluster.attempt(number)
        try:
            self._shard = read_shard(cluster.run.manifest, number)
            self._events.add("shard_started", f"shard {number}: {len(self._shard.files)} input files", shard=number)
            self._earlier.take_over(self._attempt, self._shard)
            link = os.path.relpath(cluster.root, self._attempt.root)
            with contextlib.suppress(FileExistsError):
                self._attempt.element.symlink_to(link)
        except OSError as error:
            self._finish(self._storage(f"shard {number} cannot be started: {storage_errors.what(error)}", error))
            return False
        except StorageError as error:
            self._finish(self._storage(str(error)))
            return False
        if (done := self._publisher.finished(number)) is not None:  # by one that we have waited for
            self._finish(self._by_other(done))
            return False
        if self._shard.skipped and not self._shard.files:
            self._publish(Verdict(0, None, "all its input files were left out"))
            return False
        return self._inputs_are_there("before it was read", checksums=True)

    def _inputs_are_there(self, when: str, *, checksums: bool = False) -> bool:
        assert self._shard is not None
        changes = [str(change) for change in check_inputs(self._shard, checksums=checksums)]
        if not changes:
            return True
        more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
        what = f"the input of shard {self._shard.index}" if self.context.plan.array else "the input"
        self._finish(
            self._outcomes.outcome(
                RunState.FAILED,
                f"{what} is not what was planned, {when}: {'; '.join(changes[:3])}{more}",
                1,
                FailureClass.STORAGE,
                evidence=changes[:20],
                next_step="restore the files and retry; if they are right as they are now, retry with "
                "--accept-changed-input, and to leave out a file with --skip-file PATH",
            )
        )
        return False

    def _judge(self, verdict: Verdict) -> None:
        """What the end of the driver means for the shard: published, done by somebody else, or failed."""
        assert self._attempt is not None
        if verdict.succeeded:
            if self._inputs_are_there("after it was read"):
                self._publish(verdict)
            return
        self._fail(self._outcomes.driver_failed(verdict, self._attempt))

    def _fail(self, outcome: Outcome) -> None:
        """The attempt has failed, unless another one has done the shard meanwhile."""
        assert self._attempt is not None
        done = self._publisher.finished(self._attempt.shard)
        superseded = self._earlier.superseded(self._attempt, self._outcomes.outcome)
        self._finish(self._by_other(done) if done else superseded or outcome)

    def _publish(self, verdict: Verdict) -> None:
        attempt, shard = self._attempt, self._shard
        assert attempt is not None
        assert shard is not None
        self.context.fence.look()
        if (superseded := self._outcomes.superseded(None)) is not None:
            self._fail(superseded)
            return
        if not self._earlier.may_publish(attempt):
            self._fail(self._storage("what this attempt had staged was taken away before it could be published"))
            return
        counts = self._earlier.counts(attempt)
        empty = self._nothing_kept(attempt)
        if empty and self.context.plan.spec.failures.fail_if_empty:
            self._fail(self._outcomes.empty(empty))
            return
        failed = count_failed(read_jsonl(attempt.failures, limit=sys.maxsize))
        try:
            published = self._publisher.publish(attempt, shard, self._outcomes.started, failed, empty)
        except StorageError as error:
            self._fail(self._not_published(error))  # or another attempt has it: it may have removed what we staged
            return
        if not published.ours:
            self._finish(self._by_other(published.record))
            return
        outcome = self._outcomes.outcome(RunState.COMPLETED, verdict.message, 0)
        outcome.sources_before, outcome.sources_finished = counts
        outcome.warnings = [empty] if empty else []
        if published.outputs is not None:
            self._events.add("outputs_published", f"outputs are in {published.outputs}", shard=shard.index)
            outcome.outputs = str(published.outputs)
            if not published.record.files:
                outcome.message = f"Nothing was written to ${{output_dir}}: {published.outputs} is empty."
        self._finish(outcome)

    def _nothing_kept(self, attempt: AttemptPaths) -> str:
        """Why the pipeline kept nothing; empty where it did, or is a command, which does not tell."""
        try:
            progress = read_json(attempt.progress)
        except (OSError, ValueError):
            return ""
        if self._earlier.kept(attempt):
            return ""
        resumed = self.context.plan.spec.pipeline.checkpoint_path is not None or self._earlier.before(attempt) > 0
        return nothing_kept(progress if isinstance(progress, dict) else None, resumed=resumed)

    def _finish(self, outcome: Outcome) -> None:
        """The current attempt has this outcome."""
        attempt = self._attempt
        assert attempt is not None
        self._attempt = self._shard = self.driver = None
        self.context.fence.end()
        self._latest = outcome
        keep = self._publisher.keeps_staging or attempt in self._abandoned
        if outcome.state is not RunState.COMPLETED:
            before, finished = self._earlier.counts(attempt)
            last = self._earlier.last_finished(attempt)
            outcome = replace(outcome, sources_before=before, sources_finished=finished, last_finished=last)
            self._earlier.give_up(attempt, keep=keep)  # before the outcome is written: it may be what fills the disk
        with contextlib.suppress(OSError):
            attempt.root.mkdir(parents=True, exist_ok=True)
        outcome.write(attempt)
        if outcome.state is RunState.COMPLETED:
            self._done.append(attempt.shard)
            self._events.add("shard_done", f"shard {attempt.shard}: {outcome.message}", shard=attempt.shard)
            return
        self._failed[attempt.shard] = outcome
        self._events.add(
            "shard_failed",
            f"shard {attempt.shard}: {outcome.message}",
            shard=attempt.shard,
            failure_class=outcome.failure_class,
        )

    # -- outcomes ----------------------------------------------------------------------------------------------

    def _by_other(self, record: DoneRecord) -> Outcome:
        outcome = self._outcomes.outcome(RunState.COMPLETED, f"completed by {record.attempt}", 0)
        outputs = self._publisher.outputs(record)
        outcome.outputs = None if outputs is None else str(outputs)
        return outcome

    def _not_published(self, error: StorageError) -> Outcome:
        if self._publisher.keeps_staging:
            step = f"`curator-slurm collect {self.context.run.run_id} --to DIR` publishes them in another folder"
            return self._outcomes.outcome(RunState.FAILED, str(error), 1, FailureClass.STORAGE, next_step=step)
        return self._storage(str(error), error.__cause__ if isinstance(error.__cause__, OSError) else None)

    def _storage(self, message: str, error: OSError | None = None) -> Outcome:
        step = (error and storage_errors.next_step(error)) or "fix the storage, then retry"
        return self._outcomes.outcome(RunState.FAILED, message, 1, FailureClass.STORAGE, next_step=step)

    def _summary(self, end: Outcome | None = None) -> Outcome:
        """The element's outcome: `end` where the cluster ended before the work was done."""
        done, failed = sorted(self._done), sorted(self._failed)
        if end is not None:
            outcome = end
        elif not self.context.plan.array and self._latest is not None:
            outcome = self._latest
        elif failed:
            worst = Counter(outcome.failure_class for outcome in self._failed.values()).most_common(1)[0][0]
            first = next(o for o in self._failed.values() if o.failure_class is worst)
            outcome = self._outcomes.outcome(
                RunState.FAILED,
                f"{len(failed)} of {several(self._total, 'shard')} failed; shard {failed[0]}: "
                f"{self._failed[failed[0]].message}",
                1,
                worst,
                evidence=first.evidence,
                next_step=first.next_step,
            )
        else:
            count = f"{len(done)} shard{'s are' if len(done) != 1 else ' is'} done"
            outcome = self._outcomes.outcome(RunState.COMPLETED, count, 0)
        log.info("done: %s; failed: %s", done, failed)
        return replace(outcome, started=self._began, shards_done=done, shards_failed=failed)
