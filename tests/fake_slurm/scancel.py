"""scancel: ends jobs, or signals their steps or batch shells."""

import os
import signal
from collections.abc import Iterable

from fake_slurm import getopts
from fake_slurm.processes import signal_element
from fake_slurm.store import Element, Job, Store, record


def main(store: Store, arguments: list[str]) -> int:
    """Do it for the jobs named; ids that do not exist are passed over in silence, as by the real one."""
    options, words = getopts.parse("scancel", arguments)
    for job, elements in _chosen(store, options, words):
        alive = [e for e in elements if not e.final and options.get("state", e.state).upper() == e.state]
        if "signal" in options or "batch" in options:
            for element in alive:
                _signal(store, element, options)
        elif alive:
            record(job.folder, [e.task for e in alive], request="cancel")
    return 0


def _chosen(store: Store, options: dict[str, str], words: list[str]) -> Iterable[tuple[Job, list[Element]]]:
    if words:
        for word in words:
            try:
                yield from store.find([word])
            except KeyError:
                continue
        return
    filters = {fact: options[fact] for fact in ("user", "name", "partition") if fact in options}
    for job in store.all():
        if (filters or "me" in options) and all(job.facts[fact] == value for fact, value in filters.items()):
            yield job, job.elements


def _signal(store: Store, element: Element, options: dict[str, str]) -> None:
    text = options.get("signal", "KILL").upper().removeprefix("SIG")
    number = signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{text}"]
    if "batch" in options:
        if element.pid:
            os.kill(element.pid, number)
    else:
        signal_element(store.folder, element, number, steps_only="full" not in options)
