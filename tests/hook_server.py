"""A webhook on this machine, which keeps what was posted to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    type: str
    body: bytes


class Hook:
    """The server, while its block is entered; `status` is what it answers, and `hangs` whether it does."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.got: list[Posted] = []
        self.status = 200
        self.hangs = False
        self._goes = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hook.got.append(Posted(self.path, self.headers.get("Content-Type") or "", body))
                if hook.hangs:
                    hook._goes.wait(60)
                    return
                self.send_response(hook.status)
                if hook.status == 302:
                    self.send_header("Location", f"{hook.address}/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://{host}:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Hook:
        self._thread.start()
        return self

    def close(self) -> None:
        self._goes.set()
        self._server.shutdown()
        self._server.server_close()

    def __exit__(self, *_: object) -> None:
        self.close()
