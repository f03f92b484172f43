"""The only module that runs Slurm commands: timeouts, retries, and user-facing errors."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from curator_slurm.common.in_words import several
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm import messages, parse
from curator_slurm.launcher.slurm.command_process import run_to_its_end
from curator_slurm.launcher.slurm.job_info import JobInfo, merge
from curator_slurm.launcher.slurm.partitions import SINFO_FORMAT, NodeGroup, TrialAnswer, parse_partitions
from curator_slurm.launcher.slurm.shared_answers import SharedAnswers, forget
from curator_slurm.launcher.slurm.tables import UnreadableOutputError

_Row = TypeVar("_Row")
_Parsed = TypeVar("_Parsed")

LOOK_UP_S = 30.0
"""How long to look for the job of an sbatch whose answer was lost."""
LOG_LINES = 50
"""The last lines of a job's log, where slurmstepd writes why it ends the job."""
LONGEST_JOB_LIST = 2000
"""With more jobs than this, squeue lists all jobs of the user instead."""

KEPT_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
"""Which cluster, and our credentials; any other variable of Slurm sets options that nobody chose for this run."""
_OUTPUT_VARIABLES = {"squeue": {"SLURM_BITSTR_LEN": "0"}}
"""Without it, squeue truncates long lists of array tasks."""
_OPTION_PREFIXES = ("SBATCH_", "SLURM_")
_QUERY_PREFIXES = (*_OPTION_PREFIXES, "SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_", "SCONTROL_")


@dataclass(frozen=True)
class AcceptedJob:
    """What sbatch accepted: job id, cluster (None: the default one), and the variables it was not given."""

    job_id: str
    cluster: str | None = None
    removed_variables: tuple[str, ...] = ()


def inherited_options(environ: Mapping[str, str]) -> list[str]:
    """Names of the variables that would change what sbatch does: SBATCH_*, and SLURM_* of a surrounding job."""
    return sorted(name for name in environ if name.startswith(_OPTION_PREFIXES) and name not in KEPT_VARIABLES)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without variables that change what Slurm's commands do or print."""
    clean = {
        name: value for name, value in environ.items() if name in KEPT_VARIABLES or not name.startswith(_QUERY_PREFIXES)
    }
    return clean | {"LC_ALL": "C.UTF-8"}


def is_available() -> bool:
    """Whether this machine can submit to Slurm."""
    return shutil.which("sbatch") is not None


class _TransientError(SlurmError):
    """The controller did not respond; a retry may succeed."""

    @property
    def may_have_worked(self) -> bool:
        return not messages.NEVER_REACHED.search(self.stderr)


@dataclass(frozen=True)
class SbatchCall:
    """What one call of sbatch has beyond the script: it belongs to the call, not to the plan.

    `after` are ids of jobs that must have ended, however they ended; `arguments` go to the script.
    """

    array: str = ""
    comment: str = ""
    after: Sequence[str] = ()
    arguments: Sequence[str] = ()
    exclude: str = ""
    """Nodes that it does without; in place of those in the script."""

    @property
    def options(self) -> list[str]:
        """Options of sbatch's command line; they win over those in the script."""
        options = [f"--array={self.array}"] if self.array else []
        options += [f"--comment={self.comment}"] if self.comment else []
        options += [f"--exclude={self.exclude}"] if self.exclude else []
        return options + ([f"--dependency=afterany:{':'.join(self.after)}"] if self.after else [])


def submit_command(run_dir: Path, script: Path, call: SbatchCall = SbatchCall()) -> list[str]:
    """The command that submits a run, or one array of it."""
    return ["sbatch", "--parsable", f"--chdir={run_dir}", *call.options, str(script), *call.arguments]


