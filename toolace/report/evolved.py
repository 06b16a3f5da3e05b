"""Queries of evolution as examples of a report: each with what every round made of it, beside what was hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from toolace.calls import judge
from toolace.calls.schema import Sample
from toolace.config import CallFormat
from toolace.evolution.program import EvolveRecord
from toolace.evolution.rules import call_fault
from toolace.report.describe import (
    MAX_ANSWERS,
    Chosen,
    JsonDict,
    cut,
    described,
    format_of,
    pick,
    samples_of,
    tool_text,
)
from toolace.report.facts import RunFacts
from toolace.report.records import read_rows

SET = "query"
DROPPED = "dropped"
ACCEPTED = {True: "accepted, right", False: "accepted, wrong", None: "accepted, not judged"}
"""By whether the answer matches the hidden reference; None where that has no calls."""


def evolved(facts: RunFacts, limit: int) -> Chosen | None:
    """At most `limit` queries, stratified by what became of them in each round and by kind; None before round 1."""
    rounds = [(model.number or 0, facts.store.sub(f"{model.name}/evolve")) for model in facts.evolutions]
    if not rounds:
        return None
    fates: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    for _, stage in rounds:
        for sample_id, _, record in read_rows(stage):
            if record is not None:
                fates[sample_id] = (*fates.get(sample_id, ()), record["reason"] or "accepted")
                kinds[sample_id] = record["kind"]
    chosen = pick({key: (fate, kinds[key]) for key, fate in fates.items()}, limit)
    wanted = set(chosen)
    records: dict[str, list[tuple[int, EvolveRecord]]] = {}
    for number, stage in rounds:
        for sample_id, _, record in read_rows(stage, wanted):
            if record is not None:
                records.setdefault(sample_id, []).append((number, EvolveRecord.model_validate(record)))
    samples = samples_of(facts, "train", wanted)
    format = format_of(facts)

    def rows() -> Iterator[JsonDict]:
        for sample_id in chosen:
            if sample_id in samples:
                told = [_told(number, record, samples[sample_id], format) for number, record in records[sample_id]]
                last = told[-1]
                yield {
                    **described(samples[sample_id], format),
                    "set": SET,
                    "class": DROPPED if last["reason"] else ACCEPTED[last["right"]],
                    "errors": sorted({one["reason"] for one in told if one["reason"]}),
                    "evolved": told,
                }

    def caption(taken: Counter[str]) -> str:
        return (
            f"Embedded: {taken.total():,} of {len(fates):,} queries of evolution, stratified by what became of them in "
            "each round and by kind; the outcome is that of the last round, the reasons are those of all. Their tools "
            "and references were hidden from the model."
        )

    return Chosen(SET, rows(), caption)


def _told(number: int, record: EvolveRecord, hidden: Sample, format: CallFormat) -> JsonDict:
    right = relevant = None
    if record.answer is not None and hidden.reference.calls:
        right = judge(hidden, record.answer, format).correct
        relevant = call_fault(hidden.reference.calls, record.tools) is None
    return {
        "round": number,
        "reason": record.reason,
        "detail": cut(record.detail, 300),
        "right": right,
        "relevant": relevant,
        "made": [tool_text(tool) for tool in record.tools],
        "written": "" if record.tools else cut(record.tools_text),
        "n": record.n,
        "k": record.k,
        "left": max(0, len(record.answers) - MAX_ANSWERS),
        "answers": [
            [cut(answer.text), answer.votes, answer.text == record.answer]
            for answer in sorted(record.answers, key=lambda answer: -answer.votes)[:MAX_ANSWERS]
        ],
    }
