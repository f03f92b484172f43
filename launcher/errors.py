"""Every error that curator-slurm raises on purpose, each with the exit code the command line gives it.

A message says what happened, why, and what to do next; it is fit for end users. Only the command line turns
an error into an exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from curator_slurm.launcher.visible import visible

if TYPE_CHECKING:
    from curator_slurm.launcher.failure_classes import FailureClass


class CuratorSlurmError(Exception):
    """Base of all errors of this package; whatever a message quotes, it is fit for a terminal."""

    exit_code = 1

    def __str__(self) -> str:
        return visible(super().__str__())


class UsageError(CuratorSlurmError):
    """The command line does not make sense."""

    exit_code = 2


class SpecProblem:
    """One error in a spec: `key` is dotted (`resources.nodes`), `where` is `file:line` or an option."""

    def __init__(self, key: str, message: str, where: str = "") -> None:
        self.key = key
        self.message = message
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def __repr__(self) -> str:
        return f"SpecProblem({self.key!r}, {self.message!r}, {self.where!r})"


class SpecError(CuratorSlurmError):
    """The spec is wrong; carries every error found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[SpecProblem], source: str = "the spec", more: int = 0) -> None:
        """`more` is the number of errors that are not described."""
        self.problems = list(problems)
        self.source = source
        count = len(self.problems) + more
        head = f"{source}: {count:,} error{'s' if count != 1 else ''}"
        tail = [f"  ... and {more:,} more"] if more else []
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems), *tail]))


class RunNotFoundError(CuratorSlurmError):
    """No run matches the given id, prefix, name, job id or path."""

    exit_code = 3


class SitePolicyError(CuratorSlurmError):
    """The site's administrators do not allow this; carries everything that was refused."""

    exit_code = 4

    def __init__(self, message: str, problems: Sequence[SpecProblem] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)

    @classmethod
    def of(cls, problems: Sequence[SpecProblem]) -> SitePolicyError:
        """The error of one or more refusals."""
        lines = [str(problem) for problem in problems]
        head = "the site's configuration does not allow this:"
        return cls("\n".join([head, *(f"  {line}" for line in lines)]), problems)


class SlurmError(CuratorSlurmError):
    """A Slurm command is missing, was refused, or could not reach the controller.

    `command` is the argument list, `returncode` is None where the command could not be started.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        command: Sequence[str] = (),
        returncode: int | None = None,
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        super().__init__(message)
        self.command = list(command)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    @property
    def may_have_worked(self) -> bool:
        """Whether the command may have done its work all the same: its answer was lost, or makes no sense."""
        return self.returncode == 0


class UnclearSubmissionError(SlurmError):
    """A run of the same spec may be in Slurm, or is, although its submission was interrupted."""


class StorageError(CuratorSlurmError):
    """A directory or file of the run cannot be created, written or read."""

    exit_code = 2


class ForeignRunError(StorageError):
    """A run, or a file of one, belongs to another user, or may have been written by one."""


class RunBusyError(CuratorSlurmError):
    """Another command is changing this run."""

    exit_code = 2


class RunEndedError(CuratorSlurmError):
    """The run ended without success.

    `failure_class` is a `FailureClass` (a string), `evidence` the log lines that prove it, `next_step` what to do.
    They are empty where the error was not raised about the end of a run.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        run_id: str = "",
        failure_class: FailureClass | None = None,
        evidence: Sequence[str] = (),
        next_step: str = "",
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.failure_class = failure_class
        self.evidence = tuple(evidence)
        self.next_step = next_step


class RunFailedError(RunEndedError):
    """The run failed."""


class RunIncompleteError(RunEndedError):
    """Some shards of the run are not done."""

    exit_code = 7


class RunCancelledError(RunEndedError):
    """The run was cancelled."""

    exit_code = 8


class WaitTimeoutError(CuratorSlurmError, TimeoutError):
    """The run has not ended in the time that was given to `wait`; it goes on."""


class BootstrapError(CuratorSlurmError):
    """The Ray cluster could not be brought up inside the allocation; raised by the node agent.

    `failure_class` is one of the values of `curator_slurm.launcher.failure_classes.FailureClass`.
    """

    exit_code = 6

    def __init__(self, failure_class: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.next_step = next_step


class PlaceholderError(CuratorSlurmError):
    """A `${...}` of the spec is unknown, has no value, or stands where its value does not fit."""

    exit_code = 2
