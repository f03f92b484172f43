"""What all sides of startup.py run: a task on every node, and when it was done. Usage: FILE NODES [client] [logs=MIB]

With `client` it starts its cluster with NeMo Curator's SlurmRayClient first, which must run on every node.
"""

import json
import os
import sys
import time
from pathlib import Path

FILE, NODES = Path(sys.argv[1]), int(sys.argv[2])
times = {"program": time.time()}


def note(name: str) -> None:
    times[name] = time.time()
    FILE.write_text(json.dumps(times))


client = None
if "client" in sys.argv:
    from nemo_curator.core.client import SlurmRayClient

    client = SlurmRayClient(num_cpus=2, num_gpus=0, object_store_memory=200_000_000, ray_temp_dir="/tmp/cs-peer")
    client.start()
    note("cluster")

import ray  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode  # noqa: E402

note("imported")
ray.init(log_to_driver=False)
note("connected")
nodes: list[str] = []
while len(nodes) < NODES:
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    time.sleep(0.02)


@ray.remote(num_cpus=1)
def where() -> str:
    return str(ray.get_runtime_context().get_node_id())


calls = [where.options(scheduling_strategy=OnNode(node, soft=False)).remote() for node in nodes]
assert sorted(ray.get(calls)) == sorted(nodes)
note("tasks")


@ray.remote(num_cpus=1)
def write_logs(mib: int) -> None:
    """As a worker that prints a lot would."""
    logs = Path(os.environ["TMPDIR"]).parent / "ray" / "session_latest" / "logs"
    with (logs / "chatty.out").open("w") as stream:
        for number in range(mib):
            stream.write("".join(f"{number}.{line}: said at {time.time()}\n" for line in range(1 << 15))[: 1 << 20])


mib = next((int(word.removeprefix("logs=")) for word in sys.argv if word.startswith("logs=")), 0)
if mib:
    ray.get([write_logs.options(scheduling_strategy=OnNode(node, soft=False)).remote(mib) for node in nodes])
ray.shutdown()
note("ended")
if client is not None:
    client.stop()
