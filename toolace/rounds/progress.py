"""Progress for people: one line a stage that keeps moving in a terminal, and a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from typing import TextIO

LOG_INTERVAL_S = 15.0
"""Seconds between progress lines where the output is not a terminal."""
TERMINAL_INTERVAL_S = 0.2


class Progress:
    """Writes to `stream` (default: stderr). `total` may grow; notes are short facts such as `draws saved 41 %`.

    With a `label`, which begins each line, others write to the same stream: no line is then written over.
    """

    def __init__(self, stream: TextIO | None = None, label: str = "") -> None:
        self._stream = stream or sys.stderr
        self._label = label
        self._live = self._stream.isatty() and not label
        self._interval = TERMINAL_INTERVAL_S if self._live else LOG_INTERVAL_S
        self._begun = 0.0
        self._last = 0.0
        self._title = ""
        self._first: int | None = None

    def begin(self, title: str) -> None:
        """A new stage."""
        self._title, self._begun, self._first = title, time.monotonic(), None
        self._last = self._begun - self._interval + min(2.0, self._interval)
        self._write(f"{title} ...", end=True)

    def update(self, done: int, total: int, unit: str, note: str = "") -> None:
        """So many of so many; written at most once an interval."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
            self._begun_work = now
        if now - self._last < self._interval and done < total:
            return
        self._last = now
        text = f"  {self._title}: {done:,}/{total:,} {unit}"
        fresh, seconds = done - self._first, now - self._begun_work
        if fresh > 0 and done < total and seconds > 0:
            text += f", {_seconds((total - done) * seconds / fresh)} left"
        self._write(text + (f", {note}" if note else ""))

    def end(self, summary: str) -> None:
        """The stage is done."""
        self._write(f"  {summary} ({_seconds(time.monotonic() - self._begun)})", end=True)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(text, end=True)

    def _write(self, text: str, *, end: bool = False) -> None:
        if self._live:
            self._stream.write(f"\r\x1b[2K{text}" + ("\n" if end else ""))
        else:
            self._stream.write("".join(f"{self._label}{line}\n" for line in text.split("\n")))
        self._stream.flush()


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
