"""The process that `doctor` runs on every node of its job, where a run has its agent: facts first, then the others.

What it finds is in files of the node, as far as shared storage takes them; else a line of the job's log says why. It
takes the arguments of a node agent, because the same script starts it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from curator_slurm.common.streams import drop_unwritable
from curator_slurm.launcher.agent.allocation import Allocation, slurm_allocation
from curator_slurm.launcher.agent.preflight import check_run_directory
from curator_slurm.launcher.doctor import examine, shared_folder
from curator_slurm.launcher.doctor.machine_facts import Facts, MeetingFacts, NodeFacts
from curator_slurm.launcher.doctor.meeting import Listener, called_by, meet
from curator_slurm.launcher.errors import BootstrapError, CuratorSlurmError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.attempt_records import NodeState, read_node_status
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

MEET_S = 60.0
"""How long a node waits for the facts of the others, and, when it has done, for the others to have done."""
_LOOK_S = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Gather, write, meet; 0 where the facts of this node are written."""
    parser = argparse.ArgumentParser(prog="curator-slurm doctor on a node")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--element-dir", type=Path, required=True)
    parser.add_argument("--clean-up", action="store_true")
    options = parser.parse_args(arguments)
    if options.clean_up:
        return 0
    run = RunPaths(options.run_dir)
    cluster = ClusterPaths(options.element_dir, run)
    try:
        plan = Plan.from_yaml(read_own(run.plan))
        given = slurm_allocation(os.environ)
        check_run_directory(cluster, given.node_name)
    except (BootstrapError, CuratorSlurmError, OSError, ValueError) as error:
        print(f"curator-slurm: {examine.host()}: {_words(error)}", file=sys.stderr)
        return 78
    look_and_meet(plan, given, cluster)
    return 0


def _words(error: Exception) -> str:
    step = getattr(error, "next_step", "")
    return f"{error}; {step}" if step else str(error)


def look_and_meet(plan: Plan, given: Allocation, cluster: ClusterPaths, meet_s: float = MEET_S) -> None:
    """Everything about this node, and what it sees of the others."""
    paths = cluster.node(given.node_name)
    paths.root.mkdir(parents=True, exist_ok=True)
    facts = examine.examine(plan, given, _group(plan, given), os.environ, cluster.run.root.parent)
    network, block = examine.examine_network(plan, given)
    token = cluster.name
    listener = Listener(given.node_name, token, network.address, network.listens) if block else None
    if listener is not None:
        network = network.model_copy(update={"listens": tuple(listener.ports)})
    try:
        _write(paths.facts, facts.model_copy(update={"network": network}))
        seen = _wait_for(cluster, given, time.monotonic() + meet_s)
        _write(paths.meeting, _meet(given, cluster, seen, token, time.monotonic() + meet_s))
        _wait_for_meetings(cluster, seen, time.monotonic() + meet_s)
    finally:
        if listener is not None:
            listener.close()
        if block is not None:
            block.release()


def _group(plan: Plan, given: Allocation) -> str | None:
    """The group of `resources.groups` that this node is of."""
    groups = plan.spec.resources.groups
    return groups[plan.components[given.component]].name if groups else None


def _meet(
    given: Allocation, cluster: ClusterPaths, seen: dict[str, NodeFacts], token: str, until: float
) -> MeetingFacts:
    own, place = given.node_name, cluster.meeting
    others = [name for name in seen if name != own]
    peers = tuple(meet(peer, token) for peer in called_by(given.node_id, seen.values()))
    echo_ms: dict[str, list[float]] = {}
    races: tuple[str, ...] = ()
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, exist_ok=True)
        races = tuple(shared_folder.run_races(place, own))
        if given.is_head:
            echo_ms = shared_folder.echoes(place, others, until)
        else:
            shared_folder.answer_echoes(place, own, until)
    unseen = tuple(name for name in given.nodes if name not in seen)
    return MeetingFacts(node=own, unseen=unseen, peers=peers, echo_ms=echo_ms, races=races)


def _wait_for(cluster: ClusterPaths, given: Allocation, until: float) -> dict[str, NodeFacts]:
    """The facts of all nodes, as far as they appear in time; not of those on which nothing could start."""
    seen: dict[str, NodeFacts] = {}
    waiting = set(given.nodes)
    while waiting and time.monotonic() < until:
        with contextlib.suppress(OSError):
            for name in set(os.listdir(cluster.nodes)) & waiting:  # noqa: PTH208 (names alone)
                if (found := read_facts(cluster, name)) is not None:
                    seen[name] = found
                if found is not None or _has_refused(cluster, name):
                    waiting.discard(name)
        time.sleep(_LOOK_S)
    return seen


def _has_refused(cluster: ClusterPaths, node: str) -> bool:
    """Whether its shell has said that nothing can start there, or the login node has read so in the job's log."""
    paths = cluster.node(node)
    return paths.refused.exists() or read_node_status(paths).get("state") == NodeState.FAILED


def _wait_for_meetings(cluster: ClusterPaths, seen: dict[str, NodeFacts], until: float) -> None:
    """The others may still be calling this node."""
    waiting = set(seen)
    while waiting and time.monotonic() < until:
        waiting -= {name for name in waiting if cluster.node(name).meeting.exists()}
        time.sleep(_LOOK_S)


def read_facts(cluster: ClusterPaths, node: str) -> NodeFacts | None:
    """What a node has said of itself; None where nothing is there yet."""
    with contextlib.suppress(ValueError, OSError):
        found = read_json(cluster.node(node).facts)
        return None if found is None else NodeFacts.model_validate(found)
    return None


def read_meeting(cluster: ClusterPaths, node: str) -> MeetingFacts | None:
    """What it has seen of the others."""
    with contextlib.suppress(ValueError, OSError):
        found = read_json(cluster.node(node).meeting)
        return None if found is None else MeetingFacts.model_validate(found)
    return None


def _write(path: Path, facts: Facts) -> None:
    write_json(path, facts.model_dump(mode="json"))


if __name__ == "__main__":
    socket.setdefaulttimeout(30.0)
    code = main()
    drop_unwritable()
    sys.exit(code)
