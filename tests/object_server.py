"""An S3 server of this process (moto's), that can fail, or say nothing. Clients reach it by `environment`."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ERROR = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
Which = Callable[[str, str], bool]
"""Whether a request, by its method and path, is one that fails."""


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


class ObjectServer:
    """The server. `seen` are the requests so far: method and path with its query."""

    def __init__(self) -> None:
        self._app = create_backend_app("s3")
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._lock = threading.Lock()
        self._left, self._which = 0, _any
        self._silent: Which | None = None
        self._speaks = threading.Event()
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs: endpoint and credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def bucket(self, name: str) -> str:
        """Make a bucket; returns its address."""
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        return f"s3://{name}"

    @contextmanager
    def failing(self, times: int, which: Which | None = None) -> Iterator[None]:
        """The next `times` requests (of those that `which` picks) are answered with 503."""
        with self._lock:
            self._left, self._which = times, which or _any
        try:
            yield
        finally:
            with self._lock:
                self._left = 0

    @contextmanager
    def silent(self, which: Which | None = None) -> Iterator[None]:
        """Requests (those that `which` picks) are taken and never answered."""
        self._silent, self._speaks = which or _any, threading.Event()
        try:
            yield
        finally:
            self._silent = None
            self._speaks.set()

    @property
    def left(self) -> int:
        """Failures that nobody has met yet."""
        return self._left

    def wait_for(self, requests: int, most_s: float = 60.0) -> None:
        """Until so many requests are `seen`: on a busy machine a client may give one up before it is read here."""
        end = time.monotonic() + most_s
        while len(self.seen) < requests and time.monotonic() < end:
            time.sleep(0.05)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="object-server", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        with self._lock:
            self.seen.append((method, path))
            fails = self._left > 0 and self._which(method, path)
            self._left -= fails
            silent, speaks = self._silent, self._speaks
        if silent is not None and silent(method, path):
            speaks.wait()
        if not fails:
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(ERROR)))])
        return [ERROR]


def _any(method: str, path: str) -> bool:
    return True
