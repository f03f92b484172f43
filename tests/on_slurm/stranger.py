"""Another user of the cluster, who tries every door of somebody's Ray: run as a program on a node.

Reads a JSON list of [address, port] and prints, for each, what answered: without a token and with a wrong one.
"""

from __future__ import annotations

import http.client
import importlib
import json
import pkgutil
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WRONG = "0" * 64
PATHS = (
    "/",
    "/metrics",
    "/nodes?view=summary",
    "/nodes/hostnames",
    "/logical/actors",
    "/api/version",
    "/api/authentication_mode",
    "/api/cluster_status",
    "/api/cluster_metadata",
    "/api/prometheus_health",
    "/api/grafana_health",
    "/api/jobs/",
    "/api/job_agent/jobs/",
    "/api/actors/kill",
    "/api/serve/applications/",
    "/api/ray/version",
    "/api/v0/nodes",
    "/api/v0/tasks",
    "/api/v0/workers",
    "/api/v0/logs?node_id=0",
    "/api/v0/tasks/summarize",
    "/api/gcs_healthz",
    "/api/local_raylet_healthz",
    "/worker/traceback?pid=1&ip=x",
    "/usage_stats_enabled",
    "/timezone",
    "/events",
    "/log_proxy?url=x",
)
"""Of Ray's dashboard and its agents, and what a metrics server has."""


def speaks_http(address: str, port: int) -> bool:
    """Whether HTTP/1 is answered; a gRPC server closes the connection or answers in HTTP/2."""
    with socket.create_connection((address, port), 5) as connection:
        connection.settimeout(5)
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        try:
            return connection.recv(16).startswith(b"HTTP/1")
        except OSError:
            return False


def get(address: str, port: int, path: str, token: str | None) -> tuple[int, str]:
    """Status and body of a request; status 0 where the connection broke, several times."""
    reason = ""
    for _ in range(3):
        connection = http.client.HTTPConnection(address, port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read(200_000).decode(errors="replace")[:400]
        except OSError as error:
            reason = str(error)
        finally:
            connection.close()
    return 0, reason


HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_LIST_SERVICES = b"\x3a\x00"
"""A request of the reflection service, with an empty `list_services`."""
CHANNELZ = "grpc.channelz.v1.Channelz"
SENDER = ("node_id", "00" * 28)
"""StartSync without it ends Ray's process before it looks at the token: SECURITY.md says so."""
NOT_IN_PYTHON = {
    "ray.rpc.ObjectManagerService": ["Push", "Pull", "FreeObjects"],
    "ray.rpc.syncer.RaySyncer": ["StartSync"],
    CHANNELZ: ["GetTopChannels", "GetServers", "GetServer", "GetServerSockets", "GetSocket"],
}
"""Services of Ray without a description among its Python modules, and their methods."""


def methods() -> dict[str, list[str]]:
    """Every gRPC service that Ray's own descriptions have, with its methods."""
    import ray.core.generated as generated

    found = dict(NOT_IN_PYTHON)
    for module in pkgutil.iter_modules(generated.__path__):
        if module.name.endswith("_pb2"):
            services = importlib.import_module(f"ray.core.generated.{module.name}").DESCRIPTOR.services_by_name
            found.update({each.full_name: [method.name for method in each.methods] for each in services.values()})
    return found


def call(channel: Any, names: list[str], token: str | None) -> dict[str, str]:
    """The codes that empty requests are answered with."""
    metadata = [SENDER, ("authorization", f"Bearer {token}")] if token else [SENDER]
    calls = {name: channel.unary_unary(name, bytes, bytes).future(b"", 30, metadata) for name in names}
    return {name: str(each.code().name) for name, each in calls.items()}


def listed(channel: Any, known: list[str]) -> list[str]:
    """Services that the server itself names when asked, without those that are known."""
    import grpc

    try:
        (answer,) = channel.stream_stream(REFLECTION, bytes, bytes)(iter([_LIST_SERVICES]), timeout=30)
    except grpc.RpcError:
        return []
    named = set(re.findall(rb"(?:ray|grpc)\.[A-Za-z0-9_.]+", answer))
    return sorted({name.decode() for name in named} - {*known, HEALTH.split("/")[1], REFLECTION.split("/")[1]})


def call_all(address: str, port: int, services: dict[str, list[str]]) -> dict[str, Any]:
    """What every method of every service of a server answers; those of services that it does not have are left out."""
    import grpc

    door: dict[str, Any] = {"answers": {}}
    with grpc.insecure_channel(f"{address}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        door["untried"] = listed(channel, list(services))
        firsts = call(channel, [f"/{name}/{found[0]}" for name, found in services.items()], None)
        there = [name.split("/")[1] for name, code in firsts.items() if code != "UNIMPLEMENTED"]
        names = [f"/{service}/{method}" for service in there for method in services[service]]
        for who, token in (("without", None), ("wrong", WRONG)):
            door["answers"][who] = call(channel, [*names, HEALTH, REFLECTION], token)
    return door


def get_all(address: str, port: int) -> dict[str, Any]:
    """What every page answers: status and the begin of the body."""
    answers = {
        who: {path: get(address, port, path, token) for path in PATHS}
        for who, token in (("without", None), ("wrong", WRONG))
    }
    return {"answers": answers, "untried": []}


def knock(address: str, port: int, services: dict[str, list[str]]) -> dict[str, Any]:
    """What one port answers."""
    try:
        pages = speaks_http(address, port)
    except ConnectionRefusedError:  # a worker that has ended since
        return {"address": address, "port": port, "kind": "gone", "answers": {}, "untried": []}
    answers = get_all(address, port) if pages else call_all(address, port, services)
    return {"address": address, "port": port, "kind": "http" if pages else "grpc", **answers}


if __name__ == "__main__":
    doors, services = json.load(sys.stdin), methods()
    with ThreadPoolExecutor(4) as pool:
        json.dump(list(pool.map(lambda door: knock(*door, services), doors)), sys.stdout)
