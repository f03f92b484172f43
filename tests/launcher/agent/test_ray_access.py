"""A Ray that lets strangers in is found out, whatever its environment says."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import grpc
import pytest

from curator_slurm.launcher.agent import ray_access
from curator_slurm.launcher.agent.credentials import Credentials, credentials_of, issue_certificate, make_credentials
from curator_slurm.launcher.agent.ray_access import CONTROL_SERVICE, Door, check_version, is_too_old, refuses_strangers
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

Answer = Callable[[str | None], grpc.StatusCode]
"""What a server makes of the `authorization` of a call."""


class Server(grpc.GenericRpcHandler):
    """Answers every method as told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        header = dict(details.invocation_metadata).get("authorization")

        def handle(_request: bytes, context: grpc.ServicerContext) -> bytes:
            code = self.answer(header)
            if code is not grpc.StatusCode.OK:
                context.abort(code, "as told")
            return b""

        return grpc.unary_unary_rpc_method_handler(handle)


@pytest.fixture
def serve() -> Iterator[Callable[..., Door]]:
    """Start servers on this machine's loopback."""
    servers = []

    def start(answer: Answer, access: Credentials | None = None) -> Door:
        server = grpc.server(ThreadPoolExecutor(2), handlers=[Server(answer)])
        if access is None or access.tls is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = access.tls.key.read_bytes(), access.tls.certificate.read_bytes()
            trusted = grpc.ssl_server_credentials([pair], access.tls.authority.read_bytes(), require_client_auth=True)
            port = server.add_secure_port("127.0.0.1:0", trusted)
        server.start()
        servers.append(server)
        return Door("Ray's control service on n1", f"127.0.0.1:{port}", CONTROL_SERVICE)

    yield start
    for server in servers:
        server.stop(None).wait()


CLEAR = Credentials(Path("token"))
OK, REFUSED = grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED


def test_one_that_refuses_everybody_without_the_token(serve: Callable[..., Door]) -> None:
    asked: list[str | None] = []

    def answer(header: str | None) -> grpc.StatusCode:
        asked.append(header)
        return REFUSED

    assert refuses_strangers(serve(answer), CLEAR)
    without, wrong = asked
    assert without is None
    assert wrong is not None
    assert len(wrong) == len("Bearer ") + 64


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda header: OK, "without a token"),
        (lambda header: OK if header else REFUSED, "with a wrong token"),
        (lambda header: grpc.StatusCode.INVALID_ARGUMENT, "without a token"),
        (lambda header: grpc.StatusCode.UNIMPLEMENTED, "without a token"),
    ],
)
def test_one_that_answers_a_stranger_stops_the_run(serve: Callable[..., Door], answer: Answer, words: str) -> None:
    door = serve(answer)
    with pytest.raises(BootstrapError) as stopped:
        refuses_strangers(door, CLEAR)
    assert stopped.value.failure_class == FailureClass.ENVIRONMENT
    assert words in str(stopped.value)
    assert door.address in str(stopped.value)
    assert "Ray's control service on n1" in str(stopped.value)


def test_silence_says_nothing(serve: Callable[..., Door]) -> None:
    assert not refuses_strangers(Door("nobody", "127.0.0.1:9", CONTROL_SERVICE), CLEAR)


def test_with_tls_it_calls_as_a_node_does(serve: Callable[..., Door], tmp_path: Path) -> None:
    cluster = ClusterPaths(tmp_path / "elements" / "1.0", RunPaths(tmp_path))
    make_credentials(cluster, tls=True)
    issue_certificate(cluster, tmp_path, ["n1", "127.0.0.1"])
    node = credentials_of(cluster, tmp_path)
    assert refuses_strangers(serve(lambda header: REFUSED, node), node)
    with pytest.raises(BootstrapError, match="without a token"):
        refuses_strangers(serve(lambda header: OK, node), node)


def test_a_proxy_of_the_site_is_not_asked(serve: Callable[..., Door], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert refuses_strangers(serve(lambda header: REFUSED), CLEAR)


def test_an_old_ray_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    check_version()
    monkeypatch.setattr(ray_access.metadata, "version", lambda name: "2.51.2")
    with pytest.raises(BootstrapError, match=r"Ray 2\.51\.2 has no token authentication"):
        check_version()

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(ray_access.metadata, "version", missing)
    with pytest.raises(BootstrapError, match="not installed"):
        check_version()


def test_which_versions_are_too_old() -> None:
    assert [is_too_old(version) for version in ("1.13.0", "2.9.3", "2.51.0")] == [True] * 3
    assert [is_too_old(version) for version in ("2.52.0", "2.60.0", "3.0.0.dev0", "2.100", "main")] == [False] * 5


def test_the_oldest_ray_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    (ray,) = [line for line in project["project"]["dependencies"] if line.startswith("ray[")]
    assert ray.endswith(">=" + ".".join(map(str, ray_access.MIN_RAY)))
