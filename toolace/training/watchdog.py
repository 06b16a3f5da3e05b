"""A limit on the time without progress: a training process that hangs ends itself, and the group starts again.

Collectives wait for each other, so one process that is stuck stops all of them, mostly inside libraries that no
exception reaches. Ray sees a process that ended, not one that waits.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

EXIT_CODE = 70
"""What a stalled process ends with."""


def end_process(seconds: float) -> None:
    """Say why on stderr, and end this process at once."""
    print(
        f"toolace: process {os.getpid()} of the training made no progress for {seconds:.0f} s and ends itself "
        "(train.no_progress_s)",
        file=sys.stderr,
        flush=True,
    )
    os._exit(EXIT_CODE)


class Watchdog:
    """Calls `on_stall` with the seconds passed where `beat` was not called for `limit_s`, while in the `with` block."""

    def __init__(
        self,
        limit_s: float,
        on_stall: Callable[[float], None] = end_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._on_stall = on_stall
        self._clock = clock
        self._last = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self) -> None:
        """Something is finished."""
        self._last = self._clock()

    def stalled(self) -> float | None:
        """The seconds since the last beat where these are beyond the limit."""
        silent = self._clock() - self._last
        return silent if silent > self._limit_s else None

    def __enter__(self) -> Watchdog:
        self.beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._limit_s / 4)):
            silent = self.stalled()
            if silent is not None:
                self._on_stall(silent)
                return
