"""Stands in for an array element: does to the run directory what a real one does, without a cluster.

It obeys $ORDERS or, where there is one, `orders.json` of the run: shard -> a failure class, "die" (leave without a
word), seconds to take, or the path of a file to wait for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]  # started without site-packages, which take longer than all the rest

import shard_endings  # noqa: E402

from curator_slurm.launcher.files import write_json  # noqa: E402
from curator_slurm.launcher.runs.paths import RunPaths  # noqa: E402
from curator_slurm.launcher.runs.registry import load_run  # noqa: E402
from curator_slurm.launcher.runs.shard_records import Element  # noqa: E402

root = Path.cwd()
run, paths = load_run(root), RunPaths(root)
number = sys.argv[1]
text = (paths.submissions / number / "elements.jsonl").read_text()
elements = [Element.from_line(line) for line in text.splitlines()]
task = os.environ.get("SLURM_ARRAY_TASK_ID")
if task is None:
    shards = [shard for element in elements for shard in element.shards]
    element_id = os.environ["CURATOR_SLURM_JOB_ID"]
else:
    shards = list(elements[int(task)].shards)
    element_id = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}"
attempt = f"{element_id}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
orders_file = root / "orders.json"
orders = json.loads(orders_file.read_text() if orders_file.exists() else os.environ["ORDERS"])
element = paths.elements / attempt
element.mkdir(parents=True, exist_ok=True)
(element / "heartbeat").touch()
failed = []
for shard in shards:
    if paths.done(shard).exists():
        continue
    order = orders.get(str(shard), 0)
    folder = paths.attempts / f"{shard:05d}" / attempt
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driver.log").write_text(f"driver of shard {shard}\n")
    if order == "die":
        os._exit(9)
    if isinstance(order, str) and order.startswith("/"):
        while not Path(order).exists():
            time.sleep(0.05)
        order = 0
    if isinstance(order, str):
        shard_endings.fail(run, shard, attempt, order)
        failed.append(shard)
    else:
        time.sleep(order)
        shard_endings.publish(run, shard, attempt)
state = "failed" if failed else "completed"
write_json(element / "outcome.json", {"schema": 1, "state": state, "failure_class": None, "message": ""})
sys.exit(1 if failed else 0)
