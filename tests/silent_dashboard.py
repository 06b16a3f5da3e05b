"""A dashboard of Ray's that takes every connection, answers what it is told to, and says nothing to anything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ray

VERSION = {"version": "4", "ray_version": ray.__version__, "ray_commit": "x", "session_name": "s"}
SILENCE = object()
DRIBBLE = object()
"""A header after the other, and no end of them."""


class Dashboard:
    """`answers` maps `METHOD /path` to what is answered as JSON, or to a function of how often it was asked before,
    which may return `SILENCE`. `asked` are the requests so far."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.closed = threading.Event()
        dashboard = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked = f"{self.command} {self.path.partition('?')[0]}"
                before = dashboard.asked.count(asked)
                dashboard.asked.append(asked)
                found = dashboard.answers.get(asked, SILENCE)
                found = found(before) if callable(found) else found
                if found is SILENCE:
                    dashboard.closed.wait()
                elif found is DRIBBLE:
                    self.send_response_only(200)
                    self.flush_headers()
                    while not dashboard.closed.wait(0.05):
                        self.wfile.write(b"X-Slow: yes\r\n")
                else:
                    body = json.dumps(found).encode()
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    self.send_response_only(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = answer

            def handle(self) -> None:
                with suppress(OSError):  # who asked is gone
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def dashboard(answers: dict[str, Any] | None = None, *, version: Any = VERSION) -> Iterator[Dashboard]:
    """A dashboard that tells its version, and `answers`."""
    versions = {"GET /api/version": version, "GET /api/ray/version": version}
    found = Dashboard({**versions, **(answers or {})})
    try:
        yield found
    finally:
        found.close()


def once_silent(answer: Any) -> Callable[[int], Any]:
    """Silence the first time, then an answer."""
    return lambda before: answer if before else SILENCE