@dataclass(frozen=True)
class Slurm:
    """Slurm's commands on this machine, for one of its clusters (None: the default one).

    A command that cannot reach its controller gives up by itself after 20 to 40 seconds; it is retried
    after each of `pauses_s`, until `patience_s` have passed: users at a terminal should not wait longer.
    """

    cluster: str | None = None
    timeout_s: float = 60.0
    pauses_s: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
    patience_s: float = 30.0
    until: float | None = field(default=None, init=False)
    """On the monotonic clock: when the last command ends at the latest, for who cannot wait longer."""
    answers: SharedAnswers | None = field(default=None, init=False)
    """Answers that other commands have had may be used; never by who submits, cancels or removes because of them."""

    def within(self, seconds: float) -> Slurm:
        """The same commands, with so long for all that follow, together."""
        return self._copy(self.cluster, time.monotonic() + seconds, self.answers)

    def on(self, cluster: str | None) -> Slurm:
        """The same for another cluster."""
        return self._copy(cluster, self.until, self.answers)

    def sharing(self, answers: SharedAnswers | None) -> Slurm:
        """The same, with the answers that other commands have had."""
        return self._copy(self.cluster, self.until, answers)

    def _copy(self, cluster: str | None, until: float | None, answers: SharedAnswers | None) -> Slurm:
        copy = replace(self, cluster=cluster)
        object.__setattr__(copy, "until", until)
        object.__setattr__(copy, "answers", answers)
        return copy

    def submit(self, command: Sequence[str], run_dir: Path, comment: str = "") -> AcceptedJob:
        """Run `submit_command(run_dir, ...)` so that exactly one job results.

        If sbatch's response is lost, the job may exist nevertheless, so it is looked up before sbatch is retried: by
        its working directory and comment, a pair that no other job has.
        """
        try:
            return self._submitted(command, run_dir, comment)
        finally:
            forget(os.environ)

    def _submitted(self, command: Sequence[str], run_dir: Path, comment: str) -> AcceptedJob:
        removed = tuple(inherited_options(os.environ))
        deadline = time.monotonic() + self.patience_s
        for pause in (*self.pauses_s, None):
            try:
                job_id, cluster = parse.parse_job_id(self._run_once(command))
                return AcceptedJob(job_id, cluster, removed)
            except _TransientError as error:
                if error.may_have_worked and (found := self._find_lost(error, run_dir, comment)) is not None:
                    return AcceptedJob(found, None, removed)
                if pause is None or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
            except ValueError as error:
                unreadable = SlurmError(f"sbatch returned no job id: {error}", command, 0)
                if (found := self._find_lost(unreadable, run_dir, comment)) is not None:
                    return AcceptedJob(found, None, removed)
                raise unreadable from error
        raise AssertionError("the last pause is None")

    def test_only(self, script: Path, run_dir: Path, options: Sequence[str] = ()) -> TrialAnswer:
        """Ask sbatch whether a job could start, with more options than the script has; nothing is submitted.

        Raises:
            SlurmError: it gives no answer.
        """
        try:
            said = self._completed(["sbatch", "--test-only", f"--chdir={run_dir}", *options, str(script)]).stderr
        except SlurmError as error:
            if isinstance(error, _TransientError) or error.returncode is None:
                raise
            return TrialAnswer(False, messages.reason(error.stderr))
        return TrialAnswer(True, messages.reason(said), messages.partition_of_test(said))

    def partitions(self) -> list[NodeGroup]:
        """All partitions that this user sees, by groups of equal nodes, whatever state these are in."""
        return self._parsed(
            ["sinfo", "--noheader", "--exact", f"--format={SINFO_FORMAT}"], parse_partitions, retry=False
        )

    def _find_lost(self, lost: SlurmError, run_dir: Path, comment: str) -> str | None:
        """The job of an sbatch whose answer was lost; None where there is none.

        Raises:
            SlurmError: `lost`, where this cannot be found out.
        """
        try:
            return self.within(LOOK_UP_S)._job_in(run_dir, comment)
        except SlurmError:
            raise lost from None

    def _job_in(self, run_dir: Path, comment: str) -> str | None:
        """The id of the job with this working directory and comment."""
        if comment:
            jobs = self.commented()
            return next((job for job, folder, text in jobs if folder == str(run_dir) and text == comment), None)
        found = self._squeue("--me", parse.WORK_DIR_FORMAT, parse.parse_work_dirs)
        ids = [job_id for job_id, work_dir in found.items() if work_dir == str(run_dir)]
        return ids[0].partition("_")[0] if ids else None

    def commented(self) -> list[tuple[str, str, str]]:
        """Id, working directory and comment of all jobs of this user that Slurm still knows; one entry for an array."""
        return self._squeue("--me", parse.COMMENT_FORMAT, parse.parse_comments)

    def arrays(self, job_ids: Iterable[str]) -> list[parse.ArrayTasks]:
        """What squeue reports about the elements of these arrays, in at most two commands."""
        wanted = sorted({job_id.partition("_")[0] for job_id in job_ids})
        if not wanted:
            return []
        found, known = self._queued(wanted, parse.ARRAY_FORMAT, parse.parse_arrays), set(wanted)
        return [tasks for tasks in found if tasks.job_id in known]

    def max_array_size(self) -> int | None:
        """The cluster's MaxArraySize, which array indices must stay below; None if scontrol does not show it."""
        text = parse.parse_setting(self.run(["scontrol", *self._cluster_option, "show", "config"]), "MaxArraySize")
        return whole_number(text or "")

    def job_states(
        self,
        job_ids: Iterable[str],
        *,
        details: bool = False,
        forgotten: Container[str] | None = None,
        doubts: list[str] | None = None,
    ) -> dict[str, list[JobInfo]]:
        """What Slurm reports about these jobs, in at most four commands.

        squeue has active jobs and those that ended minutes ago; with `details`, scontrol adds exit code and
        restarts; sacct, where there is accounting, has older ones (if `forgotten` is given, only those in it are
        looked up there). A job missing from the result is unknown to Slurm. An array has several entries under its
        id: its started elements, and one for those pending. Where accounting fails, that is noted in `doubts`: what
        it would tell is only how a job has ended that squeue no longer has.
        """
        wanted = sorted({job_id.partition("_")[0] for job_id in job_ids})
        if not wanted:
            return {}
        found = _group(self._queued(wanted, parse.SQUEUE_FORMAT, parse.parse_squeue), wanted)
        if details and found:
            found = self._with_details(found)
        missing = [job_id for job_id in wanted if job_id not in found]
        if missing := [job_id for job_id in missing if forgotten is None or job_id in forgotten]:
            try:
                found.update(_group(self._accounted(missing), missing))
            except SlurmError as error:
                if doubts is not None:
                    doubts.append(str(error))
        return found

    def _queued(self, job_ids: Sequence[str], line_format: str, parser: Callable[[str], list[_Row]]) -> list[_Row]:
        """squeue's rows for these jobs; some versions refuse a whole list because of one unknown id.

        Who shares answers asks for all jobs of the user, so that the question is the same for all.
        """
        if self.answers is None and len(job_ids) <= LONGEST_JOB_LIST:
            try:
                return self._squeue(f"--jobs={','.join(job_ids)}", line_format, parser)
            except SlurmError as error:
                if not messages.UNKNOWN_JOB.search(error.stderr):
                    raise
                if len(job_ids) == 1:
                    return []
        return self._squeue("--me", line_format, parser)

    def _squeue(self, which: str, line_format: str, parser: Callable[[str], _Parsed]) -> _Parsed:
        return self._parsed(["squeue", *self._cluster_option, "--states=all", which, f"--format={line_format}"], parser)

    def _parsed(self, command: Sequence[str], parser: Callable[[str], _Parsed], *, retry: bool = True) -> _Parsed:
        """The values in what a command prints."""
        parsed: list[_Parsed] = []

        def ask() -> str:
            text = self.run(command, retry=retry)
            try:
                parsed.append(parser(text))
            except UnreadableOutputError as error:
                raise SlurmError(messages.unreadable(command, str(error)), command, 0, text) from error
            return text

        if self.answers is not None:
            with contextlib.suppress(UnreadableOutputError):
                text = self.answers.answer(command, ask)
                return parsed[0] if parsed else parser(text)
        ask()
        return parsed[0]

    def _with_details(self, found: dict[str, list[JobInfo]]) -> dict[str, list[JobInfo]]:
        """`found` with what scontrol adds: queried by id for a single job, for all jobs otherwise."""
        which = list(found) if len(found) == 1 else []
        command = ["scontrol", *self._cluster_option, "--oneliner", "show", "job", *which]
        try:
            more = {info.job_id: info for info in self._parsed(command, parse.parse_scontrol)}
        except SlurmError:
            return found  # the job was purged after squeue listed it
        return {
            job_id: [merge(info, more[info.job_id]) if info.job_id in more else info for info in infos]
            for job_id, infos in found.items()
        }

    def _accounted(self, job_ids: Sequence[str]) -> list[JobInfo]:
        """What accounting knows; empty without accounting, which is common and not an error."""
        if shutil.which("sacct") is None:
            return []
        options = ["--parsable2", "--duplicates", f"--format={parse.SACCT_FIELDS}", f"--jobs={','.join(job_ids)}"]
        try:
            return self._parsed(["sacct", *self._cluster_option, *options], parse.parse_sacct, retry=False)
        except SlurmError as error:
            if messages.NO_ACCOUNTING.search(error.stderr):
                return []
            raise

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs; it is no error if some have ended already or are unknown to Slurm."""
        try:
            self.run(["scancel", *self._cluster_option, *job_ids])
        except SlurmError as error:
            if not messages.ALREADY_OVER.search(error.stderr):
                raise
        finally:
            forget(os.environ)

    @property
    def _cluster_option(self) -> list[str]:
        return [f"--clusters={self.cluster}"] if self.cluster else []

    def run(self, command: Sequence[str], *, retry: bool = True) -> str:
        """Standard output of an idempotent Slurm command, retried after transient errors."""
        deadline = time.monotonic() + self.patience_s
        for pause in self.pauses_s if retry else ():
            try:
                return self._run_once(command)
            except _TransientError:
                if time.monotonic() + pause > min(deadline, self.until or deadline):
                    raise
                time.sleep(pause)
        return self._run_once(command)

    def _run_once(self, command: Sequence[str]) -> str:
        return self._completed(command).stdout

    def _completed(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        name, path = command[0], os.environ.get("PATH", os.defpath)
        executable = shutil.which(name, path=path)
        if executable is None:
            raise SlurmError(messages.not_found(name, path), command)
        timeout = self.timeout_s if self.until is None else min(self.timeout_s, self.until - time.monotonic())
        environment = clean_environment(os.environ) | _OUTPUT_VARIABLES.get(name, {})
        try:
            done = run_to_its_end([executable, *command[1:]], environment, max(timeout, 0.0))
        except subprocess.TimeoutExpired as error:
            reason = f"no response within {several(round(max(timeout, 0.0), 2), 'second')}"
            raise _TransientError(messages.unreachable(name, reason), command, None, "", reason) from error
        except OSError as error:
            raise SlurmError(f"cannot run {executable}: {error.strerror or error}", command) from error
        if done.returncode == 0:
            return done
        details = (command, done.returncode, done.stdout, done.stderr)
        killed = name == "sbatch" and done.returncode < 0  # nobody knows how far it was
        if killed or messages.TRANSIENT.search(done.stderr):
            raise _TransientError(messages.unreachable(name, done.stderr), *details)
        if name == "sbatch":
            raise SlurmError(messages.refusal(done.stderr), *details)
        raise SlurmError(messages.failed(name, done.returncode, done.stderr), *details)


def _group(infos: Iterable[JobInfo], wanted: Sequence[str]) -> dict[str, list[JobInfo]]:
    """Job id -> entries of the job, or of the elements of the array."""
    groups: dict[str, list[JobInfo]] = {}
    for info in infos:
        groups.setdefault(info.base_id, []).append(info)
    return {job_id: groups[job_id] for job_id in wanted if job_id in groups}
