"""What reading rows gives: samples, quarantined rows, rows without a target, and the counts that must add up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from toolace.calls.schema import Message, Sample, Tool
from toolace.errors import DataError

Targets = Literal["all", "calls"]

REASONS: dict[str, str] = {
    "ambiguous_tool": "two tools of the row have the same name and different definitions",
    "bad_call_text": "an assistant turn that must be a call cannot be parsed as one, or its text has a key twice",
    "bad_content": "a turn holds something that is not text, such as an image",
    "bad_json": "the line, or a JSON value inside the row, is not JSON",
    "bad_role": "a turn has a role that the format does not know",
    "bad_role_order": "turns follow one another in an order that no dialogue has",
    "bad_row": "the row lacks a field of its format, or a field has the wrong type",
    "bad_text": "the line is not UTF-8 or holds NUL bytes, or text holds half of a surrogate pair",
    "bad_tools": 'the tool list cannot be read, or a schema in it is none (such as `"enum": 5`)',
    "bad_value": "a value that JSON cannot hold (infinity, a date), or arguments or a schema deeper than 64 levels",
    "duplicate_id": "a sample of this package's parquet has the id of an earlier one",
    "empty_answer": "an assistant turn has neither text nor calls",
    "missing_required": "a call leaves out a required argument",
    "no_messages": "the row has no turns",
    "unknown_tool": "a call names a tool that is not in the row's tool list",
}
"""Why a row is quarantined."""

SKIPS: dict[str, str] = {
    "no_assistant_turn": "the row has no assistant turn to learn",
    "no_call_turn": "targets are the calls and the row has none",
}
"""Why a good row gives no sample."""


class RowError(DataError):
    """One row cannot be used. The message is `reason: detail` with a reason of `REASONS`."""

    @property
    def reason(self) -> str:
        """The key in `REASONS`."""
        return str(self).partition(": ")[0]

    @property
    def detail(self) -> str:
        """What exactly is wrong in this row."""
        return str(self).partition(": ")[2]


@dataclass(frozen=True)
class BadRow:
    """A quarantined row: its number in the file (from 1; the line number in JSON Lines), why, and the file."""

    row: int
    reason: str
    detail: str
    path: str


@dataclass(frozen=True)
class SkippedRow:
    """A good row that holds no target; `reason` is a key of `SKIPS`."""

    row: int
    reason: str
    path: str


@dataclass(frozen=True)
class GoodRow:
    """A row and its samples, at least one."""

    row: int
    samples: tuple[Sample, ...]
    path: str
    format: str


RowResult = GoodRow | BadRow | SkippedRow


@dataclass(frozen=True)
class Dialogue:
    """A row in our words, before names are normalised and calls are checked.

    `tools` have the names and `turns` the calls of the source. Where `last_only`, the row was already cut into
    one target a row by its authors, so only its last turn is one.
    """

    tools: Sequence[Tool]
    turns: Sequence[Message]
    last_only: bool = False
    kind: str = ""


@dataclass
class Loaded:
    """All of a source. Every row is in one of three places: `rows == used + len(quarantined) + len(skipped)`."""

    samples: list[Sample] = field(default_factory=list)
    quarantined: list[BadRow] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)
    rows: int = 0
    used: int = 0
    """Rows that gave at least one sample."""
    formats: dict[str, int] = field(default_factory=dict)
    """Used rows by format."""

    def add(self, result: RowResult) -> None:
        """Count one row in."""
        self.rows += 1
        if isinstance(result, GoodRow):
            self.used += 1
            self.samples.extend(result.samples)
            self.formats[result.format] = self.formats.get(result.format, 0) + 1
        elif isinstance(result, BadRow):
            self.quarantined.append(result)
        else:
            self.skipped.append(result)

    def reasons(self) -> dict[str, int]:
        """Quarantined rows by reason, most frequent first."""
        return dict(Counter(bad.reason for bad in self.quarantined).most_common())

    def skips(self) -> dict[str, int]:
        """Rows without a target by reason."""
        return dict(Counter(skip.reason for skip in self.skipped).most_common())


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def parse_json(text: str | bytes, *, unique: bool = False) -> Any:
    """JSON without NaN and infinities, where `unique` also without objects that have a key twice.

    Raises `ValueError`, also for nesting too deep to read.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice if unique else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def shorten(value: Any, limit: int = 120) -> str:
    """A value for an error message, cut to `limit` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too big to show"
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
