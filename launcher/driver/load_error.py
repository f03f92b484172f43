"""The error of a pipeline that cannot be loaded."""

from __future__ import annotations

from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.failure_classes import FailureClass


class PipelineLoadError(CuratorSlurmError):
    """The spec's pipeline cannot be loaded; `failure_class` classifies the cause, `details` holds a traceback."""

    exit_code = 6

    def __init__(
        self, message: str, failure_class: FailureClass, next_step: str, details: str = "", key: str = ""
    ) -> None:
        """`key` is the setting that is to be changed; without it, the one that the message begins with."""
        super().__init__(message)
        self.failure_class = failure_class
        self.next_step = next_step
        self.details = details
        written = key or message.partition(": ")[0]
        self.key = written.replace("[", ".").replace("]", "")
        """Dotted, as in `pipeline.stages.0.use`."""
