"""The Python API: submit specs from scripts and notebooks, follow their runs, wait for them, end them.

What `curator_slurm` exports is made here. It stands beside `cli` above the operations, prints nothing, never exits and
installs no signal handlers. It may import `operations`, `status`, `plan`, `site`, `runs`, the ground floor and
`common`.
"""

from curator_slurm.launcher.api.handle import Job, PartialSubmissionError
from curator_slurm.launcher.api.submission import submit

job = Job.from_run

__all__ = ["Job", "PartialSubmissionError", "job", "submit"]
