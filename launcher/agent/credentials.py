"""What a process needs to be let into the run's Ray: the token, and with TLS the certificate of its node.

All of it lies in the run's secrets (mode 0600 in a folder of mode 0700), is made anew for every element, and is removed
when the element has ended.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.paths import ClusterPaths

AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"

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


def make_credentials(cluster: ClusterPaths, *, tls: bool) -> None:
    """On the head, before anything starts: a random token, and with TLS the authority that signs for the nodes.

    Raises:
        BootstrapError: certificates cannot be made with the Python of the job.
    """
    cluster.run.secrets.mkdir(mode=0o700, exist_ok=True)
    write_atomic(cluster.token, secrets.token_hex(32), mode=0o600)
    if tls:
        try:
            from curator_slurm.launcher.agent.certificates import make_authority
        except ImportError as error:
            raise BootstrapError(
                FailureClass.ENVIRONMENT,
                f"cluster.tls needs the module cryptography, which the Python of the job does not have: {error}",
                "add it to the image or the environment (pip install cryptography), or leave cluster.tls out",
            ) from error

        cluster.tls.mkdir(mode=0o700, exist_ok=True)
        make_authority(cluster.tls / AUTHORITY, cluster.tls / AUTHORITY_KEY, cluster.name)


def credentials_of(cluster: ClusterPaths, node: str, *, tls: bool) -> Credentials:
    """The paths of a node's credentials, whether the files are there yet or not."""
    if not tls:
        return Credentials(cluster.token)
    certificate, key = cluster.tls / f"node-{node}.pem", cluster.tls / f"node-{node}.key"
    return Credentials(cluster.token, Tls(certificate, key, cluster.tls / AUTHORITY))


def issue_certificate(cluster: ClusterPaths, node: str, address: str) -> None:
    """On a node, before its Ray starts: a certificate for its name and address; the head must have made the cluster's.

    Raises:
        OSError: storage does not show the authority.
    """
    from curator_slurm.launcher.agent.certificates import issue

    tls = credentials_of(cluster, node, tls=True).tls
    assert tls is not None
    issue(tls.authority, cluster.tls / AUTHORITY_KEY, [node, address], tls.certificate, tls.key)


def remove_credentials(cluster: ClusterPaths) -> None:
    """The cluster has ended: what let others in goes."""
    cluster.token.unlink(missing_ok=True)
    shutil.rmtree(cluster.tls, ignore_errors=True)
