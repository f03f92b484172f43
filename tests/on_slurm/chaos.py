"""Sharded runs in a cluster where things die at random: the rows must be those of a quiet one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slurm_cluster import SlurmCluster
from slurm_cluster.errors import ClusterError

from on_slurm.copying import assert_once, copying, make_input, on_ray, retry_until_done, undisturbed
from on_slurm.disorder import LEAST, Disorder
from on_slurm.runs import Runs

NODES, CPUS = 4, 4
"""Six elements of two nodes run at once, and one on Ray beside them."""
FILES = 100
"""80 for the run without Ray, 20 for the one on Ray."""


def specs(shards: int, rayed: int, pause: float) -> list[dict[str, Any]]:
    """A run of `shards`, six elements of two nodes at once, and beside it a small one on Ray over two nodes.

    A run has one number of nodes, but a retry may have another: shards that are tried again have one node or two.
    """
    assert shards <= 80
    return [
        on_ray(copying("ray", "00[89]?.jsonl", {"count": rayed, "max_running": 1, "per_element": 2}, nodes=2)),
        copying("main", "00[0-7]?.jsonl", {"count": shards, "max_running": 6}, pause, nodes=2),
    ]


Rows = Mapping[str, Mapping[str, list[str]]]
"""Run -> shard -> its rows."""


def without_disorder(cluster: SlurmCluster, kinds: list[dict[str, Any]]) -> Rows:
    """What they write where nobody disturbs them."""
    runs = Runs(cluster, cluster.shared / "undisturbed")
    runs.folder.mkdir()
    os.chown(runs.folder, cluster.uid(), cluster.uid())
    make_input(runs.folder, FILES)
    return {kind["name"]: undisturbed(runs, kind) for kind in kinds}


def survive(
    cluster: SlurmCluster, runs: Runs, kinds: list[dict[str, Any]], wanted: Rows, seed: int, seconds: float
) -> str:
    """Run them all at once through `seconds` of disorder, and retry what is left; tells what happened.

    Raises:
        AssertionError: rows are missing, or there twice, or the runs do not come to an end.
    """
    began = time.monotonic()
    make_input(runs.folder, FILES)
    total = sum(len(shards) for shards in wanted.values())
    disorder = Disorder(cluster, seed)
    ids = [runs.submit(kind)["run_id"] for kind in kinds]
    folders = {kind["name"]: runs.runs_dir / kind["name"] / run for kind, run in zip(kinds, ids, strict=True)}

    def done() -> int:
        return sum(1 for folder in folders.values() for _ in folder.glob("shards/*.done.json"))

    try:
        with impatience(runs, ids, disorder) as retries:
            disorder.reign(seconds, lambda: done() >= total)
        before = done()
        assert not retries.wrong, retries.wrong
        tries = retry_until_done(runs, ids)
        for name, folder in folders.items():
            assert_once(folder, wanted[name])
        assert cluster.processes() == []
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}", *disorder.log]))
        raise
    assert len(disorder.log) >= LEAST, "nothing was disturbed"
    kills = sum("killed" in line or "cut" in line for line in disorder.log)
    attempts = sum(1 for folder in folders.values() for _ in folder.glob("attempts/*/*.*"))
    elements = sum(1 for folder in folders.values() for path in folder.glob("elements/*") if path.is_dir())
    submissions = sum(1 for folder in folders.values() for _ in folder.glob("submissions/*"))
    return (
        f"seed {seed}: {len(disorder.log)} accidents, {kills} of them deaths; {before} of {total} shards done after "
        f"them, all after {retries.count} times retry meanwhile and {tries} afterwards; {attempts} attempts, "
        f"{elements} elements, {submissions} submissions, {time.monotonic() - began:.0f} s"
    )


class Retries:
    """What became of retries in the disorder."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: list[str] = []


@contextmanager
def impatience(runs: Runs, run_ids: list[str], disorder: Disorder) -> Iterator[Retries]:
    """Somebody who retries again and again while things die; some of it dies with the login node."""
    retries, stop = Retries(), threading.Event()

    def keep_trying() -> None:
        nodes = 1
        while not stop.wait(10):
            nodes = 3 - nodes
            for run_id in run_ids:
                crashes = disorder.crashes
                try:
                    done = runs.command("retry", run_id, "--set", f"resources.nodes={nodes}")
                except ClusterError:  # the login node is off
                    continue
                retries.count += 1
                calm = crashes == disorder.crashes and crashes % 2 == 0
                if done.returncode not in (0, 5) and calm:
                    retries.wrong.append(f"exit code {done.returncode}: {done.output}")

    thread = threading.Thread(target=keep_trying)
    thread.start()
    try:
        yield retries
    finally:
        stop.set()
        thread.join()
