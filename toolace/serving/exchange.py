"""One HTTP request as the guard sees it: its id and sizes, whether an answer left, whether the client is there."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from toolace.serving.errors import ApiError

CLIENT_CLOSED = 499
"""Status in logs and metrics where the client went away before an answer began; nobody receives it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_Message = MutableMapping[str, Any]


def header(scope: MutableMapping[str, Any], name: bytes) -> str | None:
    """A request header by its lower-case name; None where it is absent."""
    for key, value in scope.get("headers", ()):
        if key.lower() == name:
            return bytes(value).decode("latin-1")
    return None


class Exchange:
    """Wraps `receive` and `send` of one request without keeping any of what passes.

    `sent_id` is an id that the client sent and that was not taken over, with its odd characters as `_`: a proxy before
    the app may have put it on the answer all the same. `scope` is a copy whose `state["toolace"]` is this request's own
    dict and whose `x-request-id` is `request_id`.
    """

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
        max_body_bytes: int,
        *,
        echo_id: bool,
    ) -> None:
        sent = header(scope, b"x-request-id")
        known = sent is not None and _ID.fullmatch(sent) is not None
        self.request_id = sent if sent is not None and known else uuid.uuid4().hex
        self.sent_id = None if sent is None or known else _UNSAFE.sub("_", sent[:128])
        headers = [(key, value) for key, value in scope.get("headers", ()) if key.lower() != b"x-request-id"]
        self.scope: MutableMapping[str, Any] = {
            **scope,
            "headers": [*headers, (b"x-request-id", self.request_id.encode())],
            "state": {**(scope.get("state") or {}), "toolace": {"request_id": self.request_id, "key": None}},
        }
        self.bytes_in = self.bytes_out = 0
        self.started = self.complete = self.disconnected = False
        self.overflow: ApiError | None = None
        self._status: int | None = None
        self._receive, self._send = receive, send
        self._limit = max_body_bytes
        self._put_id = echo_id or not sent

    @property
    def status(self) -> int:
        """Status of the answer that left; `CLIENT_CLOSED` where none did."""
        return self._status if self._status is not None else CLIENT_CLOSED

    def check_length(self) -> None:
        """Raise `ApiError` 413 where `Content-Length` says that the body is too large, 400 where it is no number."""
        told = header(self.scope, b"content-length")
        if told is None:
            return
        if not (told.isascii() and told.isdigit()):
            raise ApiError(400, "The header Content-Length is not a number.", code="invalid_content_length")
        # Its digits first: a number of thousands of digits is not worth reading.
        if len(told) > 18 or int(told) > self._limit:
            raise self._too_large()

    async def receive(self) -> _Message:
        """Pass a message on; raises `ApiError` 413 once the body is over the limit."""
        if self.overflow is not None:
            raise self.overflow
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_in += len(message.get("body", b""))
            if self.bytes_in > self._limit:
                self.overflow = self._too_large()
                raise self.overflow
        elif message["type"] == "http.disconnect" and not self.complete:
            self.disconnected = True
        return message

    async def send(self, message: _Message) -> None:
        """Pass a message on, with the request id on the start. What an app answers to a body that was too large is
        dropped: `ApiError` 413 is the answer."""
        if self.overflow is not None and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started, self._status = True, message["status"]
            headers = [(key, value) for key, value in message.get("headers", ()) if key.lower() != b"x-request-id"]
            if self._put_id:
                headers.append((b"x-request-id", self.request_id.encode()))
            message = {**message, "headers": headers}
        try:
            await self._send(message)
        except OSError:  # what a server raises where nobody receives any more (ASGI 2.4)
            self.disconnected = True
            raise
        if message["type"] == "http.response.body":
            self.bytes_out += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error in OpenAI's shape."""
        body = json.dumps(error.body(), ensure_ascii=False).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        self.overflow = None
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The request's body is over the limit of {self._limit} bytes.")
