"""The Berkeley Function-Calling Leaderboard (BFCL): rows, verdicts and scores as bfcl-eval 2026.3.23 gives them.

Verdicts and error kinds equal the official checker's, its quirks included; `make agreement` compares the two row by
row. Source of the rules: bfcl-eval (Apache-2.0), `eval_checker/eval_runner.py` and `ast_eval/ast_checker.py`. Parallel
calls are paired greedily here, as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from toolace.calls.bfcl import Failure, Language, check_accepted
from toolace.calls.formats import CallFormat
from toolace.errors import ParseError, RolloutError
from toolace.evaluation.benchmarks import bfcl_scores
from toolace.evaluation.benchmarks.base import BenchmarkRow, Execute, Output, RowVerdict
from toolace.evaluation.benchmarks.bfcl_convert import JAVA, JAVASCRIPT
from toolace.evaluation.benchmarks.bfcl_decode import BROKEN, DecodedCall, decode_python
from toolace.evaluation.benchmarks.bfcl_java import decode_java
from toolace.evaluation.benchmarks.bfcl_js import decode_javascript
from toolace.evaluation.benchmarks.bfcl_process import OfficialProcess
from toolace.evaluation.benchmarks.bfcl_rows import (
    IRRELEVANCE,
    MULTI_TURN,
    NEEDS_BACKENDS,
    RELEVANCE,
    ROWS,
    find_files,
    other_files,
    read_category,
)
from toolace.evaluation.benchmarks.bfcl_write import scored_text
from toolace.evaluation.benchmarks.scoring import NOT_SCORED

_PREFIXED = frozenset({"wrong_func_name", "missing_required", "unexpected_param", "missing_optional"})
"""Kinds that officially carry the name of the checker of one call."""
_UNDECODABLE = "("
"""Stands for an output that is no text, as which the official decoder fails at it: no call in any language."""


class Bfcl:
    """The benchmark `bfcl`: v3 and v4 files, non-live, live, relevance and irrelevance, multi-turn.

    Multi-turn rows are judged by the official checker itself, in the environment `official`, or by what `process` is
    instead. Without it they are loaded, but not scored: their verdict's error is `not_scored`, and so the scores that
    need them are None.
    """

    name = "bfcl"

    def __init__(self, official: Path | None = None, process: OfficialProcess | None = None) -> None:
        self._folder = None if official is None else official.absolute()
        self._process = process or (None if self._folder is None else shared_process(self._folder))

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """All rows of the categories whose files are in `folder`. Raises `DataError`, and `ConfigError` where there
        are multi-turn rows and the official environment cannot be used."""
        rows = [row for category, path in find_files(folder).items() for row in read_category(category, path)]
        if self._process is not None and any(row.dialogue is not None for row in rows):
            self._process.start()
            return [row if row.dialogue is None else replace(row, not_asked=None) for row in rows]
        return rows

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """The official verdict; `error` is the official `error_type`, with the checker's prefix."""
        if row.problem is not None:
            return RowVerdict(row.id, row.category, False, "bad_row", row.problem)
        if row.dialogue is not None:
            return self._judge_dialogue(row, row.dialogue.entry, output)
        text = output if isinstance(output, str) else _UNDECODABLE
        try:
            failure = _judge_call_free(row, text) if row.category in IRRELEVANCE + RELEVANCE else _judge(row, text)
        except BROKEN as error:
            # The official checker stops with an error here, for instance at a number with thousands of digits.
            failure = Failure("uncheckable", f"the answer cannot be compared: {error!s:.200}")
        if failure is None:
            return RowVerdict(row.id, row.category, True)
        return RowVerdict(row.id, row.category, False, failure.error, failure.detail)

    def left_out(self, folder: Path, verdicts: Sequence[RowVerdict], sizes: Mapping[str, int]) -> list[str]:
        """Each formula without a value with the categories that it lacks, and question files that are never read."""
        alike: dict[str, list[str]] = {}
        for score, categories in bfcl_scores.not_run(verdicts, sizes).items():
            alike.setdefault(", ".join(categories), []).append(score)
        found = [f"{', '.join(scores)}: for want of {categories}" for categories, scores in alike.items()]
        found += [f"{name} is not read: its category is not run here" for name in other_files(folder)]
        return found + [
            f"{category}: {size} rows are here, the leaderboard has {ROWS[category]}"
            for category, size in sizes.items()
            if size != ROWS[category]
        ]

    def scored_text(self, row: BenchmarkRow, text: str, format: CallFormat) -> str:
        """The calls as a list in brackets, which is what the rules read; see `bfcl_write`."""
        return scored_text(row.category, text, format)

    def _judge_dialogue(self, row: BenchmarkRow, entry: Mapping[str, Any], output: Output) -> RowVerdict:
        """The official verdict. What stops the official checker is wrong: `timeout`, `memory`, `crashed`, or as in
        single-turn `uncheckable`."""
        if self._process is None:
            return RowVerdict(row.id, row.category, False, NOT_SCORED, NEEDS_BACKENDS)
        found = self._process.judge(entry, row.gold, output)
        if failed := found.get("failed"):
            return RowVerdict(row.id, row.category, False, failed, found["detail"])
        return RowVerdict(row.id, row.category, found["valid"], found["error_type"], found["detail"])

    def backends(self, format: CallFormat) -> Execute | None:
        """The official simulated backends; None without their environment."""
        return None if self._folder is None else Backends(self._folder, format)

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """Accuracies by category and by the leaderboard's formulas; see `bfcl_scores`."""
        return bfcl_scores.scores(verdicts, sizes)


