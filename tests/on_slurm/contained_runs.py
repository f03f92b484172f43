"""Runs of an ordinary user inside images, by the runtimes that the test nodes have, and what these leave on nodes."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import image_folder
import yaml
from slurm_cluster import SlurmCluster
from slurm_cluster.errors import ClusterError
from slurm_cluster.waiting import wait_for

from on_slurm.runs import Done, Runs

ENTER = Path(__file__).with_name("enter-image.sh")
RUNTIMES: dict[str, dict[str, Any]] = {
    "charliecloud": {"runtimes": ["charliecloud"]},
    "podman": {"runtimes": ["podman"]},
    "command": {
        "runtimes": ["command"],
        "place": "command",
        "command": [str(ENTER), "{image}", "{source}:{target}", "--"],
    },
}
"""What the site file says of containers."""
NODES = ("n1", "n2", "n3")
_TRACES = """
here=$(readlink /proc/self/ns/mnt)
for folder in /proc/[0-9]*; do
    [[ $(readlink "$folder/ns/mnt") == "$here" && $(stat -c %u "$folder") == 0 ]] && continue
    command=$(tr '\\0' ' ' <"$folder/cmdline" | cut -c 1-200)
    [[ $command ]] && echo "process $command"
done
sed -E 's/^[0-9]+ [0-9]+ [^ ]+ /mount /; s/ (master|shared|propagate_from):[0-9]+//g' /proc/self/mountinfo
for folder in /tmp /var/tmp /dev/shm /run /mnt; do find "$folder" -xdev -path "$0" -prune -o -printf 'file %p\\n'; done
true
"""
"""As root on a node: processes of others and of other namespaces, mounts, and files where programs leave them."""
_ON_DISK = ("file /tmp", "file /var/tmp")


def make_ready_for_podman(cluster: SlurmCluster) -> None:
    """Ids for alice, and no control groups of both versions at once."""
    for node in cluster.nodes:
        commands = "echo alice:100000:65536 | tee /etc/subuid >/etc/subgid; umount -q -l /sys/fs/cgroup/unified"
        cluster.run(["bash", "-c", f"{commands}; true"], user=None, node=node, check=True)


def in_image(runs: Runs, spec: dict[str, Any], runtime: str, image: Path = image_folder.IMAGE) -> dict[str, Any]:
    """The spec with the image, on a site that has this runtime."""
    (runs.folder / "site.yaml").write_text(yaml.safe_dump({"container": RUNTIMES[runtime]}))
    environment = {**spec.get("environment", {})}
    more = environment.pop("container", {})
    return {**spec, "environment": {**environment, "container": {"image": str(image), "runtime": runtime, **more}}}


def run(
    runs: Runs,
    spec: dict[str, Any],
    runtime: str,
    verb: str = "run",
    *options: str,
    image: Path = image_folder.IMAGE,
) -> Done:
    path = runs.write(in_image(runs, spec, runtime, image))
    return runs.command(verb, str(path), "--site", "./site.yaml", *options)


def where(runs: Runs) -> list[list[object]]:
    """(host, whether in the image) of all tasks of the newest run."""
    (line,) = [line for line in runs.read("attempts/*/*/driver.log").splitlines() if line.startswith("WHERE ")]
    found: list[list[object]] = json.loads(line.removeprefix("WHERE "))
    return found


def traces(cluster: SlurmCluster, node: str) -> Counter[str]:
    """Processes, mounts and files of a node by which a container could be known."""
    folder = str(cluster.shared.parent)  # of the cluster itself, which every node sees
    done = cluster.run(["bash", "-c", _TRACES, folder], user=None, node=node, check=True)
    return Counter(line for line in done.stdout.splitlines() if line.startswith(("process ", "mount ", "file ")))


class Before:
    """What nodes had before a run."""

    def __init__(self, cluster: SlurmCluster) -> None:
        self.cluster = cluster
        self.found = {node: traces(cluster, node) for node in NODES}

    def assert_no_trace(self, *nodes: str) -> None:
        """Nodes are as they were, in the end."""
        for node in nodes or NODES:
            with suppress(ClusterError):
                wait_for(f"{node} to be as before", lambda node=node: not self._more(node), 60)
            more = self._more(node)
            assert not more, "\n".join(more[:40])

    def boot(self, node: str) -> None:
        """A node has been booted: what is on its disk is all that may be compared with the time before."""
        rest = Counter({line: count for line, count in self.found[node].items() if line.startswith(_ON_DISK)})
        now = traces(self.cluster, node)
        self.found[node] = rest + Counter({line: count for line, count in now.items() if not line.startswith(_ON_DISK)})

    def _more(self, node: str) -> list[str]:
        return sorted((traces(self.cluster, node) - self.found[node]).elements())
