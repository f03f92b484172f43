"""Sharded runs of several kinds in a cluster where things die at random: the rows must be those of a quiet one."""

from __future__ import annotations

from typing import Any

from slurm_cluster import SlurmCluster

from on_slurm.copying import assert_once, copying, make_input, on_ray, retry_until_done, undisturbed
from on_slurm.disorder import Disorder
from on_slurm.runs import Runs


def specs(singles: int, pairs: int, rayed: int, pause: float) -> list[dict[str, Any]]:
    """Shards on one node, on two nodes (two shards in an element), and on Ray; six elements run at once."""
    files = singles * 2 + pairs * 2 + rayed
    assert files <= 100
    return [
        copying("single", "00[0-4]?.jsonl", {"count": singles, "max_running": 3}, pause),
        copying("pair", "00[5-7]?.jsonl", {"count": pairs, "max_running": 2, "per_element": 2}, pause, nodes=2),
        on_ray(copying("ray", "00[89]?.jsonl", {"count": rayed, "max_running": 1})),
    ]


def survive(cluster: SlurmCluster, runs: Runs, kinds: list[dict[str, Any]], seed: int, seconds: float) -> str:
    """Run them all at once through `seconds` of disorder, and retry what is left; tells what happened.

    Raises:
        AssertionError: rows are missing, or there twice, or the runs do not come to an end.
    """
    make_input(runs.folder, 100)
    wanted = {kind["name"]: undisturbed(runs, kind) for kind in kinds}
    total = sum(len(shards) for shards in wanted.values())
    disorder = Disorder(cluster, seed)
    ids = [runs.submit(kind)["run_id"] for kind in kinds]
    folders = {kind["name"]: runs.runs_dir / kind["name"] / run for kind, run in zip(kinds, ids, strict=True)}

    def done() -> int:
        return sum(1 for folder in folders.values() for _ in folder.glob("shards/*.done.json"))

    try:
        disorder.reign(seconds, lambda: done() >= total)
        before = done()
        tries = retry_until_done(runs, ids)
        for name, folder in folders.items():
            assert_once(folder, wanted[name])
        assert cluster.processes() == []
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}", *disorder.log]))
        raise
    assert len(disorder.log) > 2, "nothing was disturbed"
    attempts = sum(1 for folder in folders.values() for _ in folder.glob("attempts/*/*"))
    return (
        f"seed {seed}: {len(disorder.log)} accidents; {before} of {total} shards done after them, "
        f"all after {tries} times retry, in {attempts} attempts"
    )
