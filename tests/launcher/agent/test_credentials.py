"""Token and certificates of a cluster: private files, one authority, nodes that trust each other and nobody else."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from curator_slurm.launcher.agent.credentials import (
    Credentials,
    credentials_of,
    expects_tls,
    issue_certificate,
    make_credentials,
    remove_credentials,
)
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.ray_process import RayNode, ray_environment, start_command
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths


def cluster(folder: Path, name: str = "4711.0") -> ClusterPaths:
    return ClusterPaths(folder / "elements" / name, RunPaths(folder))


def nodes(folder: Path, name: str = "4711.0") -> tuple[Credentials, Credentials]:
    folder.mkdir(exist_ok=True)
    made = cluster(folder, name)
    make_credentials(made, tls=True)
    sessions = [folder / f"session-{node}-{name}" for node in ("n1", "n2")]
    for session, names in zip(sessions, (["n1", "127.0.0.1"], ["n2", "10.1.2.3"]), strict=True):
        session.mkdir(mode=0o700)
        issue_certificate(made, session, names)
    return credentials_of(made, sessions[0]), credentials_of(made, sessions[1])


def test_all_of_it_is_private_and_goes_with_the_cluster(tmp_path: Path) -> None:
    nodes(tmp_path)
    nodes(tmp_path, "4711.1")
    secrets = tmp_path / "secrets"
    files = [path for folder in (secrets, *tmp_path.glob("session-*")) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 2 * (1 + 2 + 2 * 3), "token, the authority's pair, two nodes' pairs with the authority's"
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {
        path.stat().st_mode & 0o777 for path in (secrets, *secrets.glob("ray-tls.*"), *tmp_path.glob("session-*/tls"))
    } == {0o700}
    remove_credentials(cluster(tmp_path))
    assert sorted(path.name for path in secrets.iterdir()) == ["ray-tls.4711.1", "ray-token.4711.1"]
    remove_credentials(cluster(tmp_path, "4711.1"))
    assert list(secrets.iterdir()) == []


def test_encryption_is_the_default_where_certificates_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tls, made in ((None, True), (True, True), (False, False)):
        folder = tmp_path / str(tls)
        folder.mkdir()
        assert make_credentials(cluster(folder), tls=tls) == made == expects_tls(tls)
        assert cluster(folder).tls.exists() == made
        assert cluster(folder).token.stat().st_mode & 0o777 == 0o600
    monkeypatch.setitem(sys.modules, "curator_slurm.launcher.agent.certificates", None)  # as without cryptography
    bare = tmp_path / "bare"
    bare.mkdir()
    assert not make_credentials(cluster(bare), tls=None)
    assert [path.name for path in (bare / "secrets").iterdir()] == ["ray-token.4711.0"]
    with pytest.raises(BootstrapError, match="needs the module cryptography") as error:
        make_credentials(cluster(bare), tls=True)
    assert error.value.next_step.endswith("or set cluster.tls to false")
    with pytest.raises(BootstrapError, match="needs the module cryptography"):
        issue_certificate(cluster(tmp_path / "None"), bare, ["n2", "10.1.2.3"])


def handshake(server: Credentials, client: Credentials | None, name: str) -> str | None:
    """A connection as Ray makes it: both sides show a certificate, the client checks the address; None if it works."""
    assert server.tls is not None
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_verify_locations(server.tls.authority)
    listening.load_cert_chain(server.tls.certificate, server.tls.key)
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    calling.maximum_version = ssl.TLSVersion.TLSv1_2  # the client learns in its handshake that it is refused
    if client is None or client.tls is None:
        calling.check_hostname, calling.verify_mode = False, ssl.CERT_NONE
    else:
        calling.load_verify_locations(client.tls.authority)
        calling.load_cert_chain(client.tls.certificate, client.tls.key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            listening.wrap_socket(ours, server_side=True).close()
        except OSError:
            ours.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        calling.wrap_socket(theirs, server_hostname=name).close()
    except OSError as error:
        return str(error)
    finally:
        theirs.close()
        serving.join()
    return None


def test_nodes_accept_each_other_by_address_and_by_name(tmp_path: Path) -> None:
    first, second = nodes(tmp_path)
    assert handshake(first, second, "127.0.0.1") is None
    assert handshake(second, first, "10.1.2.3") is None
    assert handshake(second, first, "n2") is None
    assert handshake(second, first, "localhost") is None


def test_nobody_else_is_accepted_and_no_node_can_pose_as_another(tmp_path: Path) -> None:
    first, second = nodes(tmp_path / "run")
    stranger, _ = nodes(tmp_path / "other")
    assert handshake(first, None, "127.0.0.1"), "a caller without a certificate"
    assert handshake(first, stranger, "127.0.0.1"), "a caller of another run"
    assert handshake(stranger, first, "127.0.0.1"), "a server of another run"
    assert "mismatch" in str(handshake(second, first, "10.1.2.4")), "a node at the address of another"


@pytest.fixture
def head() -> RayNode:
    return RayNode("10.1.2.3", PortBlock(20000, 20149), "/tmp/cs-1", cpus=2, gpus=0, memory=1, object_store=1)


HOSTILE = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_AUTH_TOKEN": "theirs",
    "RAY_USE_TLS": "1",
    "RAY_TLS_SERVER_CERT": "/theirs",
    "RAY_enable_metrics_collection": "1",
    "DASHBOARD_METRIC_PORT": "44227",
    "PATH": "/bin",
}
"""What a user may have set for a Ray of their own."""


def test_the_environment_decides_everything_about_access_itself(tmp_path: Path, head: RayNode) -> None:
    environment = ray_environment(HOSTILE, head, Credentials(tmp_path / "token"), xenna=False)
    shown = {name: value for name, value in environment.items() if name.startswith(("RAY_AUTH", "RAY_USE", "RAY_TLS"))}
    assert shown == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "RAY_USE_TLS": "0"}
    with_tls, _ = nodes(tmp_path)
    environment = ray_environment(HOSTILE, head, with_tls, xenna=False)
    assert environment["RAY_USE_TLS"] == "1"
    for name in ("SERVER_CERT", "SERVER_KEY", "CA_CERT"):
        assert Path(environment[f"RAY_TLS_{name}"]).parent == tmp_path / "session-n1-4711.0" / "tls"
    assert "PRIVATE KEY" not in "".join(environment.values())


@pytest.mark.parametrize("metrics", [False, True])
def test_metrics_are_off_unless_asked_for(tmp_path: Path, head: RayNode, metrics: bool) -> None:
    access = Credentials(tmp_path / "token")
    environment = ray_environment(HOSTILE, replace(head, metrics=metrics), access, xenna=False)
    assert environment["RAY_enable_metrics_collection"] == str(int(metrics))
    port = int(environment["DASHBOARD_METRIC_PORT"])
    assert port == head.ports["dashboard_metrics"] if metrics else port > 65535


def test_no_secret_is_on_the_command_line(tmp_path: Path, head: RayNode) -> None:
    nodes(tmp_path)
    token = cluster(tmp_path).token.read_text()
    assert token not in " ".join(start_command(head))
