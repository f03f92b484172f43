"""staging.json of a submission: what was there to be staged when it was submitted."""

from __future__ import annotations

import contextlib

from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths


def submitted_key(run: RunPaths, submission: SubmissionPaths | None) -> str:
    """The key of the newest submission that has one, up to this one; empty where none has.

    A submission that a run makes for itself goes on with what was there before.
    """
    names = sorted((path.name for path in run.submissions.glob("[0-9]*")), reverse=True)
    for name in names:
        if submission is not None and name > submission.root.name:
            continue
        with contextlib.suppress(OSError, ValueError):
            value = read_json(SubmissionPaths(run.submissions / name, run).staging)
            key = value.get("key") if isinstance(value, dict) else None
            if isinstance(key, str) and key.isalnum():
                return key
    return ""
