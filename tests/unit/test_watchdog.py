"""Training without progress ends; training that moves goes on."""

from __future__ import annotations

import threading

from toolace.training.watchdog import Watchdog


def test_silence_beyond_the_limit_is_told_once() -> None:
    stalls: list[float] = []
    told = threading.Event()

    def stalled(seconds: float) -> None:
        stalls.append(seconds)
        told.set()

    with Watchdog(0.05, stalled):
        assert told.wait(60)
    assert len(stalls) == 1 and stalls[0] > 0.05


def test_each_beat_starts_the_time_anew() -> None:
    now = 0.0
    watchdog = Watchdog(10, clock=lambda: now)
    for _ in range(5):
        now += 9
        assert watchdog.stalled() is None
        watchdog.beat()
    now += 11
    assert watchdog.stalled() == 11
