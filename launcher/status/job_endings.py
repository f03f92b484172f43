"""How Slurm says that a job has ended which has told nothing itself. Pure."""

from __future__ import annotations

from curator_slurm.launcher.slurm import messages, signals
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
