"""What a process needs to be let into the run's Ray: the token, and with TLS the certificate of its node.

The token and the authority lie in the run's secrets, a node's certificate and key in its session folder: Ray reads them
for every connection, which shared storage should not feel. All files have mode 0600, in folders of mode 0700; they are
made anew for every element, and removed when it has ended.
"""

from __future__ import annotations

import importlib.util
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.paths import ClusterPaths

AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"
CERTIFICATE, KEY = "node.pem", "node.key"

VARIABLES = (
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_USE_TLS",
    "RAY_TLS_SERVER_CERT",
    "RAY_TLS_SERVER_KEY",
    "RAY_TLS_CA_CERT",
)
"""Everything that tells Ray whom to let in: what users have set of it is for a Ray of theirs, not for the run's."""


@dataclass(frozen=True)
class Tls:
    """One node's certificate, its private key, and the authority that all nodes of the cluster trust."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Credentials:
    """The way into one Ray cluster, by path and never by value."""

    token: Path
    tls: Tls | None = None

    def environment(self) -> dict[str, str]:
        """Variables of Ray. The modes are always set: Ray guesses them from files in the home directory otherwise,
        differently on the head and on workers."""
        mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}
        if self.tls is None:
            return {**mode, "RAY_USE_TLS": "0"}
        return {
            **mode,
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(self.tls.certificate),
            "RAY_TLS_SERVER_KEY": str(self.tls.key),
            "RAY_TLS_CA_CERT": str(self.tls.authority),
        }


def expects_tls(tls: bool | None) -> bool:
    """Whether this node expects its cluster to be encrypted, by `cluster.tls`; the head decides, and says it."""
    return importlib.util.find_spec("cryptography") is not None if tls is None else tls


def make_credentials(cluster: ClusterPaths, *, tls: bool | None) -> bool:
    """On the head, before anything starts: a random token, and with TLS the authority that signs for the nodes.

    Whether there is TLS: with `tls` None where certificates can be made.

    Raises:
        BootstrapError: TLS is asked for, and certificates cannot be made with the Python of the job.
    """
    cluster.run.secrets.mkdir(mode=0o700, exist_ok=True)
    write_atomic(cluster.token, secrets.token_hex(32), mode=0o600)
    if tls is False:
        return False
    try:
        from curator_slurm.launcher.agent.certificates import make_authority
    except ImportError as error:
        if tls is None:
            return False
        raise _no_certificates(error) from error
    cluster.tls.mkdir(mode=0o700, exist_ok=True)
    make_authority(cluster.tls / AUTHORITY, cluster.tls / AUTHORITY_KEY, cluster.name)
    return True


def _no_certificates(error: ImportError) -> BootstrapError:
    return BootstrapError(
        FailureClass.ENVIRONMENT,
        f"TLS (cluster.tls) needs the module cryptography, which the Python of the job does not have: {error}",
        "add it to the image or the environment (pip install cryptography), or set cluster.tls to false",
    )


def credentials_of(cluster: ClusterPaths, session_dir: Path | None) -> Credentials:
    """The paths of a node's credentials, whether the files are there yet or not; without TLS for no session folder."""
    if session_dir is None:
        return Credentials(cluster.token)
    folder = session_dir / "tls"
    return Credentials(cluster.token, Tls(folder / CERTIFICATE, folder / KEY, folder / AUTHORITY))


def issue_certificate(cluster: ClusterPaths, session_dir: Path, names: Sequence[str]) -> None:
    """On a node, before its Ray starts: a certificate for its name and address; the head must have made the cluster's.

    Raises:
        OSError: storage does not show the authority.
        BootstrapError: certificates cannot be made with the Python of this node.
    """
    try:
        from curator_slurm.launcher.agent.certificates import issue
    except ImportError as error:
        raise _no_certificates(error) from error

    tls = credentials_of(cluster, session_dir).tls
    assert tls is not None
    tls.authority.parent.mkdir(mode=0o700, exist_ok=True)
    authority = (cluster.tls / AUTHORITY).read_text()
    write_atomic(tls.authority, authority, mode=0o600)
    issue(tls.authority, cluster.tls / AUTHORITY_KEY, names, tls.certificate, tls.key)


def remove_credentials(cluster: ClusterPaths) -> None:
    """The cluster has ended: what let others in goes; what nodes have of it goes with their session folders."""
    cluster.token.unlink(missing_ok=True)
    shutil.rmtree(cluster.tls, ignore_errors=True)
