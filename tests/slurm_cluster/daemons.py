"""The daemons of a node, started by its PID 1."""

import socket
import subprocess
from pathlib import Path

from slurm_cluster.layout import Layout
from slurm_cluster.options import LOGIN
from slurm_cluster.waiting import wait_for

MARIADB_PORT, SLURMDBD_PORT, SLURMCTLD_PORT = 3306, 6819, 6817


def start(name: str, layout: Layout, login: str, *, accounting: bool) -> None:
    """Start munged everywhere, the controller on the login node, slurmd on the others."""
    _munged(name, layout)
    if name != LOGIN:
        _spawn("slurmd", "-D")
        return
    if accounting:
        _mariadb(layout)
        _spawn("slurmdbd", "-D")
        _wait_for_port("slurmdbd", SLURMDBD_PORT, login, layout)
    _spawn("slurmctld", "-D", "-i")
    _wait_for_port("slurmctld", SLURMCTLD_PORT, login, layout)


def _munged(name: str, layout: Layout) -> None:
    """It returns when its socket is there; --force accepts a key outside of /etc/munge."""
    Path("/run/munge").mkdir(mode=0o755)
    _run(
        "munged", "--force", f"--key-file={layout.slurm}/munge.key", f"--log-file={layout.log}/munged.{name}.log",
        "--pid-file=/run/munge/munged.pid", "--seed-file=/run/munge/munged.seed",
    )  # fmt: skip


def _mariadb(layout: Layout) -> None:
    data = layout.database
    if not (data / "mysql").exists():
        data.mkdir(exist_ok=True)
        _run("chown", "mysql:", data)
        _run(
            "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", "--skip-test-db",
            "--innodb-log-file-size=16M",
        )  # fmt: skip
    runtime = Path("/run/mariadb")
    runtime.mkdir()
    _run("chown", "mysql:", runtime)
    _spawn(
        "mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}", "--socket=/run/mariadb/sock",
        "--pid-file=/run/mariadb/pid", "--bind-address=127.0.0.1", "--skip-grant-tables",
        "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900", f"--log-error={layout.log}/mariadb.log",
    )  # fmt: skip
    _wait_for_port("MariaDB", MARIADB_PORT, "127.0.0.1", layout)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _spawn(*command: str) -> None:
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _wait_for_port(what: str, port: int, host: str, layout: Layout) -> None:
    def answers() -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((host, port)) == 0

    wait_for(f"{what} on port {port}", answers, 120, f"see {layout.log}")
