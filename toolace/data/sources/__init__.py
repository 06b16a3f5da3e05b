"""One module a row format, and finding out which one a file is in.

A source has `NEEDS` (what its rows hold, for messages), `matches(row)` and `convert(row) -> Dialogue`. To add one:
write the module and name it in `SOURCES`, before any whose `matches` would also take its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from toolace.data.records import Dialogue
from toolace.data.sources import api_bank, glaive, openai, seal_tools, toolace, toolrl, xlam


class Source(Protocol):
    """A module that reads one format."""

    NEEDS: str

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is in this format."""

    def convert(self, row: Mapping[str, Any]) -> Dialogue:
        """A row as a dialogue. Raises `RowError`."""


SOURCES: dict[str, Source] = {
    "toolace": toolace,
    "seal_tools": seal_tools,
    "glaive": glaive,
    "toolrl": toolrl,
    "api_bank": api_bank,
    "xlam": xlam,
    "openai": openai,
}
"""In the order in which they are tried."""


def detect(row: Any) -> str | None:
    """The format of a row, None where it is in none."""
    if not isinstance(row, Mapping):
        return None
    return next((name for name, source in SOURCES.items() if source.matches(row)), None)
