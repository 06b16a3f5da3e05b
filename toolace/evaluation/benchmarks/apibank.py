"""API-Bank, levels 1 and 2: one API request from a dialogue.

Data: `level-1-api.json` and `level-2-api.json` of AlibabaResearch/DAMO-ConvAI (Apache-2.0) at commit 1d76900, folder
`api-bank/test-data`: lists of `{file, id, instruction, input, expected_output}`, the gold one request
`API-Request: [Name(key='value', ...)]`.

The official score reads an answer with regular expressions, which cut lists and quotes, runs simulated APIs, and asks
each API whether the result will do: the gold itself passes in 337 of 399 rows of level 1. Level 2 needs a retrieval
model for its tool search. Here instead: the structured call must be the gold's, name and arguments. Values are compared
as text, since the format puts all of them in quotes. A search's keywords are free words that nobody can guess in full,
so level 2 is also given without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from toolace.calls.formats import Answer
from toolace.calls.schema import Call, Chat
from toolace.data.records import RowError
from toolace.data.sources import api_bank
from toolace.evaluation.benchmarks.base import BenchmarkRow, Output, RowVerdict
from toolace.evaluation.benchmarks.common import (
    AsWritten,
    accuracy,
    build_rows,
    f1_scores,
    faulty,
    find_file,
    group_scores,
    judge_calls,
    not_text,
    nothing_found,
    read_calls,
    read_list,
)

FILES = {"level-1": "level-1-api.json", "level-2": "level-2-api.json"}
SEARCH = "ToolSearcher"
_PREFIX = "API-Request:"


class ApiBank(AsWritten):
    """API-Bank by exact structured match, and precision, recall and F1 of names and arguments."""

    name = "apibank"

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """The rows of the levels that are in `folder` or its `test-data`; ids are `FILE/ID`, as `file` and `id` say."""
        rows = []
        for level, file in FILES.items():
            if path := find_file(folder, [file], ["test-data", "api-bank/test-data"]):
                rows += build_rows(path, read_list(path), partial(_place, level), _make)
        if not rows:
            raise nothing_found(self.name, folder, FILES.values())
        return rows

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """Whether the one call of the output is the gold's; text around it does no harm."""
        if row.problem:
            return faulty(row)
        if not isinstance(output, str):
            return not_text(self.judge(row, ""))
        gold: Call = row.gold
        verdict = judge_calls(row, _read(output), [gold], said=output, literals=True)
        return replace(verdict, parts={**(verdict.parts or {}), "search": gold.name == SEARCH})

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """For each level: exact match, without tool searches too where there are any, and F1 of names and arguments."""
        return group_scores(verdicts, sizes, {level: [level] for level in FILES}, _measure)


def _place(level: str, entry: Mapping[str, Any]) -> tuple[str | None, str]:
    file, number = entry.get("file"), entry.get("id")
    return f"{file}/{number}" if isinstance(file, str) and isinstance(number, int | str) else None, level


def _make(entry: Mapping[str, Any]) -> tuple[Chat, Call]:
    dialogue = api_bank.convert(entry)
    *turns, target = dialogue.turns
    if len(target.calls) != 1:
        raise RowError("bad_row: expected_output is not one API request")
    if not turns:
        raise RowError("bad_row: input holds no turn")
    return Chat(tools=tuple(dialogue.tools), messages=tuple(turns)), target.calls[0]


def _read(text: str) -> Answer:
    """The calls of an answer; where its quotes do not close as in the gold's own `'['John']'`, cut at `, key=`."""
    answer = read_calls(text)
    start = text.rfind(_PREFIX)
    if answer.calls or (answer.error is None and start < 0):
        return answer
    try:
        return Answer(calls=api_bank.read_request(text[max(start, 0) :].removeprefix(_PREFIX).strip()).calls)
    except ValueError:
        return answer


def _measure(verdicts: Sequence[RowVerdict]) -> dict[str, float]:
    found = {"exact_match": accuracy(verdicts)}
    real = [verdict for verdict in verdicts if not (verdict.parts or {}).get("search")]
    if 0 < len(real) < len(verdicts):
        found["exact_match_without_search"] = accuracy(real)
    return found | f1_scores(verdicts, "name") | f1_scores(verdicts, "argument")
