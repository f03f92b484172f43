"""The names of the files by which the agents of an element and its batch script hear of each other."""

from __future__ import annotations

from pathlib import Path


class RestartFiles:
    """What came before an element, how the run goes on after it, and what is asked of Slurm meanwhile.

    `root` is `elements/<job id>.<restart>`.
    """

    root: Path

    @property
    def history(self) -> Path:
        """history.json: what came before this job, and how much was finished when it began; written by its head."""
        return self.root / "history.json"

    @property
    def restart_request(self) -> Path:
        """restart-request: how the run goes on after this job, for the batch script to carry out."""
        return self.root / "restart-request"

    @property
    def resubmission(self) -> Path:
        """The folder of the next submission, until the batch script moves it there."""
        return self.root / "resubmission"

    @property
    def restarting(self) -> Path:
        """A folder that whoever carries out the request makes first: nobody else does it then."""
        return self.root / "restarting"

    @property
    def restart_refused(self) -> Path:
        """restart-refused: what Slurm said to a request."""
        return self.root / "restart-refused"

    @property
    def cancelled(self) -> Path:
        """Made by `cancel`: the request is not carried out."""
        return self.root / "cancelled"

    @property
    def questions(self) -> Path:
        """What the head agent asks of Slurm, and the batch script's answers; removed by that at its end."""
        return self.root / "questions"

    @property
    def textfile(self) -> Path:
        """metrics.prom: figures of the job as OpenMetrics text, while it runs."""
        return self.root / "metrics.prom"

    @property
    def notices(self) -> Path:
        """What the batch script is to tell people by `notify.command`."""
        return self.root / "notices"


class SubmissionAnswers:
    """What Slurm said of a submission that a job made when it ended. `root` is `submissions/<number>`."""

    root: Path

    @property
    def job_id(self) -> Path:
        """job-id: of a submission that a job made when it ended, what sbatch printed."""
        return self.root / "job-id"

    @property
    def refusal(self) -> Path:
        """refusal: of such a submission, what sbatch said in place of a job id."""
        return self.root / "refusal"
