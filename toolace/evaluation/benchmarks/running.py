"""A model on a benchmark, without the engine: which rows are asked, and scores from the records of its answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolace.calls.formats import CallFormat
from toolace.calls.schema import Message, Sample
from toolace.data.storing import to_row
from toolace.errors import ConfigError, DataError
from toolace.evaluation.benchmarks.base import Benchmark, BenchmarkRow
from toolace.evaluation.benchmarks.scoring import FAILED, MISSING, Prediction, Scored, index_rows, score_rows
from toolace.evaluation.program import DIRECT, AnswerRecord, ArmAnswer, DialogueAnswer


@dataclass(frozen=True)
class Plan:
    """`rows` are all at hand in `folder`, `asked` those that the model is asked, in the same order; `categories` were
    chosen."""

    folder: Path
    rows: list[BenchmarkRow]
    asked: list[BenchmarkRow]
    categories: tuple[str, ...]


def plan_rows(
    benchmark: Benchmark, folder: Path, categories: Sequence[str] | None = None, limit: int | None = None
) -> Plan:
    """Choose the rows to ask: those of some categories (None: all) and of each the first `limit` (None: all).

    Faulty rows, and those whose rules are not offered, are not asked. Raises `ConfigError` for a category that is not
    at hand, `DataError` where nothing is left to ask.
    """
    rows = [_checked(row) for row in benchmark.load(folder)]
    index_rows(rows, folder)
    known = list(dict.fromkeys(row.category for row in rows))
    if categories is not None and not categories:
        raise ConfigError(f"no category is named; there are {', '.join(known)}")
    if unknown := [name for name in categories or () if name not in known]:
        raise ConfigError(
            f"no rows of the category {', '.join(map(repr, unknown))} in {folder}; there are {', '.join(known)}"
        )
    chosen = tuple(known if categories is None else (name for name in known if name in categories))
    asked = []
    taken: Counter[str] = Counter()
    for row in rows:
        if row.category in chosen and not row.problem and not row.not_asked:
            taken[row.category] += 1
            if limit is None or taken[row.category] <= limit:
                asked.append(row)
    if not asked:
        reasons = [row.problem or row.not_asked for row in rows if row.category in chosen]
        raise DataError(
            f"no row of {', '.join(chosen)} in {folder} can be asked. For example: {reasons[0]}. Give other categories"
        )
    return Plan(folder, rows, asked, chosen)


def questions(rows: Iterable[BenchmarkRow]) -> Iterator[Sample]:
    """Rows as samples without a reference, the category their kind."""
    for row in rows:
        yield Sample(id=row.id, chat=row.chat, reference=Message(role="assistant"), kind=row.category)


def _checked(row: BenchmarkRow) -> BenchmarkRow:
    """The row, with a problem where its texts cannot be stored."""
    if not row.problem:
        try:
            "".join(to_row(next(questions([row]))).values()).encode()
        except ValueError as error:
            return replace(row, problem=f"{row.id}: its question cannot be stored, {error!s:.200}")
    return row


@dataclass(frozen=True)
class ArmScored:
    """One arm: what scoring found, its predictions as JSON lines, and its entry in the report."""

    found: Scored
    predictions: bytes
    report: dict[str, Any]


def score_arms(
    benchmark: Benchmark, plan: Plan, records: Iterable[Mapping[str, Any]], arms: Sequence[str], format: CallFormat
) -> dict[str, ArmScored]:
    """Score every arm of the records of `toolace.evaluation.program.answer_sample` for the rows asked.

    A row whose record is an error is wrong, even where an empty answer would be right.
    """
    answers: dict[str, AnswerRecord] = {}
    failed: dict[str, str] = {}
    for record in records:
        if record.get("error"):
            failed[record["id"]] = record["error"]
        else:
            answers[record["id"]] = AnswerRecord.model_validate(record)
    if lost := [row.id for row in plan.asked if row.id not in answers and row.id not in failed]:
        raise DataError(f"{len(lost)} rows have no record, the first {lost[0]!r}. Run the same command again")
    scored: dict[str, ArmScored] = {}
    direct: set[str] = set()
    for arm in arms:
        lines = []
        for row in plan.asked:
            if row.id in failed:
                lines.append({"id": row.id, "output": "", FAILED: failed[row.id]})
            else:
                lines.append({"id": row.id, **_output(benchmark, row, answers[row.id].arms[arm], format)})
        given = [Prediction(line["id"], line["output"], f"the arm {arm}", line.get(FAILED)) for line in lines]
        # Loaded, but judged by rules that are not offered: the benchmark's own verdict says so.
        given += [Prediction(row.id, "", "") for row in plan.rows if row.not_asked and row.category in plan.categories]
        found = score_rows(benchmark, plan.rows, given, plan.folder)
        correct = {verdict.id for verdict in found.verdicts if verdict.correct}
        if arm == DIRECT:
            direct = correct
        report = {
            "categories": _categories(plan, found),
            "scores": found.scores,
            "missing": found.missing,
            "mean_calls": _mean([answer.arms[arm].model_calls for answer in answers.values()]),
            "mean_tokens": _mean([answer.arms[arm].tokens for answer in answers.values()]),
            "mean_prompt_tokens": _mean([answer.arms[arm].prompt_tokens for answer in answers.values()]),
            "repairs": len(correct - direct),
            "regressions": len(direct - correct),
        }
        text = "".join(json.dumps(line) + "\n" for line in lines)
        scored[arm] = ArmScored(found, text.encode(), report)
    return scored


def _output(benchmark: Benchmark, row: BenchmarkRow, answer: ArmAnswer, format: CallFormat) -> dict[str, Any]:
    """The text or texts to score, and as the model wrote them."""
    if not isinstance(answer, DialogueAnswer):
        return {"output": benchmark.scored_text(row, answer.text, format), "raw": answer.text}
    turns = [[benchmark.scored_text(row, text, format) for text in steps] for steps in answer.turns]
    return {"output": turns, "raw": answer.turns}


def build_report(benchmark: Benchmark, plan: Plan, scored: Mapping[str, ArmScored]) -> dict[str, Any]:
    """What `scores.json` holds: each arm's report, and what became of the rows that got no answer."""
    first = next(iter(scored.values())).found
    return {
        "benchmark": benchmark.name,
        "rows": len(plan.rows),
        "asked": len(plan.asked),
        "unanswered": {verdict.id: verdict.detail for verdict in first.verdicts if verdict.error == FAILED},
        "faulty": {row.id: row.problem for row in plan.rows if row.problem},
        "not_scored": dict(
            Counter(row.category for row in plan.rows if row.not_asked and row.category in plan.categories)
        ),
        "left_out": list(first.left_out),
        "arms": {arm: entry.report for arm, entry in scored.items()},
    }


def _categories(plan: Plan, found: Scored) -> dict[str, dict[str, int]]:
    """Of each chosen category the rows at hand, those with a verdict of the rules or wrong in any case, those right."""
    counts = {name: {"n": 0, "judged": 0, "correct": 0} for name in plan.categories}
    for row, verdict in zip(plan.rows, found.verdicts, strict=True):
        if (entry := counts.get(row.category)) is not None:
            entry["n"] += 1
            entry["judged"] += verdict.error != MISSING and (not row.not_asked or bool(row.problem))
            entry["correct"] += verdict.correct
    return counts


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
