"""Records of submissions, as they may be found."""

import pytest

from curator_slurm.launcher.runs.submissions import SubmissionRecord

RECORD = {"number": 0, "purpose": "submit", "prepared": 1.0, "comment": "", "elements": 1, "shards": 1}


@pytest.mark.parametrize("job_id", ["4711", "local-1796038935-361375", None])
def test_ids_of_jobs(job_id: str | None) -> None:
    assert SubmissionRecord.from_json({**RECORD, "job_id": job_id}).job_id == job_id


@pytest.mark.parametrize("job_id", ["../../x", "a\0b", "\ud83d", "1 2", "--state=RUNNING", "", "9" * 200, "1\n"])
def test_what_is_no_id_is_damage(job_id: str) -> None:
    """It would be part of a path, and an argument of Slurm's commands."""
    with pytest.raises(ValueError, match="`job_id` must be the id of a job"):
        SubmissionRecord.from_json({**RECORD, "job_id": job_id})
