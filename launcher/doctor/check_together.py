"""Checks that compare the nodes of a job with each other, and with the machine that has submitted it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median

from curator_slurm.common.in_words import several
from curator_slurm.launcher.agent.preflight import GPU_DRIVER
from curator_slurm.launcher.doctor.check_nodes import NodeNeeds
from curator_slurm.launcher.doctor.machine_facts import JobFacts, MeetingFacts, NodeFacts, PeerFacts
from curator_slurm.launcher.doctor.report import Check, Judgement, check, failed, of_nodes, ok, skipped, warning
from curator_slurm.launcher.doctor.shared_folder import RACES

_SLOW_MS, _VERY_SLOW_MS = 2_000.0, 30_000.0
_CLOCK_S, _CLOCK_FAILS_S = 2.0, 60.0
_CLOCK_STEP = "set the clocks by NTP or chrony (administrators)"
_STORAGE_STEP = "put the runs folder (storage.runs) on storage that every node mounts at the same path"


def check_together(
    facts: Mapping[str, NodeFacts], meetings: Mapping[str, MeetingFacts], job: JobFacts, wanted: NodeNeeds
) -> list[Check]:
    """All of them."""
    nodes = list(facts)
    if not nodes:
        return []
    checks = [
        *of_nodes("shared-storage", nodes, lambda name: _shared(facts[name], meetings.get(name), job)),
        *_delay(meetings),
        *_races(meetings),
        *_clock(facts, meetings, job),
        *_equal("versions", facts, _versions),
        *_equal("modules", facts, lambda node: {name.partition("/")[0]: name for name in node.modules}),
        *_equal("proxies", facts, lambda node: node.proxies),
    ]
    return checks + (
        [*_reach(facts, meetings)] if wanted.ray else [check("reachability", skipped("the spec needs no Ray"))]
    )


def _shared(node: NodeFacts, meeting: MeetingFacts | None, job: JobFacts) -> Iterator[Judgement]:
    """Nodes of which is known already why nothing came are not missed once more."""
    if node.storage.problem:
        yield failed(f"{node.storage.path}: {node.storage.problem}", node.storage.step)
    elif meeting is None:
        yield failed("the node has ended before it has met the others", "read what the job has printed")
    elif missed := [name for name in meeting.unseen if name not in job.refusals and name not in job.silent]:
        yield failed(f"files of {', '.join(missed)} did not appear in {node.storage.path}", _STORAGE_STEP)
    else:
        yield ok(f"{node.storage.path} is seen by all")


def _delay(meetings: Mapping[str, MeetingFacts]) -> Iterator[Check]:
    """By the calls of the first node."""
    for meeting in meetings.values():
        for node, times in sorted(meeting.echo_ms.items()):
            if not times:
                step = "ask the administrators whether the mounts cache for long (actimeo, acdirmax)"
                yield check(
                    "storage-delay", failed(f"new files are not seen between {meeting.node} and it", step), [node]
                )
                continue
            shown = f"new files are seen after {median(times):.0f} ms, at most {max(times):.0f}"
            slow = median(times) > _SLOW_MS
            step = "runs work, and every step of them takes so long; another file system for storage.runs is better"
            yield check("storage-delay", warning(shown, step) if slow else ok(shown), [node])


def _races(meetings: Mapping[str, MeetingFacts]) -> Iterator[Check]:
    """What one node alone may make must have been made once."""
    if len(meetings) < 2:
        return
    made = Counter(name for meeting in meetings.values() for name in meeting.races)
    twice = sorted({name.partition("-")[0] for name in RACES if made[name] > 1})
    never = sorted({name.partition("-")[0] for name in RACES if made[name] == 0})
    step = "put the runs folder (storage.runs) on a file system of the cluster: two nodes would publish the same"
    if twice:
        yield check(
            "storage-semantics", failed(f"{', '.join(twice)} succeeds on several nodes at once", step), meetings
        )
    elif never:
        yield check("storage-semantics", failed(f"{', '.join(never)} succeeds on no node", step), meetings)
    else:
        yield check("storage-semantics", ok("of several nodes that make the same name, one succeeds"), meetings)


def _reach(facts: Mapping[str, NodeFacts], meetings: Mapping[str, MeetingFacts]) -> Iterator[Check]:
    fine = []
    for name, meeting in meetings.items():
        verdicts = [verdict for peer in meeting.peers for verdict in _reached(name, peer)]
        for verdict in verdicts:
            yield check("reachability", verdict, [name])
        if not verdicts and meeting.peers and facts[name].network.address:
            fine.append(name)
    if fine:
        answers = [peer.ms for name in fine for peer in meetings[name].peers if peer.ms is not None]
        slowest = f", the slowest in {max(answers):.0f} ms" if answers else ""
        yield check("reachability", ok(f"all others answer{slowest}"), fine)
    elif len(facts) == 1:
        yield check("reachability", skipped("one node has nobody to call; give --nodes 2 or more"), facts)


def _reached(name: str, peer: PeerFacts) -> Iterator[Judgement]:
    if not peer.address or not peer.silent:
        return
    ports, why = ", ".join(map(str, sorted(peer.silent))), " / ".join(sorted(set(peer.silent.values())))
    if peer.answered:
        step = "open network.port_range between the nodes in their firewall, or name a range that is open"
        yield failed(f"{name} does not reach ports {ports} of {peer.node} ({peer.address}): {why}", step)
        return
    step = "set network.interface to a network by which the nodes reach each other, such as ib0 or 10.1.0.0/16"
    if peer.stranger:
        yield failed(f"at {peer.address}, the address of {peer.node}, somebody else answers {name}", step)
        return
    yield failed(
        f"{name} does not reach {peer.node} at {peer.address}: {why}", f"{step}; or open the ports in the firewall"
    )


def _clock(facts: Mapping[str, NodeFacts], meetings: Mapping[str, MeetingFacts], job: JobFacts) -> Iterator[Check]:
    """By how much the clocks differ from the first node's, and the first node's from that of this machine."""
    first = min(facts.values(), key=lambda node: node.number)
    ahead: dict[str, float] = {}
    if meeting := meetings.get(first.node):
        ahead = {peer.node: peer.clock_ahead_s for peer in meeting.peers if peer.clock_ahead_s is not None}
    known = {name: seconds for name, seconds in ahead.items() if name in facts}
    agreeing = [first.node] + [name for name, seconds in known.items() if abs(seconds) <= _CLOCK_S]
    for name, seconds in known.items():
        if name not in agreeing:
            yield check("clock", _off(seconds, f"that of {first.node}"), [name])
    own = _beyond(first.clock, job.submitted, job.answered)
    if own:
        yield check("clock", _off(own, "that of this machine"), [first.node])
    elif len(facts) == len(known) + 1:
        yield check("clock", ok("the clocks agree"), agreeing)
    else:
        rest = [name for name in facts if name not in known]
        yield check("clock", skipped("the nodes do not reach each other, by which clocks are compared"), rest)


def _beyond(clock: float, earliest: float, latest: float) -> float:
    """How far a clock is off that was read between two moments; 0 where it may be right."""
    if not earliest or earliest - _CLOCK_S <= clock <= latest + _CLOCK_S:
        return 0.0
    return clock - latest if clock > latest else clock - earliest


def _off(seconds: float, than: str) -> Judgement:
    words = f"the clock is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} {than}"
    return (failed if abs(seconds) > _CLOCK_FAILS_S else warning)(words, _CLOCK_STEP)


def _versions(node: NodeFacts) -> dict[str, str]:
    driver = {GPU_DRIVER: node.gpus.driver} if node.gpus.driver else {}
    return {**node.versions, **driver}


def _equal(name: str, facts: Mapping[str, NodeFacts], of: Callable[[NodeFacts], Mapping[str, str]]) -> Iterator[Check]:
    """What differs from what most nodes have, or from the first one's where as many have either."""
    values = {node: of(each) for node, each in facts.items()}
    keys = sorted({key for each in values.values() for key in each})
    odd: dict[str, list[str]] = {}
    for key in keys:
        having = [node for node in facts if key in values[node]] if key == GPU_DRIVER else list(facts)
        usual = _most(values[node].get(key, "none") for node in having)
        for node in having:
            if (own := values[node].get(key, "none")) != usual:
                odd.setdefault(node, []).append(f"{key} {own} here, {usual} on the others")
    steps = {
        "versions": "use one environment, on shared storage or installed identically on every node",
        "modules": "load modules by their full names with environment.modules",
        "proxies": "set the same with environment.env, or network.proxy of a site file",
    }
    failing = name == "versions"
    for node, words in odd.items():
        yield check(name, (failed if failing else warning)("; ".join(words), steps[name]), [node])
    if not odd:
        shown = _summary(name, values[next(iter(facts))])
        yield check(name, ok(shown), facts)


