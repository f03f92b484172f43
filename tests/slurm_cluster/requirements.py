"""What a machine needs before it can hold a cluster."""

import os
import shutil
import subprocess

PACKAGES = (
    "slurmctld", "slurmd", "slurm-client", "slurmdbd", "slurm-wlm-basic-plugins", "munge", "mariadb-server",
    "iproute2", "util-linux",
)  # fmt: skip
"""Debian's names of everything needed, with accounting."""

_COMMANDS = ("slurmctld", "slurmd", "sbatch", "srun", "munged", "unshare", "nsenter", "setpriv", "ip")
_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def _absent(commands: tuple[str, ...]) -> list[str]:
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    return [command for command in commands if not shutil.which(command, path=path)]


def accounting_is_possible() -> bool:
    """Whether slurmdbd and a MariaDB for it are installed."""
    return not _absent(_ACCOUNTING)


def obstacle(*, accounting: bool = False) -> str | None:
    """Say why no cluster can be booted here; None means that nothing is in the way."""
    if os.geteuid():
        return "not root: only root can make namespaces for nodes"
    absent = _absent(_COMMANDS + (_ACCOUNTING if accounting else ()))
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt-get install {' '.join(PACKAGES)})"
    trial = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "true"]
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"this machine makes no namespaces: {tried.stderr.strip()}"
    return None
