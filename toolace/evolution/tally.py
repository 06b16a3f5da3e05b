"""What a round of evolution gave: queries by what became of them, draws, diversity, and, for reports only, how the
accepted answers compare with what was hidden."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from toolace.calls import judge
from toolace.calls.matching import call_key
from toolace.calls.schema import Call, Sample
from toolace.config import CallFormat
from toolace.errors import RolloutError
from toolace.evolution.program import EvolveRecord, calls_of
from toolace.evolution.rules import call_fault


class EvolveScores(BaseModel):
    """A round's counts: `queries` = `accepted` + all of `rejected` + `errors` (rows that failed).

    `draws` were made of `draws_full` planned, over the queries that came to a vote. `call_diversity` is the number of
    distinct answers (calls by name and arguments, in any order) a accepted query, `tool_diversity` that of distinct
    tool names a call: 1 where no two are the same, near 0 where all are.

    Against what was hidden, over the `judged` accepted queries whose reference has calls: `accepted_right` is the share
    whose answer matches it, `relevance` the share whose own tools can express it. None where there is nothing to say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries: int
    accepted: int
    rejected: dict[str, int]
    errors: int
    draws: int
    draws_full: int
    call_diversity: float | None
    tool_diversity: float | None
    judged: int
    accepted_right: float | None
    relevance: float | None


class EvolveTally:
    """Adds up the records of a round."""

    def __init__(self, format: CallFormat) -> None:
        self._format = format
        self._rejected: Counter[str] = Counter()
        self._answers: set[bytes] = set()
        self._names: set[bytes] = set()
        self._sums: Counter[str] = Counter()

    def add(self, record: EvolveRecord, hidden: Sample) -> dict[str, Any] | None:
        """Count a record; `hidden`: its sample with tools and reference. Of an accepted one returns how it compares:
        `right` and `relevant`, both None where the hidden reference has no calls."""
        if record.id != hidden.id:
            raise RolloutError(f"the evolve record of {record.id} was joined with the sample {hidden.id}")
        voted = record.k if record.n else 0
        self._sums.update(queries=1, accepted=record.reason is None, draws=record.n, draws_full=voted)
        if record.reason is not None:
            self._rejected[record.reason] += 1
            return None
        calls = calls_of(record, self._format)
        self._answers.add(_short("\x00".join(sorted(call_key(call) for call in calls))))
        self._names.update(_short(call.name) for call in calls)
        self._sums["calls"] += len(calls)
        if not hidden.reference.calls:
            return {"right": None, "relevant": None}
        right = judge(hidden, record.answer or "", self._format).correct
        relevant = expressible(hidden.reference.calls, record)
        self._sums.update(judged=1, right=right, relevant=relevant)
        return {"right": right, "relevant": relevant}

    def add_error(self) -> None:
        """Count a query whose row failed."""
        self._sums.update(queries=1, errors=1)

    def scores(self) -> EvolveScores:
        """The counts so far."""
        sums = self._sums
        return EvolveScores(
            **{name: sums[name] for name in ("queries", "accepted", "errors", "draws", "draws_full", "judged")},
            rejected=dict(self._rejected.most_common()),
            call_diversity=_share(len(self._answers), sums["accepted"]),
            tool_diversity=_share(len(self._names), sums["calls"]),
            accepted_right=_share(sums["right"], sums["judged"]),
            relevance=_share(sums["relevant"], sums["judged"]),
        )


def count_evolved(record: Mapping[str, Any]) -> dict[str, float]:
    """What an evolve record adds to the counts: accepted or not, draws made, and draws planned where there were any."""
    return {
        "accepted": int(record["reason"] is None),
        "draws": record["n"],
        "draws_full": record["k"] if record["n"] else 0,
    }


def expressible(calls: tuple[Call, ...], record: EvolveRecord) -> bool:
    """Whether calls of other tools could be made over a record's own tools."""
    return call_fault(calls, record.tools) is None


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
