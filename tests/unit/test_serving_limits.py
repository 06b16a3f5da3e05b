"""Limits of a caller: the bucket, requests in flight, and that nothing is left behind."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace.serving import limits
from toolace.serving.config import LimitSettings
from toolace.serving.errors import ApiError
from toolace.serving.limits import Limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refusal(held: Limits, caller: str) -> ApiError | None:
    """One request that ends at once: the error that refused it, or None."""
    try:
        with held.hold(caller):
            return None
    except ApiError as error:
        assert error.status == 429
        return error


def test_a_bucket_holds_a_burst_and_refills() -> None:
    clock = Clock()
    held = Limits(LimitSettings(requests_per_minute=30, burst=3), clock)
    assert [refusal(held, "a") for _ in range(3)] == [None] * 3
    refused = refusal(held, "a")
    assert refused is not None and refused.retry_after == 2 and refused.code == "rate_limit_exceeded"
    clock.now = 1.5
    assert refusal(held, "a").retry_after == 1  # type: ignore[union-attr]
    clock.now = 2.0
    assert refusal(held, "a") is None and refusal(held, "a") is not None
    assert refusal(held, "b") is None
    clock.now = 1000.0  # never more than a burst
    assert [refusal(held, "a") is None for _ in range(4)] == [True, True, True, False]
    with held.hold("b"):  # not after a long request either
        clock.now = 5000.0
        assert [refusal(held, "b") is None for _ in range(4)] == [True, True, True, False]


@given(
    per_minute=st.floats(0.01, 1e6),
    burst=st.integers(1, 5),
    pauses=st.lists(st.floats(0, 100), min_size=1, max_size=20),
)
def test_waiting_as_told_is_always_enough(per_minute: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    held = Limits(LimitSettings(requests_per_minute=per_minute, burst=burst), clock)
    for pause in pauses:
        clock.now += pause
        refused = refusal(held, "a")
        if refused is not None and refused.retry_after is not None:
            # Not a second too long either: the last of them was needed, or the answer is the least there is.
            assert refused.retry_after == 1 or refused.retry_after - 1 < 60 / per_minute + 1e-6
            clock.now += refused.retry_after
            assert refusal(held, "a") is None


@pytest.mark.parametrize("start", [0.0, 12345.678, 98765.4321])
@pytest.mark.parametrize("seconds", range(1, 60))
def test_whole_seconds_are_told_exactly(seconds: int, start: float) -> None:
    clock = Clock()
    clock.now = start
    held = Limits(LimitSettings(requests_per_minute=60 / seconds, burst=1), clock)
    assert refusal(held, "a") is None
    with held.hold("other"):
        assert refusal(held, "a").retry_after == seconds  # type: ignore[union-attr]
    clock.now += seconds / 3
    refusal(held, "a")
    clock.now = start + seconds
    assert refusal(held, "a") is None


def test_requests_in_flight_are_counted_for_each_caller() -> None:
    held = Limits(LimitSettings(concurrent_requests=2), Clock())
    with ExitStack() as stack:
        stack.enter_context(held.hold("a"))
        with held.hold("a"):
            refused = refusal(held, "a")
            assert refused is not None and refused.code == "concurrency_limit_exceeded" and refused.retry_after == 1
            assert refusal(held, "b") is None
        assert refusal(held, "a") is None
    assert len(held) == 0


def test_a_refusal_for_concurrency_costs_no_token() -> None:
    held = Limits(LimitSettings(requests_per_minute=1, burst=2, concurrent_requests=1), Clock())
    with held.hold("a"):
        assert [refusal(held, "a").code for _ in range(5)] == ["concurrency_limit_exceeded"] * 5  # type: ignore[union-attr]
    assert refusal(held, "a") is None
    assert refusal(held, "a").code == "rate_limit_exceeded"  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_however_a_request_ends_its_slot_is_free(error: type[BaseException]) -> None:
    held = Limits(LimitSettings(concurrent_requests=1), Clock())
    for _ in range(3):
        with pytest.raises(error), held.hold("a"):
            raise error
    assert refusal(held, "a") is None and len(held) == 0


def test_idle_callers_are_forgotten() -> None:
    clock = Clock()
    held = Limits(LimitSettings(requests_per_minute=60, burst=5), clock)  # a bucket fills in 5 s
    with held.hold("busy"):
        for n in range(1000):
            clock.now += 1
            assert refusal(held, str(n)) is None
            assert len(held) < 20
    clock.now += 10
    for _ in range(10):
        assert refusal(held, "last") is None
        clock.now += 5
    assert len(held) <= 1


def test_a_flood_of_callers_is_bounded_and_keeps_those_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 50)
    held = Limits(LimitSettings(requests_per_minute=1, burst=2, concurrent_requests=1), Clock())
    with held.hold("busy"):
        for n in range(500):
            assert refusal(held, str(n)) is None
        assert len(held) <= 51
        assert refusal(held, "busy") is not None


def test_without_limits_nothing_is_kept() -> None:
    held = Limits(LimitSettings(), Clock())
    with held.hold("a"):
        assert len(held) == 0
