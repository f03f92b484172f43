"""What the end of a driver means."""

from __future__ import annotations

import signal

import pytest

from curator_slurm.launcher.agent.driver_process import judge
from curator_slurm.launcher.failure_classes import FailureClass

DONE = {"schema": 1, "state": "completed", "message": "the pipeline ended"}


@pytest.mark.parametrize("crash", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_on_the_way_out_does_not_undo_finished_work(crash: signal.Signals) -> None:
    verdict = judge(128 + crash, DONE, [])
    assert (verdict.succeeded, verdict.exit_code) == (True, 0)
    assert verdict.message == f"the pipeline ended (it crashed with {crash.name} while exiting, its work done)"


@pytest.mark.parametrize("report", [None, {}, {"state": "running"}])
def test_a_crash_before_the_end_is_a_failure(report: dict[str, str] | None) -> None:
    verdict = judge(128 + signal.SIGSEGV, report, ["last words"])
    assert verdict.failure_class is FailureClass.APP_FAILED
    assert (verdict.exit_code, verdict.evidence) == (139, ("last words",))
    assert "SIGSEGV" in verdict.message


@pytest.mark.parametrize("code", [1, 128 + signal.SIGTERM, 128 + signal.SIGKILL])
def test_a_driver_that_is_ended_or_says_so_itself_has_failed(code: int) -> None:
    assert not judge(code, DONE, []).succeeded
