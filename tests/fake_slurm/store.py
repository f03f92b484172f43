"""The fake's memory: a folder in which every job only ever grows a log of events.

Several commands write at once; each event is one short line appended in one write, and the state of a job
is what its events say when they are read in order.

Tests start thousands of commands: what these import is what they take, so no `dataclasses` or `typing` here.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

TYPE_CHECKING = False  # `typing` itself takes time
if TYPE_CHECKING:
    from typing import Any

FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")


class Element:
    """A job, or one element of an array: `task` is None for a job without array."""

    def __init__(self, job_id: int, task: int | None, raw_id: int) -> None:
        """Begin as Slurm does: pending."""
        self.job_id, self.task, self.raw_id = job_id, task, raw_id
        self.state, self.reason, self.exit_code = "PENDING", "None", "0:0"
        self.start: float | None = None
        self.end: float | None = None
        self.restarts = 0
        self.pid: int | None = None

    @property
    def shown_id(self) -> str:
        """The id as squeue prints it."""
        return str(self.job_id) if self.task is None else f"{self.job_id}_{self.task}"

    @property
    def final(self) -> bool:
        """Whether it has left the queue."""
        return self.state in FINAL


class Job:
    """What was submitted, and what became of it."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """Take what was submitted, without elements yet."""
        self.folder, self.facts = folder, facts
        self.elements: list[Element] = []

    def __getattr__(self, name: str) -> Any:
        """Read a fact of the submission as an attribute."""
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(name) from None


class Store:
    """One fake cluster's folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder that FakeSlurm has prepared."""
        self.folder = folder
        self.jobs = folder / "jobs"

    @property
    def settings(self) -> dict[str, Any]:
        """What the test has set: nodes, partitions, limits."""
        return dict(json.loads((self.folder / "settings.json").read_text()))

    def command_line(self, command: str) -> list[str]:
        """Return the words that start one of the fake commands on this folder."""
        return [sys.executable, "-I", "-S", str(Path(__file__).with_name("main.py")), str(self.folder), command]

    def recorded(self, name: str) -> str | None:
        """What a real Slurm has printed, where the test has named a folder of it (`records`)."""
        folder = self.settings.get("records")
        path = Path(folder) / name if folder else None
        return path.read_text() if path and path.exists() else None

    def log_call(self, command: str, arguments: list[str]) -> None:
        """Keep what was called, for the test to look at."""
        append(self.folder / "calls.jsonl", {"command": command, "arguments": arguments})

    def planned_failure(self, command: str) -> dict[str, Any] | None:
        """Take the next failure that the test has planned for this command."""
        with self._locked():
            plan = self.folder / f"failures.{command}.json"
            failures = json.loads(plan.read_text()) if plan.exists() else []
            if not failures:
                return None
            plan.write_text(json.dumps(failures[1:]))
            return dict(failures[0])

    def take_ids(self, count: int) -> int:
        """Return the first of `count` new job ids."""
        with self._locked():
            counter = self.folder / "last_id"
            last = int(counter.read_text()) if counter.exists() else 0
            counter.write_text(str(last + count))
            return last + 1

    def _locked(self) -> _Lock:
        return _Lock(self.folder / "lock")

    def create(self, facts: dict[str, Any], script: bytes) -> Path:
        """Write a job down; it exists as soon as its facts do."""
        folder = self.jobs / str(facts["id"])
        folder.mkdir(parents=True)
        (folder / "script").write_bytes(script)
        (folder / "script").chmod(0o700)
        (folder / "events.jsonl").touch()
        new = folder / "facts.new"
        new.write_text(json.dumps(facts))
        new.rename(folder / "facts.json")
        return folder

    def job(self, job_id: int) -> Job | None:
        """Read a job by its own id, or by that of one of its elements."""
        folder = self.jobs / str(job_id)
        if not (folder / "facts.json").exists():
            return next((j for j in self.all() if any(e.raw_id == job_id for e in j.elements)), None)
        job = Job(folder, json.loads((folder / "facts.json").read_text()))
        tasks: list[int | None] = job.facts["tasks"] or [None]
        job.elements = [
            Element(job_id, task, raw_id=job_id + (number if number < len(tasks) else 0))
            for number, task in enumerate(tasks, 1)
        ]
        by_task = {element.task: element for element in job.elements}
        for event in events(folder):
            for task in event.pop("tasks"):
                apply(by_task[task], event)
        return job

    def all(self) -> Iterator[Job]:
        """All jobs, oldest first."""
        ids = sorted(int(p.parent.name) for p in self.jobs.glob("*/facts.json"))
        for job_id in ids:
            if job := self.job(job_id):
                yield job

    def find(self, words: Iterable[str]) -> list[tuple[Job, list[Element]]]:
        """Resolve `12`, `12_3` and `12_[1,4-6]`; raise KeyError for what does not exist."""
        found = []
        for word in words:
            number, _, tasks = word.partition("_")
            job = self.job(int(number)) if number.isdigit() else None
            if job is None:
                raise KeyError(word)
            chosen = job.elements
            if tasks:
                wanted = set(indexes(tasks.strip("[]"))[0])
                chosen = [e for e in job.elements if e.task in wanted]
            elif str(job.elements[0].job_id) != number:
                chosen = [e for e in job.elements if e.raw_id == int(number)]
            if not chosen:
                raise KeyError(word)
            found.append((job, chosen))
        return found


class _Lock:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.file = self.path.open("a")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *exc: object) -> None:
        self.file.close()


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one line in one write."""
    line = (json.dumps(record) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def record(folder: Path, tasks: Iterable[int | None], **event: Any) -> None:
    """Note an event of some elements of a job."""
    append(folder / "events.jsonl", {"tasks": list(tasks), "time": time.time(), **event})


def events(folder: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Read events from a byte offset on."""
    with (folder / "events.jsonl").open("rb") as log:
        log.seek(offset)
        for line in log:
            yield json.loads(line)


def apply(element: Element, event: dict[str, Any]) -> None:
    """Change an element as an event says; a `request` changes nothing until the runner acts on it."""
    if "state" not in event:
        return
    element.state = event["state"]
    element.reason = event.get("reason", "None")
    if element.state == "RUNNING":
        element.start, element.end, element.pid = event["time"], None, event["pid"]
    elif element.state == "PENDING":
        element.start = element.end = element.pid = None
        element.restarts = event.get("restarts", element.restarts)
    elif element.final:
        element.end = event["time"]
        element.exit_code = event.get("exit_code", "0:0")


def indexes(text: str) -> tuple[list[int], int | None]:
    """Read an array specification such as `0-9:2,20%4`."""
    body, _, limit = text.partition("%")
    tasks: list[int] = []
    for part in body.split(","):
        span, _, step = part.partition(":")
        first, dash, last = span.partition("-")
        tasks += range(int(first), (int(last) if dash else int(first)) + 1, int(step or 1))
    return sorted(set(tasks)), int(limit) if limit else None


def compress(numbers: list[int]) -> str:
    """Write numbers as squeue does: `1-3,7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def node_list(count: int) -> str:
    """Names of the first nodes: `n1`, `n[1-3]`."""
    return "n1" if count == 1 else f"n[1-{count}]"