@cache
def shared_process(official: Path) -> OfficialProcess:
    """The processes of that environment which everything in this process shares."""
    return OfficialProcess(official)


@dataclass(frozen=True)
class Backends:
    """The official simulated backends for a model of a call format; see `Execute`."""

    official: Path
    format: CallFormat

    def __call__(self, entry: Mapping[str, Any], texts: Sequence[str]) -> list[str] | None:
        steps = [scored_text(MULTI_TURN[0], text, self.format) for text in texts]
        found = shared_process(self.official).execute(entry, steps)
        if failed := found.get("failed"):
            raise RolloutError(f"{failed}: {found['detail']}")
        results: list[str] | None = found["results"]
        return results


def _judge_call_free(row: BenchmarkRow, text: str) -> Failure | None:
    """Irrelevance is right where no call can be decoded, a broken one included; relevance where one can be."""
    try:
        calls, broken = decode_python(text), "an empty list"
    except ParseError as error:
        calls, broken = [], str(error)
    if row.category in RELEVANCE:
        return None if calls else Failure("relevance_error:decoder_failed", f"no call: {broken}")
    if calls:
        return Failure("irrelevance_error:decoder_success", f"called {calls[0].name!r}, no call is right")
    return None


def _judge(row: BenchmarkRow, text: str) -> Failure | None:
    category: str = row.category
    language: Language | None = None
    try:
        if category == "simple_java":
            language, calls = JAVA, decode_java(text)
        elif category == "simple_javascript":
            language, calls = JAVASCRIPT, decode_javascript(text)
        else:
            calls = decode_python(text)
    except ParseError as error:
        return Failure("ast_decoder:decoder_failed", str(error))
    if calls is None:
        return Failure("ast_decoder:decoder_wrong_output_format", "the text holds no call")
    functions, gold = row.raw["function"], row.gold
    if "parallel" in category:
        return _check_parallel(calls, gold, functions)
    checker = "multiple" if "multiple" in category else "simple"
    expected = len(gold) if checker == "multiple" else 1
    if len(calls) != expected:
        return Failure(f"{checker}_function_checker:wrong_count", f"expected {expected} call(s), got {len(calls)}")
    function = _find(functions, next(iter(gold[0]))) if checker == "multiple" else functions[0]
    return _check_one(calls[0], gold[0], function, language)


def _check_one(
    call: DecodedCall, gold: Mapping[str, Any], function: Mapping[str, Any], language: Language | None = None
) -> Failure | None:
    """The gold's parameters count, its name does not: the function's does."""
    failure = check_accepted(call, function["name"], next(iter(gold.values())), function["parameters"], language)
    if failure is not None and failure.error in _PREFIXED:
        return Failure(f"simple_function_checker:{failure.error}", failure.detail)
    return failure


def _check_parallel(
    calls: list[DecodedCall], gold: list[Mapping[str, Any]], functions: list[Mapping[str, Any]]
) -> Failure | None:
    """Each gold call in its order takes the first free call that matches."""
    checker = "parallel_function_checker_no_order"
    if len(calls) != len(gold):
        return Failure(f"{checker}:wrong_count", f"expected {len(gold)} call(s), got {len(calls)}")
    free = list(range(len(calls)))
    for number, wanted in enumerate(gold, 1):
        function = _find(functions, next(iter(wanted)))
        why = ""
        for index in free:
            failure = _check_one(calls[index], wanted, function)
            if failure is None:
                free.remove(index)
                break
            why = why if failure.error.endswith("wrong_func_name") and why else failure.detail
        else:
            return Failure(f"{checker}:cannot_find_match", f"no call for number {number}: {why}")
    return None


def _find(functions: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(function for function in functions if function["name"] == name)
