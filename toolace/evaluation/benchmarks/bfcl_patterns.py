"""The leaderboard's patterns over source text, with a limit of time: some of them are exponential on text that fits
nowhere, and what a model writes must not stop the scoring."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

SECONDS = 0.5
"""What one search may take."""
_SHORT = 24
"""Characters up to which no pattern takes long, whatever they are."""


class EndlessError(ValueError):
    """What takes longer than it may: such an answer is not compared."""


class Bounded:
    """A pattern. Searches raise `EndlessError` where they take longer than `SECONDS`."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._plain = re.compile(pattern)

    @cached_property
    def _timed(self) -> Any:
        import regex  # reads these patterns as `re` does, and can be told when to give up

        return regex.compile(self._pattern)

    def search(self, text: str) -> Any:
        return self._bounded("search", text)

    def match(self, text: str) -> Any:
        return self._bounded("match", text)

    def findall(self, text: str) -> list[Any]:
        found: list[Any] = self._bounded("findall", text)
        return found

    def _bounded(self, what: str, text: str) -> Any:
        if len(text) <= _SHORT:
            call: Callable[..., Any] = getattr(self._plain, what)
            return call(text)
        try:
            return getattr(self._timed, what)(text, timeout=SECONDS)
        except TimeoutError:
            raise EndlessError(f"a value of {len(text)} characters that its pattern cannot be tried on") from None
