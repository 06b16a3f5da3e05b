"""Requests to a Ray cluster's dashboard that end.

Ray's own clients set no limit: a dashboard that takes connections and says nothing, as on a head that is out of memory,
would hold a command for good.
"""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

REQUEST_S = 60.0
"""Seconds that a dashboard has to answer a request: on a busy head it takes several."""
GONE_S = 180.0
"""Seconds without any answer after which a dashboard is gone for those who wait on something: it may start again."""
SHORTEST_S = 0.1
"""Seconds that a request has even where the time of the whole is over."""
_until: ContextVar[float] = ContextVar("until", default=math.inf)


class NoAnswer(ConnectionError):
    """A dashboard did not answer in time, or there is no connection to it. The message says what was asked of whom."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound all requests of the block together; a block inside another one can only shorten it."""
    token = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(token)


class Bounded:
    """Comes before one of Ray's clients among the bases of a class: each of its requests ends. Raises `NoAnswer`."""

    limit_s: float
    _address: str

    def _do_request(self, method: str, endpoint: str, *, data: bytes | None = None, **rest: Any) -> Any:
        import requests

        limit = max(min(self.limit_s, _until.get() - time.monotonic()), SHORTEST_S)
        silent = f"the dashboard at {self._address} did not answer {method} {endpoint} within {limit:.3g} s"
        request = partial(super()._do_request, method, endpoint, **rest)  # type: ignore[misc]
        if data is None:
            # The client's own limit is one between two bytes: it ends what nobody waits for any more.
            request, whole = partial(request, timeout=limit + 1), limit
        else:
            # In blocks, for each of which the limit holds: a large upload on a slow line may take longer.
            request, whole = partial(request, data=io.BytesIO(data), timeout=limit), None

        def ask() -> Any:
            try:
                return request()
            except (requests.ConnectionError, requests.Timeout) as error:
                cause = _first_cause(error)
                if isinstance(cause, TimeoutError | requests.Timeout):
                    raise NoAnswer(silent) from error
                where = f"the dashboard at {self._address} for {method} {endpoint}"
                raise NoAnswer(f"no connection to {where}: {cause}") from error

        try:
            return _in_time(ask, whole)
        except TimeoutError:
            raise NoAnswer(silent) from None


def bounded(client: Any, limit_s: float = REQUEST_S) -> Any:
    """One of Ray's client classes, with a limit for each request."""
    return type(f"Bounded{client.__name__}", (Bounded, client), {"limit_s": limit_s})


class Patience:
    """With a dashboard that something waits on: a little silence passes, more than `seconds` of it does not."""

    def __init__(self, seconds: float = GONE_S) -> None:
        self._seconds = seconds
        self._heard = time.monotonic()

    def heard(self) -> None:
        """It has said something."""
        self._heard = time.monotonic()

    def ask(self, question: Callable[[], T]) -> T | None:
        """What it answers; None where it does not, and may do so later. Raises `NoAnswer` when it is gone."""
        end = self._heard + self._seconds
        try:
            with within(end - time.monotonic()):
                found = question()
        except NoAnswer as error:
            if time.monotonic() < end:
                return None
            raise NoAnswer(f"{error}, and nothing else for {self._seconds:g} s") from error
        self.heard()
        return found


def _in_time(call: Callable[[], T], seconds: float | None) -> T:
    """What a call returns, made in a thread of its own. Raises `TimeoutError` when it takes longer, and leaves it."""
    found: Future[T] = Future()

    def work() -> None:
        try:
            found.set_result(call())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=work, name="dashboard", daemon=True).start()
    return found.result(timeout=seconds)


def _first_cause(error: BaseException) -> BaseException:
    """What began a chain of errors, of which requests and urllib3 make three or four."""
    while error.__context__ is not None:
        error = error.__context__
    return error
