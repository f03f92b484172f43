"""Whether a Ray that has just started really turns strangers away: asked, not believed.

The token is an environment variable of Ray; a version that does not know it, or that has renamed it, starts as usual
and lets everybody in. So the agent calls as a stranger would, without a token and with a wrong one.

gRPC is loaded for that alone: it takes a fifth of an agent's start, and a run without Ray needs none.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from curator_slurm.launcher.agent.credentials import Credentials
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.ranges import whole_number

if TYPE_CHECKING:
    import grpc

MIN_RAY = (2, 52)
"""The first version with tokens; pyproject.toml says the same."""

CONTROL_SERVICE = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
NODE_MANAGER = "/ray.rpc.NodeManagerService/GetNodeStats"

_CALL_S = 5.0
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_SILENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_STEP = "use a Ray with token authentication (2.52 or newer) in the environment of the nodes, as constraints.txt has it"


def check_version() -> None:
    """Raises BootstrapError where this node has no Ray, or one that is too old for tokens."""
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError as error:
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            "ray is not installed in the environment of the nodes",
            "install curator-slurm with its dependencies in the environment that the spec names",
        ) from error
    if is_too_old(version):
        least = ".".join(map(str, MIN_RAY))
        raise BootstrapError(
            FailureClass.ENVIRONMENT,
            f"Ray {version} has no token authentication: any user of the cluster could run code in the run; "
            f"Ray {least} is the oldest that has it",
            f"install ray>={least} in the environment of the nodes",
        )


def is_too_old(version: str) -> bool:
    """Whether a version of Ray is older than tokens; one that cannot be read is left to `refuses_strangers`."""
    numbers = [number for part in version.split(".")[:2] if (number := whole_number(part)) is not None]
    return len(numbers) == len(MIN_RAY) and tuple(numbers) < MIN_RAY


@dataclass(frozen=True)
class Door:
    """A server of Ray: its address, and a method of it to call."""

    what: str
    address: str
    method: str


def refuses_strangers(door: Door, access: Credentials) -> bool:
    """Call as somebody who has no token, and as somebody who has a wrong one; False if there is no answer (yet).

    With TLS the caller has the certificate of this node: only the token is tried.

    Raises:
        BootstrapError: it answered.
    """
    with _channel(door.address, access) as channel:
        for who, token in (("without a token", None), ("with a wrong token", secrets.token_hex(32))):
            code = _call(channel, door.method, token)
            if code.name in _SILENT:
                return False
            if code.name not in _REFUSED:
                raise BootstrapError(
                    FailureClass.ENVIRONMENT,
                    f"{door.what} at {door.address} does not refuse a caller {who} (it answered {code.name}); the "
                    f"run was stopped, because any user of the cluster could run code in it",
                    _STEP,
                )
    return True


def _call(channel: grpc.Channel, method: str, token: str | None) -> grpc.StatusCode:
    """How the server answers an empty request."""
    import grpc

    request = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    header = [] if token is None else [("authorization", f"Bearer {token}")]
    try:
        request(b"", timeout=_CALL_S, metadata=header)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def _channel(address: str, access: Credentials) -> grpc.Channel:
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    if access.tls is None:
        return grpc.insecure_channel(address, options)
    tls = access.tls
    identity = grpc.ssl_channel_credentials(
        tls.authority.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes()
    )
    return grpc.secure_channel(address, identity, options)
