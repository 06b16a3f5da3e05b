"""Scoring outputs that exist: predictions in, verdicts and scores out. No model, no engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolace.data.records import parse_json, shorten
from toolace.errors import DataError
from toolace.evaluation.benchmarks.base import Benchmark, BenchmarkRow, Output, RowVerdict
from toolace.evaluation.benchmarks.common import faulty
from toolace.evaluation.benchmarks.places import check_place, write_to

MISSING = "no_prediction"
"""The error of a row that no prediction is for; such a row is written as wrong and has no part in any score."""
NOT_SCORED = "not_scored"
"""The error of a row that was loaded, but not judged: its rules are not at hand."""
FAILED = "unanswered"
"""The error of a row for which the model gave no answer (its prompt was too long, the engine failed): it is wrong,
whatever the rules say about an empty text. Also the key of a prediction's reason."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An output for one row; `where` names it in errors. `failed` says why there is none."""

    id: str
    output: Output
    where: str
    failed: str | None = None


@dataclass(frozen=True)
class Scored:
    """All that scoring found. `verdicts` has one for each row of the benchmark, in its order."""

    benchmark: str
    verdicts: list[RowVerdict]
    scores: dict[str, float | None]
    missing: int
    left_out: tuple[str, ...] = ()
    """What was not run, in sentences for people."""

    def bad_rows(self) -> list[RowVerdict]:
        """The verdicts on rows whose files are faulty: in the denominator, as wrong."""
        return [verdict for verdict in self.verdicts if verdict.error == "bad_row"]

    def not_scored(self) -> list[RowVerdict]:
        """The verdicts on rows that were loaded, but not judged: without a part in any score."""
        return [verdict for verdict in self.verdicts if verdict.error == NOT_SCORED]

    def lines(self) -> bytes:
        """The verdicts as JSON lines `{"id", "category", "correct", "error"}`."""
        lines = [
            json.dumps({"id": item.id, "category": item.category, "correct": item.correct, "error": item.error})
            for item in self.verdicts
        ]
        return ("\n".join(lines) + "\n").encode()

    def to_json(self) -> dict[str, Any]:
        """`{"benchmark", "categories": {name: {"n", "correct"}}, "scores", "missing"}`; `n` counts all rows at hand.
        And `left_out`, where something is."""
        sizes = Counter(verdict.category for verdict in self.verdicts)
        correct = Counter(verdict.category for verdict in self.verdicts if verdict.correct)
        categories = {name: {"n": size, "correct": correct[name]} for name, size in sizes.items()}
        report = {
            "benchmark": self.benchmark,
            "categories": categories,
            "scores": self.scores,
            "missing": self.missing,
        }
        return report | ({"left_out": list(self.left_out)} if self.left_out else {})


def score_predictions(benchmark: Benchmark, folder: Path, predictions: Path, verdicts: Path | None = None) -> Scored:
    """Judge a file of predictions, and write the verdicts as JSON lines where a place for them is given.

    predictions: JSON lines `{"id", "output"}`, read one at a time; `unanswered` (a text) says why there is no answer,
    other keys are ignored. Raises `DataError` for a line that is not that, for an id given twice, and for ids that are
    not in `folder`; `ConfigError` for a place where verdicts cannot be, or would go over what is read. A row without a
    prediction is counted in `missing` and leaves the scores it belongs to undefined.
    """
    if verdicts is not None:
        check_place(verdicts, predictions, folder)
    found = score_rows(benchmark, benchmark.load(folder), read_predictions(predictions), folder)
    if verdicts is not None:
        write_to(verdicts, found.lines())
    return found


def score_rows(
    benchmark: Benchmark, rows: Sequence[BenchmarkRow], predictions: Iterable[Prediction], folder: Path
) -> Scored:
    """Judge predictions for the rows of `folder`. Raises `DataError` as `score_predictions` does."""
    by_id = index_rows(rows, folder)
    judged: dict[str, RowVerdict] = {}
    unknown: list[str] = []
    for prediction in predictions:
        row = by_id.get(prediction.id)
        if row is None:
            unknown.append(f"{prediction.id!r} ({prediction.where})")
        elif row.id in judged:
            raise DataError(f"{prediction.where}: the id {row.id!r} was given before. Leave one prediction for each id")
        else:
            judged[row.id] = _judge(benchmark, row, prediction.output, prediction.failed)
    if unknown:
        raise DataError(
            f"{len(unknown)} id(s) of the predictions are not among the {len(rows)} rows of {benchmark.name} in "
            f"{folder}: {', '.join(unknown[:3])}. Ids there look like {rows[0].id!r}; give the data folder that the "
            "predictions were made from"
        )
    judged |= {row.id: _judge(benchmark, row, "") for row in rows if row.problem and row.id not in judged}
    sizes = Counter(row.category for row in rows)
    scores = benchmark.scores(list(judged.values()), sizes)
    left_out = benchmark.left_out(folder, list(judged.values()), sizes)
    absent = [row for row in rows if row.id not in judged]
    judged |= {row.id: RowVerdict(row.id, row.category, False, MISSING, "no prediction") for row in absent}
    return Scored(benchmark.name, [judged[row.id] for row in rows], scores, len(absent), tuple(left_out))


def read_predictions(path: Path) -> Iterator[Prediction]:
    """The predictions of a file; empty lines are passed over. Raises `DataError`."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _prediction(line, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"the predictions {path} cannot be read: {error.strerror}. Check the path") from None


def _prediction(line: bytes, where: str) -> Prediction:
    wanted = 'one JSON object a line, {"id": "...", "output": "..."}'
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise DataError(
            f"{where}: not JSON ({error}). A line cut short is of a run that was killed; give {wanted}"
        ) from None
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or "output" not in entry:
        raise DataError(f"{where}: {shorten(entry)}; give {wanted}")
    output = entry["output"]
    if not isinstance(output, str) and not _is_turns(output):
        raise DataError(
            f"{where}: the output of {entry['id']!r} is {shorten(output)}. Give raw text; for multi-turn rows, a list "
            "with a list of texts for each turn; an empty text for an answer that failed"
        )
    failed = entry.get(FAILED)
    if failed is not None and not isinstance(failed, str):
        raise DataError(f"{where}: {FAILED!r} is {shorten(failed)}. Give the reason as a text, or leave it out")
    return Prediction(entry["id"], output, where, failed)


def _is_turns(output: Any) -> bool:
    return isinstance(output, list) and all(
        isinstance(turn, list) and all(isinstance(step, str) for step in turn) for turn in output
    )


def index_rows(rows: Sequence[BenchmarkRow], folder: Path) -> dict[str, BenchmarkRow]:
    """The rows by id. Raises `DataError` where two have the same."""
    by_id = {row.id: row for row in rows}
    if len(by_id) < len(rows):
        twice = next(row_id for row_id, count in Counter(row.id for row in rows).items() if count > 1)
        raise DataError(f"two rows in {folder} have the id {twice!r}. Keep one copy of each file there")
    return by_id


def _judge(benchmark: Benchmark, row: BenchmarkRow, output: Output, failed: str | None = None) -> RowVerdict:
    if row.problem:
        return faulty(row)
    if failed is None or row.not_asked:
        return benchmark.judge(row, output)
    return replace(benchmark.judge(row, ""), correct=False, error=FAILED, detail=failed)
