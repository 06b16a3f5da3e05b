"""Limits of one caller: requests a minute (a token bucket) and requests in flight. No I/O; the clock is given."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from toolace.serving.config import LimitSettings
from toolace.serving.errors import ApiError

MAX_CALLERS = 10_000
"""Callers remembered at the most. Only a flood of addresses on an endpoint without keys comes near."""

BUSY_RETRY_S = 1.0
"""Retry-After of a caller with too many requests in flight, seconds: when one ends cannot be known."""

_ROUNDING = 1e-9
"""A bucket this close to a whole request holds it: refilling adds up floats, and waiting as told must be enough."""


@dataclass(slots=True)
class _Caller:
    tokens: float
    touched: float
    in_flight: int = 0


class Limits:
    """Rate and concurrency of each caller at one ingress replica.

    A bucket holds `burst` requests and refills at `requests_per_minute`; a request takes one when it starts. A caller
    whose bucket had time to fill and who has nothing in flight is forgotten, which changes no later decision.
    """

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(settings.burst)
        self._per_second = settings.requests_per_minute / 60 if settings.requests_per_minute is not None else None
        self._concurrent = settings.concurrent_requests
        self._clock = clock
        self._fill_s = self._burst / self._per_second if self._per_second is not None else 0.0
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def __len__(self) -> int:
        """Callers remembered now."""
        return len(self._callers)

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Count a request of `caller` while the block runs, however it ends.

        Raises:
            ApiError: 429 with the seconds to wait; nothing is counted then.
        """
        if self._per_second is None and self._concurrent is None:
            yield
            return
        now = self._clock()
        state = self._state(caller, now)
        # Concurrency first, so that a refusal for it costs no token.
        if self._concurrent is not None and state.in_flight >= self._concurrent:
            raise _refused(
                f"This key has {state.in_flight} requests in flight, the most it may have.",
                "concurrency_limit_exceeded",
                BUSY_RETRY_S,
            )
        if self._per_second is not None:
            if state.tokens < 1 - _ROUNDING:
                raise _refused(
                    f"This key may send {self._per_second * 60:g} requests a minute.",
                    "rate_limit_exceeded",
                    (1 - state.tokens) / self._per_second,
                )
            state.tokens = max(state.tokens - 1, 0.0)
        state.in_flight += 1
        try:
            yield
        finally:
            state.in_flight -= 1
            if not state.in_flight and self._clock() - state.touched >= self._fill_s:
                self._callers.pop(caller, None)

    def _state(self, caller: str, now: float) -> _Caller:
        """The caller's state, its bucket refilled up to now; the callers touched last stand last."""
        self._forget_idle(now)
        state = self._callers.get(caller)
        if state is None:
            state = self._callers[caller] = _Caller(self._burst, now)
        elif self._per_second is not None:
            state.tokens = min(self._burst, state.tokens + (now - state.touched) * self._per_second)
        state.touched = now
        self._callers.move_to_end(caller)
        return state

    def _forget_idle(self, now: float) -> None:
        """Look at the two callers that stand first, so that the work of a request stays the same and each new caller
        is outweighed by those forgotten."""
        for _ in range(min(2, len(self._callers))):
            name, state = next(iter(self._callers.items()))
            if state.in_flight:
                self._callers.move_to_end(name)
            elif now - state.touched >= self._fill_s or len(self._callers) > MAX_CALLERS:
                del self._callers[name]
            else:
                return


def _refused(message: str, code: str, wait_s: float) -> ApiError:
    wait = max(1, math.ceil(wait_s - _ROUNDING))
    return ApiError(429, f"{message} Retry in {wait} s.", code=code, retry_after=wait)
