"""How a sample becomes a row of the examples in a report: which ones, and what of them is told."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolace.calls import render_calls
from toolace.calls.schema import Message, Sample, Tool
from toolace.config import CallFormat
from toolace.data.shards import read_samples
from toolace.report.facts import RunFacts
from toolace.storage import Store

MAX_TEXT = 4000
"""Longer texts are cut, and say so."""
MAX_ANSWERS = 8
"""Distinct answers of a sample that are shown, of those that draws gave."""
JsonDict = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """Rows to embed while there is room, and how to say how many of how many were."""

    set: str
    rows: Iterator[JsonDict]
    caption: Callable[[Counter[str]], str]


def pick(strata: Mapping[str, Hashable], limit: int) -> list[str]:
    """At most `limit` ids, taken in turns from each stratum; the same ids for the same input in any order."""
    groups: dict[Hashable, list[str]] = {}
    for sample_id in sorted(strata, key=_rank):
        groups.setdefault(strata[sample_id], []).append(sample_id)
    queues = [iter(groups[key]) for key in sorted(groups, key=str)]
    chosen: list[str] = []
    while queues and len(chosen) < limit:
        alive = []
        for queue in queues:
            following = next(queue, None)
            if following is not None and len(chosen) < limit:
                chosen.append(following)
                alive.append(queue)
        queues = alive
    return chosen


def described(sample: Sample, format: CallFormat) -> JsonDict:
    """What is told of every sample, whatever became of it."""
    return {
        "id": sample.id,
        "kind": sample.kind or "unnamed",
        "source": sample.source,
        "chat": [[message.role, cut(said(message, format))] for message in sample.chat.messages],
        "tools": [tool_text(tool) for tool in sample.chat.tools],
        "reference": cut(said(sample.reference, format)),
    }


def tool_text(tool: Tool) -> str:
    """A tool's definition as JSON text."""
    return cut(json.dumps(tool.openai()["function"], ensure_ascii=False), 2 * MAX_TEXT)


def samples_of(facts: RunFacts, split: str, wanted: set[str]) -> dict[str, Sample]:
    """The `wanted` samples of a split by id."""
    store: Store = facts.store.sub(f"data/{split}")
    return {sample.id: sample for sample in read_samples(store) if sample.id in wanted}


def said(message: Message, format: CallFormat) -> str:
    """A turn as text."""
    calls = render_calls(message.calls, format) if message.calls else ""
    named = f"{message.name}: " if message.name else ""
    return named + "\n".join(part for part in (message.content, calls) if part)


def format_of(facts: RunFacts) -> CallFormat:
    """The call format of a run."""
    format: CallFormat = facts.config.get("model", {}).get("format", "pythonic")
    return format


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """A text of at most `limit` characters, which says so where it was longer."""
    return text if len(text) <= limit else f"{text[:limit]} … [{len(text) - limit:,} characters more]"


def _rank(sample_id: str) -> tuple[bytes, str]:
    return hashlib.blake2b(sample_id.encode(), digest_size=8).digest(), sample_id
