"""What stands before every route: request ids, size limit, keys, limits, one log line and errors in OpenAI's shape.

Pure ASGI, so that nothing is buffered: a streamed answer leaves as it comes, and a client's going away reaches the app.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

from toolace.serving.auth import Keys, is_loopback
from toolace.serving.config import ServeConfig
from toolace.serving.draining import Drain
from toolace.serving.errors import ApiError
from toolace.serving.exchange import Exchange, header
from toolace.serving.limits import BUSY_RETRY_S, Limits
from toolace.serving.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WITHOUT_KEY = ("HEAD", "OPTIONS")
"""Methods that need no key: a browser asks by OPTIONS, without one, whether it may send the request proper."""

_access = logging.getLogger("toolace.serving.access")
_log = logging.getLogger("toolace.serving")


class Guard:
    """ASGI middleware before the whole app.

    In order: the request id (taken over where it is harmless, else made, and put on the answer), open paths, the size
    limit, the key, the limits of its holder, the app. The app finds `scope["state"]["toolace"]`, a dict with
    `request_id` and `key`, and may put `rounds` and `stopped` there for the log (and `content`, logged only with
    `config.log_content`). Without keys and without `auth.open` only clients on this machine are answered, whatever
    address the server was bound to.

    Args:
        app: The ASGI app behind.
        config: Settings of the endpoint.
        keys: Who may ask.
        metrics: Counts requests, except on open paths.
        clock: Seconds that only grow.
        echo_id: Put a request id that the client sent on the answer; off where a proxy before the app does so, as
            Ray Serve's does. Where a client sent none, the one made here goes out.
        drain: Whether new requests are refused, because the server ends.
    """

    def __init__(
        self,
        app: App,
        config: ServeConfig,
        keys: Keys,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        *,
        echo_id: bool = True,
        drain: Drain | None = None,
    ) -> None:
        self.app = app
        self._drain = drain or Drain()
        self.limits = Limits(config.limits, clock)
        self._config = config
        self._keys = keys
        self._metrics = metrics
        self._clock = clock
        self._echo_id = echo_id
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection. Websockets are refused: no route is one, and none must pass without a key."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = self._clock()
        exchange = Exchange(scope, receive, send, self._config.limits.max_body_bytes, echo_id=self._echo_id)
        is_open = self._is_open(exchange.scope)
        if not is_open:
            self._metrics.started()
        try:
            await self._answer(exchange, is_open)
        finally:
            seconds = self._clock() - begun
            if not is_open:
                self._metrics.finished(exchange.status, seconds)
            self._log_line(exchange, seconds)

    async def _answer(self, exchange: Exchange, is_open: bool) -> None:
        scope = exchange.scope
        try:
            exchange.check_length()
            with ExitStack() as held:
                if not is_open and scope["method"] not in WITHOUT_KEY:
                    caller = self._caller(scope)
                    held.enter_context(self._room())
                    held.enter_context(self.limits.hold(caller))
                await self.app(scope, exchange.receive, exchange.send)
            if not exchange.started and not exchange.disconnected:
                raise RuntimeError("the app ended without an answer")
        except ApiError as error:
            if exchange.started:
                raise
            await exchange.refuse(error)
        except Exception as error:
            if exchange.disconnected:
                return
            if exchange.overflow is not None and not exchange.started:
                # The app wrapped the error that reading gave it, or answered it itself, which the exchange dropped.
                await exchange.refuse(exchange.overflow)
                return
            # No message: errors of validation quote what the user sent.
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("request %s failed: %s\n%s", exchange.request_id, type(error).__name__, frames)
            if exchange.started:
                raise
            await exchange.refuse(
                ApiError(500, f"The server failed to answer. Its log tells why, by request id {exchange.request_id}.")
            )

    @contextmanager
    def _room(self) -> Iterator[None]:
        """One of the places of this ingress replica; a 503 where all are taken, or the server ends."""
        if self._drain.on:
            raise ApiError(503, "The server is ending.", code="shutting_down", retry_after=BUSY_RETRY_S)
        if self._in_flight >= self._config.ingress_concurrency:
            message = f"The server has {self._in_flight} requests in flight, the most it takes."
            raise ApiError(503, message, code="overloaded", retry_after=BUSY_RETRY_S)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _caller(self, scope: Scope) -> str:
        """Whose limits a request counts against; raises `ApiError` where it may not ask at all."""
        if self._keys.required:
            name = self._keys.check(header(scope, b"authorization"))
            scope["state"]["toolace"]["key"] = name
            return f"key {name}"
        client = scope.get("client")
        host = str(client[0]) if client else ""
        if host and not self._config.auth.open and not is_loopback(host):
            raise ApiError(
                403,
                "This endpoint has no API keys yet and answers only clients on its own machine. Its operator can add "
                "keys with `toolace keys add`, or open it with auth.open=true.",
                code="no_api_keys",
            )
        return f"address {host}"

    def _is_open(self, scope: Scope) -> bool:
        path, root = scope["path"], scope.get("root_path", "").rstrip("/")
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        return any(
            path.startswith(known[:-1]) if known.endswith("*") else path == known
            for known in self._config.auth.open_paths
        )

    def _log_line(self, exchange: Exchange, seconds: float) -> None:
        """One JSON object a request: sizes and names, no text of users or of the model."""
        if not _access.isEnabledFor(logging.INFO):
            return
        told = exchange.scope["state"]["toolace"]
        line = {
            "request_id": exchange.request_id,
            "key": told.get("key"),
            "method": exchange.scope["method"],
            "path": exchange.scope["path"][:256],
            "status": exchange.status,
            "ms": round(seconds * 1000, 1),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
        }
        if exchange.sent_id is not None:
            line["sent_request_id"] = exchange.sent_id
        line.update({name: told[name] for name in ("rounds", "stopped") if name in told})
        if not exchange.complete:
            line["complete"] = False
        if self._config.log_content and "content" in told:
            line["content"] = told["content"]
        _access.info(json.dumps(line, ensure_ascii=False, default=str))
