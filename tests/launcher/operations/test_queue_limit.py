"""Jobs of a user in the queue that a run without arrays has: one, or one for each group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sharded_runs import plan

from curator_slurm.launcher.operations.queue_limit import Fitting, fitting
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.sharding.arrays import JobArray, cut

HEADER = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|START_TIME|END_TIME|REASON\n"
ONE_JOB: Sequence[JobArray] = cut([0], 1, 1)


def of_groups(folder: Path, site: dict[str, Any], **placed: list[str]) -> Plan:
    groups = [{"name": name} for name in placed]
    made = plan(folder, shards=None, resources={"groups": groups})
    return made.model_copy(update={"site": site, "placed_groups": placed})


def with_room(made: Plan, queued: int, asked: list[str] | None = None) -> Fitting:
    """What fits where the user has so many jobs in the queue."""

    def run(command: list[str]) -> str:
        if asked is not None:
            asked.extend(word for word in command if word.startswith("--partition"))
        return HEADER + "".join(f"{number}|N/A|PENDING|N/A|N/A|None\n" for number in range(1, queued + 1))

    slurm: Any = SimpleNamespace(run=run)
    return fitting(made, ONE_JOB, slurm, collects=False)


@pytest.mark.parametrize(("queued", "fits"), [(0, True), (2, True), (3, False), (4, False)])
def test_each_group_is_a_job(tmp_path: Path, queued: int, fits: bool) -> None:
    made = of_groups(tmp_path, {"limits": {"submitted_jobs": 4}}, a=[], b=[])
    found = with_room(made, queued)
    assert (list(found.arrays) == list(ONE_JOB), found.refusal is None) == (fits, fits)
    if queued == 3:
        assert "1 are left, and this run has 2, one for each group. Submit again" in str(found.refusal)
    if queued == 4:
        assert "and there are as many. Submit again once some have ended" in str(found.refusal)


def test_groups_count_where_they_go(tmp_path: Path) -> None:
    part = {"limits": {"submitted_jobs": 2}, "slurm_name": "batch"}
    site = {"partitions": {"cpu": part, "gpu": {}}}
    asked: list[str] = []
    assert with_room(of_groups(tmp_path, site, a=["cpu"], b=["gpu"], c=["gpu"]), 1, asked).refusal is None
    assert asked == ["--partition=batch"]
    assert with_room(of_groups(tmp_path, site, a=["cpu"], b=["cpu"]), 1).refusal is not None
    assert with_room(of_groups(tmp_path, site, a=["cpu"], b=["cpu"]), 0).refusal is None
