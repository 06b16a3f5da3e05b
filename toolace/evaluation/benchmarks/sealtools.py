"""Seal-Tools: the calls that an instruction needs, from five candidate tools; nested calls among them.

Data: the fine-tuning files of fairyshine/Seal-Tools (Apache-2.0) at commit ce753ec, folder
`Seal-Tools_Dataset/dataset_for_finetune`: `test_in_domain.json`, `test_out_domain.json` and `dev.json` (also with
`finetune_` before the name), lists of `{id, conversations}`.

The paper's score, rule for rule as its `calculate_score_ToolLearning`:

- format accuracy: the share of answers that can be read as a list of calls;
- precision, recall and F1 of `api`: a predicted name hits where any gold call has it;
- the same of `parameter`: a predicted value hits where it is `str()`-equal to that of the first gold call of the name.
  An answer that cannot be read predicts nothing. What `responses` says is not looked at.

By these rules a right call that is repeated hits each time, so that recall can pass 1, and the second gold call of a
name is compared with the first. Beside it, therefore: exact match of the calls, and `name` and `argument` F1, in which
each gold call counts once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toolace.calls.formats import Answer
from toolace.calls.literals import UnreadableError, fail, read_value
from toolace.calls.schema import Call, Chat
from toolace.data.sources import seal_tools
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

CATEGORIES = ("test_in_domain", "test_out_domain", "dev")
_BELOW = ("dataset_for_finetune", "Seal-Tools_Dataset/dataset_for_finetune")
_LIST = re.compile(r"\[\s*+\{\s*+['\"](?:api|parameters|responses)['\"]")
_KINDS = ("api", "parameter", "name", "argument")


class SealTools(AsWritten):
    """Seal-Tools by its paper's measures, and exact match beside them."""

    name = "sealtools"

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """The rows of the files in `folder` or `dataset_for_finetune` below it, a category a file, under their ids."""
        rows = []
        for category in CATEGORIES:
            names = (f"finetune_{category}.json", f"{category}.json")
            if path := find_file(folder, names, _BELOW):
                rows += build_rows(path, read_list(path), partial(_place, category), _make)
        if not rows:
            raise nothing_found(self.name, folder, (f"{category}.json" for category in CATEGORIES))
        return rows

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """Whether the calls are the gold's in any order; the paper's counts are parts of the verdict."""
        if row.problem:
            return faulty(row)
        if not isinstance(output, str):
            return not_text(self.judge(row, ""))
        answer = read_seal(output)
        verdict = judge_calls(row, answer, row.gold, said=output)
        readable = bool(answer.calls) or (answer.error is None and not answer.text and bool(output.strip()))
        parts = {**(verdict.parts or {}), **paper_counts(answer.calls, row.gold), "readable": readable}
        return RowVerdict(row.id, row.category, verdict.correct, verdict.error, verdict.detail, parts)

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """For each file: format accuracy, P, R and F1 of api and parameter (the paper's), exact match and strict F1."""
        return group_scores(verdicts, sizes, {category: [category] for category in CATEGORIES}, _measure)


def _measure(verdicts: Sequence[RowVerdict]) -> dict[str, float]:
    readable = sum((verdict.parts or {}).get("readable", 0) for verdict in verdicts)
    found = {"format_accuracy": readable / len(verdicts) if verdicts else 0.0, "exact_match": accuracy(verdicts)}
    for kind in _KINDS:
        found |= f1_scores(verdicts, kind)
    return found


def paper_counts(calls: Sequence[Call], gold: Sequence[Call]) -> dict[str, float]:
    """The paper's counts: hits, predicted and gold of `api` and of `parameter`."""
    first: dict[str, Call] = {}
    for call in gold:
        first.setdefault(call.name, call)
    hits = [call for call in calls if call.name in first]
    return {
        "api_hits": len(hits),
        "api_predicted": len(calls),
        "api_gold": len(gold),
        "parameter_hits": sum(_equal(call.arguments, first[call.name].arguments) for call in hits),
        "parameter_predicted": sum(len(call.arguments) for call in calls),
        "parameter_gold": sum(len(call.arguments) for call in gold),
    }


def _equal(arguments: Mapping[str, Any], gold: Mapping[str, Any]) -> int:
    return sum(key in gold and str(value) == str(gold[key]) for key, value in arguments.items())


def read_seal(text: str) -> Answer:
    """The calls of an answer in the benchmark's own form `[{'api': ..., 'parameters': {...}}]`, in Python or JSON, else
    in any of the call formats. Never raises."""
    found = _LIST.search(text)
    if found is None:
        return read_calls(text)
    try:
        entries, end = read_value(text, found.start())
        calls = tuple(_call(entry, text, found.start()) for entry in entries)
    except UnreadableError as error:
        return Answer(text=text.strip(), error=str(error))
    except ValueError:  # half a surrogate pair in a name
        return Answer(text=text.strip(), error="the calls hold text that is not valid Unicode")
    return Answer(calls=calls, text=f"{text[: found.start()]} {text[end:]}".strip())


def _call(entry: Any, text: str, pos: int) -> Call:
    name = entry.get("api") if isinstance(entry, Mapping) else None
    arguments = (entry.get("parameters") or {}) if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        fail("expected objects with api and parameters", text, pos)
    return Call(name=name, arguments=arguments)


def _place(category: str, entry: Mapping[str, Any]) -> tuple[str | None, str]:
    row_id = entry.get("id")
    return row_id if isinstance(row_id, str) and row_id else None, category


def _make(entry: Mapping[str, Any]) -> tuple[Chat, tuple[Call, ...]]:
    dialogue = seal_tools.convert(entry)
    *turns, target = dialogue.turns
    return Chat(tools=tuple(dialogue.tools), messages=tuple(turns)), target.calls
