"""A tunnel with both its ends on this machine: many connections at once, large answers, ends of either side."""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.tunnel.tunnel import RELAY

_NEAR = """
import os, sys
from pathlib import Path
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.tunnel.tunnel import keep_open
try:
    keep_open(Path(sys.argv[1]), sys.argv[2:], dict(os.environ), lambda: print("open", flush=True))
except SlurmError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    print("closed")
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers a POST with its body three times."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])) * 3
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


class Tunnel:
    """One in a process of its own."""

    def __init__(self, folder: Path, *step: object) -> None:
        self.socket = folder / "socket"
        command = [sys.executable, "-c", _NEAR, str(self.socket), *map(str, step)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Tunnel:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)

    def post(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("x", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        try:
            connection.request("POST", "/", body)
            return connection.getresponse().read()
        finally:
            connection.close()


def test_connections_side_by_side(tmp_path: Path, port: int) -> None:
    with Tunnel(tmp_path, sys.executable, "-I", "-S", RELAY, port) as tunnel:
        assert tunnel.socket.stat().st_mode & 0o077 == 0
        bodies = [bytes([number]) * (number * 40_000 + 1) for number in range(24)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(tunnel.post, bodies)) == [body * 3 for body in bodies]
    assert tunnel.process.returncode == 0
    assert not tunnel.socket.exists()


def test_a_port_where_nobody_listens_closes_the_connection(tmp_path: Path, port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
    with Tunnel(tmp_path, sys.executable, RELAY, nobody) as tunnel, pytest.raises((OSError, http.client.HTTPException)):
        tunnel.post(b"hello")


def test_the_end_of_the_step_is_said_with_its_words(tmp_path: Path, port: int) -> None:
    script = tmp_path / "step"
    pid = tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ >{pid}\nexec {sys.executable} {RELAY} {port}\n")
    script.chmod(0o755)
    with Tunnel(tmp_path, script) as tunnel:
        os.kill(int(pid.read_text()), signal.SIGKILL)
        wait_for("its end", lambda: tunnel.process.poll() is not None, 30)
        assert tunnel.process.stderr is not None
        assert "the tunnel has ended" in tunnel.process.stderr.read()


@pytest.mark.parametrize("said", ["srun: error: Invalid job id specified", ""])
def test_a_step_that_does_not_begin(tmp_path: Path, said: str) -> None:
    tunnel = Tunnel(tmp_path, "sh", "-c", f"echo '{said}' >&2; exit 1")
    _, errors = tunnel.process.communicate(timeout=30)
    assert f"the tunnel cannot be opened: {said or 'the job has ended'}" in errors
