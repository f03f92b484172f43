"""Probe a node of each partition by a short job: submitted, waited for with a bound, and never left behind."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curator_slurm.common.in_words import duration
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SlurmError, StorageError
from curator_slurm.launcher.slurm.client import SbatchCall, Slurm, submit_command
from curator_slurm.launcher.slurm.job_info import JobInfo
from curator_slurm.launcher.survey.habit_trials import refusal_words
from curator_slurm.launcher.survey.probe_report import ProbeReport, is_whole, parse_report
from curator_slurm.launcher.survey.probe_script import OUTPUT, ProbeTarget, attempts, probe_script

LOOK_S = 0.5
"""Between two looks at the answers."""
ASK_S = 5.0
"""Between two questions to Slurm about the jobs."""
LATE_S = 20.0
"""How long the answer of a job that has ended may take to be seen on a shared file system."""
_MOST_BYTES = 1 << 20


@dataclass
class Probe:
    """One partition: what its node has answered, or why there is no answer."""

    target: ProbeTarget
    options: tuple[str, ...] = ()
    """Those beside the usual ones with which sbatch took the job."""
    refusals: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    job_id: str = ""
    folder: Path = Path()
    submitted: float = 0.0
    report: ProbeReport | None = None
    failure: str = ""
    state: str = ""
    """As Slurm has it, while it waits."""
    clock_offset_s: int | None = None
    """How far the node's clock is ahead of this machine's, where it is surely not the same."""
    over_since: float | None = None

    @property
    def is_open(self) -> bool:
        return self.report is None and not self.failure


def run_probes(
    targets: Sequence[ProbeTarget],
    slurm: Slurm,
    folder: Path,
    *,
    account: str | None = None,
    addresses: Sequence[str] = (),
    wait_s: float = 300.0,
    say: Callable[[str], None] = lambda _: None,
) -> list[Probe]:
    """Probe them all at once. `folder` must be seen by the nodes; what is made in it is removed again.

    Raises:
        StorageError: nothing can be written there.
    """
    token = f"probe-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".site-probe-", dir=folder))
    except OSError as error:
        raise StorageError(f"cannot write into {folder}: {storage_errors.what(error)}; give --folder") from None
    probes = [Probe(target) for target in targets]
    try:
        with ended_by_signals():
            for number, probe in enumerate(probes):
                _submit(probe, slurm, place / str(number), account, addresses, token)
                say(_begun(probe))
            _wait(probes, slurm, time.monotonic() + wait_s, say)
    except BaseException:
        _cancel_all(probes, slurm, token)
        raise
    finally:
        _cancel(probes, slurm)
        shutil.rmtree(place, ignore_errors=True)
    for probe in probes:
        if probe.is_open:
            probe.failure = f"no answer within {duration(wait_s)}: {probe.state or 'its state is not known'}"
    return probes


def _begun(probe: Probe) -> str:
    if probe.failure:
        return f"{probe.target.partition}: {probe.failure}"
    return f"{probe.target.partition}: job {probe.job_id} submitted"


def _submit(
    probe: Probe, slurm: Slurm, folder: Path, account: str | None, addresses: Sequence[str], token: str
) -> None:
    """Submit with the first options that sbatch takes."""
    folder.mkdir()
    probe.folder = folder
    for options in attempts(probe.target):
        script = folder / "probe.sh"
        script.write_text(probe_script(probe.target, account, options), encoding="utf-8")
        command = submit_command(folder, script, SbatchCall(comment=token, arguments=addresses))
        probe.submitted = time.time()
        try:
            probe.job_id = slurm.submit(command, folder, token).job_id
        except SlurmError as error:
            if error.returncode is None:
                raise
            probe.refusals.append((options, refusal_words(error.stderr)))
            continue
        probe.options = options
        return
    probe.failure = f"sbatch refuses the probe: {probe.refusals[0][1]}"


def _wait(probes: Sequence[Probe], slurm: Slurm, deadline: float, say: Callable[[str], None]) -> None:
    """Until all have answered, or it is too late."""
    next_question = time.monotonic() + 1.0
    while any(probe.is_open for probe in probes) and time.monotonic() < deadline:
        for probe in probes:
            if probe.is_open and _look(probe):
                say(f"{probe.target.partition}: {probe.report.host if probe.report else ''} has answered")
        waiting = [probe for probe in probes if probe.is_open]
        if waiting and time.monotonic() >= next_question:
            _ask(waiting, slurm, say)
            next_question = time.monotonic() + ASK_S
        if waiting:
            time.sleep(LOOK_S)


def _look(probe: Probe) -> bool:
    """Read the answer, if it is there."""
    try:
        with (probe.folder / OUTPUT).open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return False
    if not is_whole(text):
        return False
    probe.report = parse_report(text)
    probe.clock_offset_s = _offset(probe.report.clock, probe.submitted, time.time())
    return True


def _offset(clock: int | None, earliest: float, latest: float) -> int | None:
    """How far a clock is off that was read between two moments; None where it may be right."""
    if clock is None or earliest - 2 <= clock <= latest + 2:
        return None
    return round(clock - latest) if clock > latest else round(clock - earliest)


def _ask(waiting: Sequence[Probe], slurm: Slurm, say: Callable[[str], None]) -> None:
    """Ask Slurm about the jobs that have not answered; one that does not answer is asked again later."""
    try:
        states = slurm.job_states([probe.job_id for probe in waiting])
    except SlurmError:
        return
    for probe in waiting:
        info: JobInfo | None = next(iter(states.get(probe.job_id, [])), None)
        if info is None or info.state.is_final:
            probe.over_since = probe.over_since or time.monotonic()
            if time.monotonic() - probe.over_since > LATE_S:
                probe.failure = _why_nothing(probe, info)
                say(f"{probe.target.partition}: {probe.failure}")
            continue
        shown = f"{info.state}{f' ({info.reason})' if info.reason else ''}"
        if shown != probe.state:
            probe.state = shown
            say(f"{probe.target.partition}: job {probe.job_id} is {shown}")


def _why_nothing(probe: Probe, info: JobInfo | None) -> str:
    """Why a job that is over has left no whole answer."""
    try:
        said = _last_line((probe.folder / OUTPUT).read_text(errors="replace"))
    except OSError:
        nodes = f" on {', '.join(info.nodes)}" if info and info.nodes else ""
        return (
            f"job {probe.job_id} ended{nodes}, and {probe.folder.parent.parent} has no output of it: nodes do not see "
            "that folder; give one that they share with --folder"
        )
    return f"job {probe.job_id} ended as {info.state if info else 'unknown'} before its answer was whole: {said}"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _cancel(probes: Sequence[Probe], slurm: Slurm) -> None:
    """Cancel what has not answered."""
    if ids := [probe.job_id for probe in probes if probe.job_id and probe.report is None]:
        with contextlib.suppress(SlurmError):
            slurm.cancel(ids)


def _cancel_all(probes: Sequence[Probe], slurm: Slurm, token: str) -> None:
    """Cancel every job of this call, also one whose submission was interrupted."""
    with contextlib.suppress(SlurmError):
        ids = [job_id for job_id, _, comment in slurm.commented() if comment == token]
        ids += [probe.job_id for probe in probes if probe.job_id and probe.job_id not in ids]
        if ids:
            slurm.cancel(ids)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does, with all jobs cancelled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    ours = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, stop) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
