"""What slurmctld and slurmd do to one job: starts its elements, ends them on request, notes what happened."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from fake_slurm.environment import batch_variables
from fake_slurm.processes import signal_element
from fake_slurm.store import Element, Job, Store, events, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POLL_S = 0.02
_ENDS = {
    "cancel": ("CANCELLED", ""),
    "node_fail": ("NODE_FAIL", ""),
    "requeue": ("REQUEUE", "JOB REQUEUE"),
    "preempt": ("REQUEUE", "PREEMPTION"),
    "time_limit": ("TIMEOUT", "TIME LIMIT"),
}
"""Request -> the state that the job gets, and why, as slurmstepd says it."""


def main(store: Store, job_id: int) -> int:
    """Run all elements of a job, then leave."""
    job = store.job(job_id)
    assert job is not None
    Runner(store, job).run()
    return 0


class Runner:
    """The life of one job."""

    def __init__(self, store: Store, job: Job) -> None:
        """Begin with every element pending."""
        self.store = store
        self.job = job
        self.settings = store.settings
        self.elements = {e.task: e for e in job.elements}
        self.waiting = [e.task for e in job.elements]
        self.running: dict[int | None, subprocess.Popen[bytes]] = {}
        self.ending: dict[int | None, dict[str, Any]] = {}
        self.kill_at: dict[int | None, float] = {}
        self.not_before: dict[int | None, float] = {}
        self.held: set[int | None] = set(self.waiting) if job.hold else set()
        self.read = 0
        kind, _, ids = str(job.options.get("dependency", "")).partition(":")
        self.after = ids.partition(",")[0].split(":") if kind == "afterany" else []
        self.impossible = job.nodes > self.settings["nodes"]
        reason = "JobHeldUser" if self.held else "PartitionNodeLimit" if self.impossible else None
        if reason:
            self._note(self.waiting, state="PENDING", reason=reason)

    def run(self) -> None:
        """Go on until nothing waits or runs."""
        while self.waiting or self.running:
            self._read_requests()
            self._start_some()
            for task in list(self.running):
                self._look_after(task)
            time.sleep(POLL_S)

    def _note(self, tasks: list[int | None], **event: Any) -> None:
        record(self.job.folder, tasks, **event)

    def _read_requests(self) -> None:
        size = (self.job.folder / "events.jsonl").stat().st_size
        if size == self.read:
            return
        for event in events(self.job.folder, self.read):
            for task in event["tasks"] if "request" in event else []:
                self._obey(task, event["request"])
        self.read = size

    def _obey(self, task: int | None, request: str) -> None:
        if request == "hold":
            self.held.add(task)
            self._note([task], state="PENDING", reason="JobHeldUser") if task in self.waiting else None
        elif request == "release":
            self.held.discard(task)
            self._note([task], state="PENDING") if task in self.waiting else None
        elif task in self.waiting and request == "cancel":
            self.waiting.remove(task)
            self._note([task], state="CANCELLED")
        elif task in self.running and task in self.ending and request == "requeue":
            self.ending[task]["state"] = "REQUEUE"
        elif task in self.running and task not in self.ending:
            self._end(task, *_ENDS[request])

    def _start_some(self) -> None:
        limit = self.job.max_running or self.settings["running_elements"]
        ready = [t for t in self.waiting if t not in self.held and self.not_before.get(t, 0) <= time.time()]
        paused = (self.store.folder / "paused").exists() or self.impossible or (bool(ready) and self._depends())
        for task in ready[: 0 if paused else max(0, limit - len(self.running))]:
            self.waiting.remove(task)
            self._start(task)

    def _depends(self) -> bool:
        """Whether a job has not ended that this one waits for (afterany; others are not played)."""
        if self.after and not any(not e.final for _, elements in self.store.find(self.after) for e in elements):
            self.after = []
        return bool(self.after)

    def _start(self, task: int | None) -> None:
        element = self.elements[task]
        environment = batch_variables(self.store, self.job, element, self.settings)
        output = self._output_path("output", element)
        error = self._output_path("error", element) if "error" in self.job.options else output
        mode = "ab" if self.job.options.get("open-mode") == "append" or element.restarts else "wb"
        try:
            stdout = output.open(mode)
            stderr = stdout if error == output else error.open(mode)
        except OSError:
            now = time.time()
            self._note([task], state="RUNNING", pid=None)
            self._note([task], state="FAILED", reason="JobLaunchFailure", exit_code="0:53", time=now)
            return
        directory = self.job.directory if Path(self.job.directory).is_dir() else "/tmp"
        with stdout, stderr:
            process = subprocess.Popen(
                [self.job.folder / "script", *self.job.arguments],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment, cwd=directory,
                start_new_session=True,
            )  # fmt: skip
        self.running[task] = process
        self._note([task], state="RUNNING", pid=process.pid)
        if self.job.time_limit:
            self.kill_at[task] = time.time() + self.job.time_limit

    def _look_after(self, task: int | None) -> None:
        process = self.running[task]
        code = process.poll()
        ending = self.ending.get(task)
        if code is None:
            if ending and time.time() > ending["kill_at"]:
                self._signal(task, signal.SIGKILL)
            elif not ending and time.time() > self.kill_at.get(task, float("inf")):
                self._end(task, "TIMEOUT", "TIME LIMIT")
            return
        self._signal(task, signal.SIGKILL)  # what the script left behind
        del self.running[task]
        self.ending.pop(task, None)
        self.kill_at.pop(task, None)
        state = ending["state"] if ending else "COMPLETED" if code == 0 else "FAILED"
        if state == "REQUEUE" or (state == "NODE_FAIL" and self.job.requeue):
            element = self.elements[task]
            element.restarts += 1
            self.waiting.append(task)
            self.not_before[task] = time.time() + self.settings["requeue_delay_s"]
            self._note([task], state="PENDING", reason="BeginTime", restarts=element.restarts)
            return
        exit_code = f"0:{-code}" if code < 0 else f"{code}:0"
        self._note([task], state=state, exit_code=exit_code)

    def _end(self, task: int | None, state: str, why: str = "") -> None:
        if state != "NODE_FAIL":
            self._say(task, why)
        self.ending[task] = {"state": state, "kill_at": time.time() + self.settings["kill_wait_s"]}
        self._signal(task, signal.SIGKILL if state == "NODE_FAIL" else signal.SIGTERM)

    def _say(self, task: int | None, why: str) -> None:
        """Write into the job's log what slurmstepd does."""
        element = self.elements[task]
        job_id = element.raw_id if task is not None else self.job.id
        due = f" DUE TO {why}" if why else ""
        with self._output_path("output", element).open("a") as log:
            now = time.strftime("%Y-%m-%dT%H:%M:%S")
            log.write(f"slurmstepd-n1: error: *** JOB {job_id} ON n1 CANCELLED AT {now}{due} ***\n")

    def _signal(self, task: int | None, number: signal.Signals) -> None:
        signal_element(self.store.folder, self.elements[task], number)

    def _output_path(self, option: str, element: Element) -> Path:
        default = "slurm-%j.out" if element.task is None else "slurm-%A_%a.out"
        pattern = self.job.options.get(option) or default
        return Path(self.job.directory) / fill_pattern(pattern, self.job, element)


def fill_pattern(pattern: str, job: Job, element: Element, **more: str) -> str:
    """Fill in %j, %A, %a, %x and so on; `%4a` pads with zeros."""
    values: dict[str, str] = {
        "%": "%", "A": str(job.id), "a": str(element.task or 0), "j": str(element.raw_id if element.task is not None
        else job.id), "x": job.name, "u": job.user, "N": "n1", "n": "0", "t": "0", "s": "batch", **more,
    }  # fmt: skip

    def fill(match: re.Match[str]) -> str:
        return values.get(match[2], match[0]).rjust(int(match[1] or 0), "0")

    return re.sub(r"%(\d*)([%AajxuNnts])", fill, pattern)
