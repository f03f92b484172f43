"""Nodes that call each other: a node listens on some of Ray's ports, and tries those of every other one."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.doctor.machine_facts import NodeFacts, PeerFacts
from curator_slurm.launcher.spec.port_blocks import SERVICES

CALL_S = 3.0
"""For one connection; networks of clusters answer within milliseconds."""
_MOST_CALLED = 32
"""Nodes that each one calls: the first, and those that follow it."""


def sample_ports(block: PortBlock) -> list[int]:
    """Ports for Ray's services, and the ends of those for its workers."""
    return [*(block[service] for service in SERVICES), *block.workers]


class Listener:
    """Listens on an address, and tells each caller who this is and what its clock says, until it is closed."""

    def __init__(self, node: str, token: str, address: str, ports: Sequence[int]) -> None:
        self._greeting = {"node": node, "token": token}
        self._selector = selectors.DefaultSelector()
        self._over = threading.Event()
        self.ports: list[int] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in ports:
            server = socket.socket(family, socket.SOCK_STREAM)
            try:
                server.bind((address, port))
                server.listen(128)
            except OSError:
                server.close()
                continue
            server.setblocking(False)
            self._selector.register(server, selectors.EVENT_READ)
            self.ports.append(port)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    caller, _ = key.fileobj.accept()
                    with caller:
                        caller.settimeout(CALL_S)
                        caller.sendall(json.dumps({**self._greeting, "clock": time.time()}).encode())
                except OSError:
                    continue


@dataclass(frozen=True)
class PortCall:
    """One connection: the greeting, or why there is none; `ahead_s` is how far the other clock is ahead."""

    port: int
    problem: str = ""
    greeting: tuple[str, str] = ("", "")
    ms: float = 0.0
    ahead_s: float = 0.0


def call(address: str, port: int) -> PortCall:
    """Connect and read the greeting."""
    began, sent = time.monotonic(), time.time()
    try:
        with socket.create_connection((address, port), CALL_S) as line:
            line.settimeout(CALL_S)
            said = b"".join(iter(lambda: line.recv(4096), b""))
        ms = (time.monotonic() - began) * 1000
        found = json.loads(said)
        ahead = float(found["clock"]) - (sent + time.time()) / 2
        return PortCall(port, "", (str(found["node"]), str(found["token"])), ms, ahead)
    except TimeoutError:
        return PortCall(port, f"no answer within {CALL_S:.0f} s")
    except OSError as error:
        return PortCall(port, (error.strerror or str(error)).lower())
    except (ValueError, KeyError, TypeError):
        return PortCall(port, "another program answered")


def meet(peer: NodeFacts, token: str) -> PeerFacts:
    """PortCall all ports of another node at once."""
    network = peer.network
    if not network.address or not network.listens:
        return PeerFacts(node=peer.node)
    with ThreadPoolExecutor(len(network.listens)) as pool:
        calls = list(pool.map(lambda port: call(network.address, port), network.listens))
    good = [each for each in calls if not each.problem and each.greeting == (peer.node, token)]
    best = min(good, key=lambda each: each.ms, default=None)
    return PeerFacts(
        node=peer.node,
        address=network.address,
        answered=len(good),
        silent={each.port: each.problem or "another node answered" for each in calls if each not in good},
        stranger=any(not each.problem and each not in good for each in calls),
        ms=None if best is None else round(best.ms, 1),
        clock_ahead_s=None if best is None else round(best.ahead_s, 3),
    )


def called_by(number: int, nodes: Iterable[NodeFacts]) -> list[NodeFacts]:
    """Whom the node of a number calls: all others of a small job; of a large one the first, and those that follow."""
    others = sorted((each for each in nodes if each.number != number), key=lambda each: each.number)
    if len(others) <= _MOST_CALLED:
        return others
    following = sorted(others, key=lambda each: (each.number < number, each.number))
    return list({each.number: each for each in (others[0], *following)}.values())[:_MOST_CALLED]
