"""How Slurm says that a job has ended which has told nothing itself. Pure."""

from __future__ import annotations

from curator_slurm.launcher.slurm import messages, signals
from curator_slurm.launcher.states import SlurmState
from curator_slurm.launcher.status.facts import ElementFacts


def ending_of_job(element_id: str, element: ElementFacts | None) -> tuple[str, str]:
    """What happened to the job, and what to do next where its failure class does not tell."""
    if element is None or not element.state.is_final:
        return f"Job {element_id} ended without writing an outcome, and Slurm no longer knows it.", ""
    if (ending := messages.ending(element.state))[0]:
        return ending
    if element.reason == "BadConstraints":
        return "Slurm refused the job: no node satisfies what it requests (BadConstraints).", ""
    if element.exit_code is None:
        return f"Job {element_id} ended without writing an outcome ({element.state.value}).", ""
    if signum := signals.of_end(element.exit_code, element.signal):
        words, next_step = signals.explained(signum)
        return f"Job {element_id} was ended by {words}, before it wrote an outcome.", next_step
    return f"Job {element_id} ended with exit code {element.exit_code}, without writing an outcome.", ""


def script_killed(element_id: str, element: ElementFacts | None) -> tuple[str, str] | None:
    """The same of a job that has begun, and whose batch script was killed, so that its agents were told to end.

    None where it was not. Slurm calls that JobLaunchFailure, which is all that squeue says.
    """
    if element is None or element.state is not SlurmState.FAILED or element.exit_code:
        return None
    if not (element.signal or element.reason == "JobLaunchFailure"):
        return None
    by = f" by {signals.explained(element.signal)[0]}" if element.signal else ""
    return f"The batch script of job {element_id} was killed{by}; its agents ended with it.", ""
