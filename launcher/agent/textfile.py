"""The file with the figures of a running job for those who scrape them: written anew by its head, gone at its end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.measurements import NodeSample
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.files import read_object
from curator_slurm.launcher.measuring.openmetrics import NODES, STARTED, UPDATED, metrics_text
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.paths import ClusterPaths

INTERVAL_S = 15.0
"""Between two files: scrapers come no more often."""
_END_S = 0.5


def files_of(cluster: ClusterPaths, plan: Plan) -> list[tuple[Path, int]]:
    """Where it is written, with the mode: in the run directory, and in a folder for others where the spec names one."""
    found = [(cluster.textfile, 0o600)]
    folder = plan.spec.cluster.openmetrics
    if folder is not None:
        found.append((Path(folder, f"curator-slurm-{cluster.run.run_id}-{cluster.name}.prom"), 0o644))
    return found


def remove_textfiles(cluster: ClusterPaths, plan: Plan) -> None:
    """At the end of a job: figures that stay would be taken for those of a job that runs."""
    for path, _ in files_of(cluster, plan):
        with contextlib.suppress(OSError):
            path.unlink()


class Textfile:
    """Writes it in a thread, until `end`. Nothing that goes wrong here does any harm to the run."""

    def __init__(self, context: AgentContext, sample: Callable[[], NodeSample | None]) -> None:
        self._context = context
        self._sample = sample
        self._files = files_of(context.cluster, context.plan)
        self._started = time.time()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openmetrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop, and take the files away."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        remove_textfiles(self._context.cluster, self._context.plan)

    def _run(self) -> None:
        while self._files and not self._over.wait(INTERVAL_S):
            try:
                self.write()
            except Exception:
                log.exception("no more figures are written for scrapers")
                return

    def write(self) -> None:
        """All files once; one that cannot be written is left out from then on."""
        text = self._text()
        for path, mode in list(self._files):
            try:
                write_atomic(path, text, mode, durable=False)
                if mode & 0o077:
                    path.chmod(mode)  # whatever the umask
            except OSError as error:
                self._files.remove((path, mode))
                log.warning("no figures for scrapers in %s: %s", path, storage_errors.what(error))

    def _text(self) -> str:
        context, attempt = self._context, self._context.attempt
        cluster = context.cluster
        ids = {"run_id": cluster.run.run_id, "slurm_job": cluster.job_id}
        run = {
            **ids,
            "name": context.plan.spec.name,
            "restart": cluster.name.rpartition(".")[2],
            "version": __version__,
        }
        figures = {STARTED: self._started, UPDATED: time.time(), NODES: len(context.allocation.nodes)}
        progress = read_object(attempt.progress) if attempt is not None else None
        shard = attempt.shard if attempt is not None else None
        return metrics_text(run, ids, figures, shard, progress, self._sample())
