"""ToolAlpaca: the set of calls that answers an instruction, from one pass over the tools of one API.

Data: `eval_simulated.json` and `eval_real.json` of tangqiaoyu/ToolAlpaca (Apache-2.0) at commit 1890699, folder
`data`: a list of APIs with `Documentation` (OpenAPI as JSON text), `Instructions` and, for each of these,
`Golden_Answers`, a list of `{Action, Action_Input}`.

The official score is a GPT-4 judge over a run with live or simulated tools. Here instead, without a judge: the calls
must be the golden ones in any order, and precision, recall and F1 of names and arguments in the manner of Hammer's
evaluation. What the golden answers cannot know is not compared:

- A placeholder such as `${animeId from searchAnime}` stands for a result, or for what is left to the model: any value
  of that parameter is right. So is any question to the user (`getDetails`, a tool of the official agent).
- An action marked `[Optional]` may be left out.
- An empty string counts as not given.

Instructions whose golden answer needs a result or the user's reply are a category of their own, `..._dependent`: a
single pass must guess there. The others are `..._closed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.data.records import RowError, parse_json, shorten
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
    keyed,
    not_text,
    nothing_found,
    read_calls,
    read_list,
)
from toolace.evaluation.benchmarks.openapi import read_tools

FILES = {"simulated": "eval_simulated.json", "real": "eval_real.json"}
ASK = "getDetails"
_ASK_TOOL = Tool(
    name=ASK,
    description="Ask the user for details that the request leaves open and that a function needs.",
    parameters={
        "type": "object",
        "properties": {"Question": {"type": "string", "description": "What to ask the user."}},
        "required": ["Question"],
    },
)
_OPTIONAL = "[Optional]"
_CLOSED, _DEPENDENT = "_closed", "_dependent"
_BARE = re.compile(r"\$\{[^{}\"]*\}")
_PLACEHOLDER = re.compile(r"\$?\{[^{}]+\}")
_OPEN = re.compile(r"\$\{|\"\{[^{}\"]+\}\"")
"""A placeholder in the text of an action, faulty text included."""
_ANY = "${any}"


class Gold(NamedTuple):
    """The golden calls of an instruction; `optional` ones may be left out."""

    calls: tuple[Call, ...]
    optional: tuple[Call, ...] = ()


class ToolAlpaca(AsWritten):
    """ToolAlpaca by exact match of the call set, and precision, recall and F1 of names and arguments."""

    name = "toolalpaca"

    def load(self, folder: Path) -> list[BenchmarkRow]:
        """The instructions of the files in `folder` or its `data`; ids are `simulated-API-INSTRUCTION`, from 0."""
        rows = []
        for split, file in FILES.items():
            if path := find_file(folder, [file], ["data"]):
                entries = [entry for number, api in enumerate(read_list(path)) for entry in _instructions(number, api)]
                rows += build_rows(path, entries, partial(_place, split), _make)
        if not rows:
            raise nothing_found(self.name, folder, FILES.values())
        return rows

    def judge(self, row: BenchmarkRow, output: Output) -> RowVerdict:
        """Whether the calls of the output are the golden ones, in any order."""
        if row.problem:
            return faulty(row)
        if not isinstance(output, str):
            return not_text(self.judge(row, ""))
        answer, gold = read_calls(output), row.gold
        named = {call.name for call in answer.calls}
        wanted = gold.calls + tuple(call for call in gold.optional if call.name in named)
        if row.category.endswith(_DEPENDENT):
            answer = replace(answer, calls=tuple(fill_placeholders(answer.calls, wanted)))
        return judge_calls(row, answer, wanted, said=output)

    def scores(self, verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
        """For each file, and for its closed and dependent instructions: exact match, F1 of names and arguments."""
        groups: dict[str, Sequence[str]] = {}
        for split in FILES:
            parts = [split + _CLOSED, split + _DEPENDENT]
            groups |= {split: parts} | {part: [part] for part in parts}
        return group_scores(verdicts, sizes, groups, _measure)


def _measure(verdicts: Sequence[RowVerdict]) -> dict[str, float]:
    return {"exact_match": accuracy(verdicts)} | f1_scores(verdicts, "name") | f1_scores(verdicts, "argument")


def fill_placeholders(calls: Sequence[Call], gold: Sequence[Call]) -> list[Call]:
    """The calls with the gold's placeholders in the places where the gold has one.

    A gold call gives them to the call that it then equals, else to the first call of its name that has got none.
    """
    filled = list(calls)
    free = list(range(len(filled)))
    later = []
    for wanted in gold:
        key = keyed([wanted])
        for i in free:
            if filled[i].name == wanted.name and keyed([given := _filled(filled[i], wanted)]) == key:
                filled[i] = given
                free.remove(i)
                break
        else:
            later.append(wanted)
    for wanted in later:
        match = next((i for i in free if filled[i].name == wanted.name), None)
        if match is not None:
            filled[match] = _filled(filled[match], wanted)
            free.remove(match)
    return filled


def _filled(call: Call, gold: Call) -> Call:
    if call.name != gold.name:
        return call
    return Call(name=call.name, arguments=_fill(call.arguments, gold.arguments))


def _fill(value: Any, gold: Any) -> Any:
    if isinstance(gold, str):
        return gold if _PLACEHOLDER.fullmatch(gold) and value != "" else value
    if isinstance(gold, Mapping) and isinstance(value, Mapping):
        return {key: _fill(item, gold[key]) if key in gold else item for key, item in value.items()}
    if isinstance(gold, list) and isinstance(value, list) and len(gold) == len(value):
        return [_fill(item, wanted) for item, wanted in zip(value, gold, strict=True)]
    return value


def _instructions(number: int, api: Any) -> list[Any]:
    """An API as one entry an instruction; an API that is no object, or has no instructions, is one bad entry."""
    instructions = api.get("Instructions") if isinstance(api, Mapping) else None
    answers = api.get("Golden_Answers") if isinstance(api, Mapping) else None
    if not isinstance(instructions, list) or not instructions:
        return [{"at": [number, 0], "problem": "bad_row: an API without a list of Instructions"}]
    answers = answers if isinstance(answers, list) else []
    return [
        {"at": [number, index], "api": api.get("Name"), "documentation": api.get("Documentation")}
        | {"instruction": instruction, "golden_answer": answer}
        for index, (instruction, answer) in enumerate(zip_longest(instructions, answers))
    ]


def _place(split: str, entry: Mapping[str, Any]) -> tuple[str | None, str]:
    """Id and category; whether an answer is dependent is seen from its text, since faulty ones have a place too."""
    if "at" not in entry:
        return None, split + _CLOSED
    actions = entry.get("golden_answer")
    dependent = isinstance(actions, list) and any(
        isinstance(action, Mapping) and (action.get("Action") == ASK or _OPEN.search(str(action.get("Action_Input"))))
        for action in actions
    )
    return f"{split}-{entry['at'][0]}-{entry['at'][1]}", split + (_DEPENDENT if dependent else _CLOSED)


def _make(entry: Mapping[str, Any]) -> tuple[Chat, Gold]:
    if "problem" in entry:
        raise RowError(entry["problem"])
    instruction, answer = entry["instruction"], entry["golden_answer"]
    if not isinstance(instruction, str) or not instruction.strip():
        raise RowError(f"bad_row: the instruction is {shorten(instruction)}")
    if not isinstance(answer, list) or not answer:
        raise RowError(f"bad_row: the golden answer is {shorten(answer)}, not a list of actions")
    found = [_golden(action) for action in answer]
    gold = Gold(*(tuple(call for call, optional in found if optional is kind) for kind in (False, True)))
    tools = (*read_tools(entry["documentation"]), _ASK_TOOL)
    return Chat(tools=tools, messages=(Message(role="user", content=instruction.strip()),)), gold


def _golden(action: Any) -> tuple[Call, bool]:
    """A golden action as a call, and whether it may be left out. Bare placeholders become strings."""
    name = action.get("Action") if isinstance(action, Mapping) else None
    text = action.get("Action_Input") if isinstance(action, Mapping) else None
    if not isinstance(name, str) or not name.removeprefix(_OPTIONAL).strip() or not isinstance(text, str):
        raise RowError(f"bad_row: a golden action is {shorten(action)}, not Action and Action_Input")
    arguments: Any = None
    for candidate in (text, _BARE.sub(lambda found: json.dumps(found.group()), text)):
        try:
            arguments = parse_json(candidate)
            break
        except ValueError:
            continue
    if not isinstance(arguments, dict):
        raise RowError(f"bad_row: Action_Input of {name} is not a JSON object, {shorten(text)}")
    name, optional = name.removeprefix(_OPTIONAL).strip(), name.startswith(_OPTIONAL)
    if name == ASK:
        arguments = dict.fromkeys(arguments, _ANY)
    return Call(name=name, arguments=arguments), optional
