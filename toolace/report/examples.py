"""The examples of a report: evaluated samples, and probed ones or queries of evolution, packed for the page.

Up to `ROWS` samples are all there. Of a larger run there is a deterministic choice, in at most `MAX_BYTES`: repairs and
regressions come first, then a sample stratified by class, kind and error; ties are broken by a hash of the id.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolace.calls import judge
from toolace.calls.schema import Sample
from toolace.config import CallFormat
from toolace.evaluation.program import ADAPTIVE, DIRECT, EvaluationRecord
from toolace.probing import ProbeRecord
from toolace.report.describe import MAX_ANSWERS, Chosen, JsonDict, cut, described, format_of, pick, samples_of
from toolace.report.embedding import Packer
from toolace.report.evolved import evolved
from toolace.report.facts import UNREADABLE, RunFacts, arm_order, label_of
from toolace.report.records import read_rows

ROWS = 10_000
"""Samples in a page at the most."""
MAX_BYTES = 14_000_000
"""Bound on the bytes of all examples in the page; what would go beyond it is left out and counted."""
EVALUATED_SHARE = 2 / 3
"""Of the bytes, evaluated samples get this much where there are others too."""

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass
class Examples:
    """The chosen examples; `caption` says how many of how many were chosen."""

    packer: Packer = field(default_factory=Packer)
    caption: str = ""

    @property
    def count(self) -> int:
        """Rows in the page."""
        return self.packer.count

    def json(self) -> str:
        """Everything as JSON text that is safe inside a script element."""
        return self.packer.json()


def choose(facts: RunFacts, max_bytes: int = MAX_BYTES, max_rows: int = ROWS) -> Examples:
    """Choose and describe examples of a run; empty where no model was asked anything yet."""
    found = Examples()
    packer = found.packer
    part, others = ("/evolve", evolved) if facts.evolves else ("/probe", _probed)
    asked = max((counts.get("rows", 0) for name, counts in facts.stages.items() if name.endswith(part)), default=0)
    makers: tuple[tuple[Callable[[RunFacts, int], Chosen | None], int, float], ...] = (
        (_evaluated, max(max_rows // 2, max_rows - asked), max_bytes * (EVALUATED_SHARE if asked else 1)),
        (others, max_rows, max_bytes),
    )
    for make, rows, room in makers:
        try:
            chosen = make(facts, rows - packer.count)
            if chosen is None:
                continue
            for row in chosen.rows:
                if not packer.add(row, int(room)):
                    break
            packer.flush(int(room))
        except UNREADABLE as error:
            packer.flush(int(room))
            facts.notes.append(f"examples are missing: {error}")
            continue
        taken = Counter({name: n for (split, name), n in packer.classes.items() if split == chosen.set})
        found.caption = " ".join(part for part in (found.caption, chosen.caption(taken)) if part)
    return found


def changes(old: str, new: str) -> list[list[Any]]:
    """How `new` differs from `old`, as pieces [-1 | 0 | 1, text]: taken out, kept, put in."""
    before, after = TOKEN.findall(old), TOKEN.findall(new)
    pieces: list[list[Any]] = []

    def add(mark: int, text: str) -> None:
        if text and pieces and pieces[-1][0] == mark:
            pieces[-1][1] += text
        elif text:
            pieces.append([mark, text])

    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            add(0, "".join(before[i1:i2]))
        else:
            add(-1, "".join(before[i1:i2]))
            add(1, "".join(after[j1:j2]))
    return pieces


def outcome(direct: bool, adaptive: bool) -> str:
    """The class of an evaluated sample."""
    if direct == adaptive:
        return "right" if direct else "wrong"
    return "repaired" if adaptive else "regressed"


def _evaluated(facts: RunFacts, limit: int) -> Chosen | None:
    model = facts.last
    if model is None:
        return None
    split = facts.split if facts.split in model.evaluations else next(iter(model.evaluations))
    stage = facts.store.sub(f"{model.name}/eval-{split}")
    changed: dict[str, Hashable] = {}
    others: dict[str, Hashable] = {}
    failed = 0
    for sample_id, error, record in read_rows(stage):
        if error is not None or record is None:
            failed += 1
            continue
        arms = record["arms"]
        name = outcome(arms[DIRECT]["correct"], arms[ADAPTIVE]["correct"])
        mistake = arms[ADAPTIVE]["error"] or arms[DIRECT]["error"] or ""
        (changed if name in ("repaired", "regressed") else others)[sample_id] = (name, record["kind"], mistake)
    first = pick(changed, max(2 * limit // 3, limit - len(others)))
    chosen = first + pick(others, limit - len(first))
    wanted = set(chosen)
    records = {
        sample_id: EvaluationRecord.model_validate(record)
        for sample_id, _, record in read_rows(stage, wanted)
        if record is not None
    }
    verdicts: dict[str, list[list[Any]]] = {sample_id: [] for sample_id in chosen}
    for other in facts.models:
        if split in other.evaluations:
            for sample_id, error, record in read_rows(facts.store.sub(f"{other.name}/eval-{split}"), wanted):
                right = None if error is not None or record is None else record["arms"]
                verdicts[sample_id].append(
                    [other.label, right and right[DIRECT]["correct"], right and right[ADAPTIVE]["correct"]]
                )
    samples = samples_of(facts, split, wanted)
    format = format_of(facts)

    def rows() -> Iterator[JsonDict]:
        for sample_id in chosen:
            if sample_id in samples and sample_id in records:
                record = records[sample_id]
                yield {
                    **described(samples[sample_id], format),
                    "set": split,
                    "class": outcome(record.arms[DIRECT].correct, record.arms[ADAPTIVE].correct),
                    "errors": sorted({arm.error for arm in record.arms.values() if arm.error}),
                    "by": model.label,
                    "chain": _chain(samples[sample_id], record, format),
                    "arms": [
                        [name, arm.correct, arm.error, arm.rounds, arm.stopped, arm.model_calls, arm.tokens]
                        for name, arm in ((name, record.arms[name]) for name in arm_order(record.arms))
                    ],
                    "models": verdicts[sample_id],
                }

    total = len(changed) + len(others)
    kinds = Counter(key[0] for key in changed.values() if isinstance(key, tuple))

    def caption(taken: Counter[str]) -> str:
        text = (
            f"Embedded: {taken.total():,} of {total:,} {split} samples answered by {model.label}, among them "
            f"{taken['repaired']:,} of {kinds['repaired']:,} repaired and {taken['regressed']:,} of "
            f"{kinds['regressed']:,} regressed ones; the others are stratified by outcome, kind and error."
        )
        return text + (f" Rows that failed and have no answer: {failed:,}." if failed else "")

    return Chosen(split, rows(), caption)


def _probed(facts: RunFacts, limit: int) -> Chosen | None:
    rounds = [number for number in facts.rounds if f"round-{number}/probe" in facts.stages]
    if not rounds:
        return None
    strata: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    for number in rounds:
        for sample_id, _, record in read_rows(facts.store.sub(f"round-{number}/probe")):
            if record is not None:
                strata[sample_id] = (*strata.get(sample_id, ()), record["label"])
                kinds[sample_id] = record["kind"]
    chosen = pick({key: (path, kinds[key]) for key, path in strata.items()}, limit)
    wanted = set(chosen)
    probes: dict[str, list[tuple[int, ProbeRecord]]] = {}
    for number in rounds:
        for sample_id, _, record in read_rows(facts.store.sub(f"round-{number}/probe"), wanted):
            if record is not None:
                probes.setdefault(sample_id, []).append((number, ProbeRecord.model_validate(record)))
    samples = samples_of(facts, "train", wanted)
    format = format_of(facts)

    def rows() -> Iterator[JsonDict]:
        for sample_id in chosen:
            if sample_id in samples:
                found = probes[sample_id]
                yield {
                    **described(samples[sample_id], format),
                    "set": "train",
                    "class": found[-1][1].label,
                    "errors": sorted({a.error for _, probe in found for a in probe.answers if a.error}),
                    "probes": [_probe(number, probe) for number, probe in found],
                }

    def caption(taken: Counter[str]) -> str:
        return (
            f"Embedded: {taken.total():,} of {len(strata):,} probed training samples, stratified by their classes over "
            "the rounds and by kind."
        )

    return Chosen("train", rows(), caption)


def _chain(sample: Sample, record: EvaluationRecord, format: CallFormat) -> list[JsonDict]:
    """The answers of the adaptive arm with verdicts; from the second on with the changes to the one before."""
    steps = []
    before: str | None = None
    for text in record.chain:
        verdict = judge(sample, text, format)
        step: JsonDict = {"right": verdict.correct, "error": verdict.error, "detail": cut(verdict.detail, 300)}
        shown = cut(text)
        if before is None:
            step["text"] = shown
        elif text == before:
            step["same"] = True
        else:
            step["changes"] = changes(cut(before), shown)
        steps.append(step)
        before = text
    if record.chain and record.arms[ADAPTIVE].text != record.chain[-1]:
        steps[-1]["rejected"] = True
    return steps


def _probe(number: int, probe: ProbeRecord) -> JsonDict:
    return {
        "round": number,
        "label": probe.label,
        "n": probe.n,
        "k": probe.k,
        "c": probe.c,
        "stopped": probe.stop == "decided",
        "left": max(0, len(probe.answers) - MAX_ANSWERS),
        "answers": [
            [cut(answer.text), answer.count, answer.correct, answer.error, answer.truncated, answer.draft]
            for answer in probe.answers[:MAX_ANSWERS]
        ],
    }


def label_names(labels: Iterable[str]) -> Sequence[str]:
    """Labels in the order from hard to easy, others after them."""
    order = ["error", "unsolved", "below", "inside", "solved", "above"]
    return sorted(labels, key=lambda name: (order.index(name) if name in order else len(order), label_of(name)))