def _most(values: Iterable[str]) -> str:
    counted = Counter(values)
    return max(counted, key=lambda value: counted[value])


def _summary(name: str, values: Mapping[str, str]) -> str:
    if name == "versions":
        return "equal: " + ", ".join(f"{key} {value}" for key, value in values.items())
    if name == "modules":
        return "equal: " + ", ".join(values.values()) if values else "no modules are loaded"
    return "equal: " + ", ".join(f"{key}={value}" for key, value in values.items()) if values else "no proxies"


def check_job(job: JobFacts, facts: Sequence[str]) -> Iterator[Check]:
    """Whether the job did what it should, and why not on nodes of which nothing came."""
    if job.problem:
        yield check("job", failed(job.problem, job.step))
        return
    yield check("job", ok(f"job {job.job_id} ran on {several(len(job.nodes) or len(facts), 'node')}"))
    for node, (message, step) in job.refusals.items():
        yield check(_kind_of_refusal(message), failed(message, step), [node])
    if job.silent:
        last = f"; the job's last words: {' / '.join(job.log[-3:])}" if job.log else ""
        message = f"nothing came from it: it does not see the runs folder, or could not start a process{last}"
        yield check("shared-storage", failed(message, _STORAGE_STEP), job.silent)
    if facts and not job.refusals and not job.silent:
        yield check("software", ok("modules, variables, setup commands and Python worked"), facts)


def _kind_of_refusal(message: str) -> str:
    if message.startswith("environment.modules"):
        return "modules"
    if "container" in message:
        return "containers"
    if "shared storage" in message or "run directory" in message or "cannot read" in message:
        return "shared-storage"
    return "software"
