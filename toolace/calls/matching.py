"""Is an answer right? Matching of calls with a reference or with benchmark gold, equality of answers, verdicts.

The rules for one call are in `toolace.calls.bfcl`; this module counts, pairs and judges.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolace.calls.bfcl import Failure, check_accepted, check_plain
from toolace.calls.formats import Answer, CallFormat, parse_answer
from toolace.calls.schema import Call, Sample, Tool
from toolace.errors import DataError

Rules = Literal["bfcl", "strict"]
Assignment = Literal["bipartite", "greedy"]


@dataclass(frozen=True, slots=True)
class Match:
    """`error` is None where correct, else an error kind; `detail` is a sentence for a person.

    Kinds, as the Berkeley Function-Calling Leaderboard names them: `wrong_count`, `wrong_func_name`,
    `missing_required`, `unexpected_param`, `missing_optional`, `type_error:simple`, `type_error:nested`,
    `value_error:` with `string`, `list/tuple`, `dict_key`, `dict_value`, `list_dict_count` or `others`, and
    `cannot_find_match` for parallel calls.
    """

    correct: bool
    error: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judged answer. `error` is None where correct, else a kind of `Match` or one of

    - `no_call`: the reference has calls, the answer has none;
    - `decoder_failed`: the reference has calls, the answer is a broken attempt;
    - `unexpected_call`, `broken_call`, `empty`: the reference is text, the answer is a call, a broken attempt, nothing.
    """

    correct: bool
    error: str | None
    answer: Answer
    detail: str = ""


def judge(
    sample: Sample,
    text: str,
    format: CallFormat = "pythonic",
    *,
    rules: Rules = "bfcl",
    assignment: Assignment = "bipartite",
) -> Verdict:
    """Parse an answer and compare it with the sample's reference.

    Where the reference is text, any text without a call is right: what it says is not compared. Where the reference
    has calls, text around the calls does no harm (`Verdict.answer.text` holds it).
    """
    answer = parse_answer(text, format)
    if not sample.reference.calls:
        if answer.error is not None:
            return Verdict(False, "broken_call", answer, answer.error)
        if answer.calls:
            return Verdict(False, "unexpected_call", answer, f"called {answer.calls[0].name!r}, the reference is text")
        if not answer.text:
            return Verdict(False, "empty", answer, "the answer is empty")
        return Verdict(True, None, answer)
    if answer.error is not None:
        return Verdict(False, "decoder_failed", answer, answer.error)
    if not answer.calls:
        return Verdict(False, "no_call", answer, f"expected {len(sample.reference.calls)} call(s), got none")
    match = match_calls(answer.calls, sample.reference.calls, sample.chat.tools, rules=rules, assignment=assignment)
    return Verdict(match.correct, match.error, answer, match.detail)


def match_calls(
    calls: Sequence[Call],
    reference: Sequence[Call],
    tools: Sequence[Tool] = (),
    *,
    rules: Rules = "bfcl",
    assignment: Assignment = "bipartite",
    ordered: bool = False,
) -> Match:
    """Whether `calls` say the same as the `reference` calls, which hold one value for each parameter.

    rules: `bfcl` compares by `bfcl.check_plain` with the schemas in `tools` (equal calls are right whatever the schema
    says); `strict` wants equal names and JSON values: 1 is 1.0, true is not 1, "Paris" is not "paris".
    assignment: `bipartite` finds a pairing of parallel calls wherever one exists; `greedy` gives each reference call
    the first free match, as the benchmark does, and can miss one. `ordered` pairs by position instead.
    """
    if len(calls) != len(reference):
        return Match(False, "wrong_count", f"expected {len(reference)} call(s), got {len(calls)}")
    if all(map(_same_call, calls, reference)):
        return Match(True)
    # The benchmark's rules tell 1 from 1.0: an integer for a float is right, a float for an integer is not.
    key = call_key if rules == "strict" else _exact_key
    keys, wanted = list(map(key, calls)), list(map(key, reference))
    if keys == wanted or (not ordered and sorted(keys) == sorted(wanted)):
        return Match(True)

    schemas = {tool.name: tool.parameters for tool in tools}

    def check(i: int, j: int) -> Failure | None:
        if keys[i] == wanted[j]:
            return None
        if rules == "strict":
            return _strict_failure(calls[i], reference[j])
        return check_plain(calls[i], reference[j], schemas.get(reference[j].name) or {})

    return _pair(check, len(calls), assignment, ordered)


def match_gold(
    calls: Sequence[Call],
    gold: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]],
    tools: Sequence[Tool],
    category: str,
    *,
    assignment: Assignment = "bipartite",
) -> Match:
    """Whether `calls` match a row of the Berkeley Function-Calling Leaderboard (Python categories).

    gold: `[{name: {parameter: [acceptable value, ...]}}, ...]`, `""` where a parameter may be left out. `category`
    chooses by its name: with `parallel` all gold calls in any order; with `multiple` one call, checked against the
    schema of the gold function; else one call, checked against the first tool. `greedy` gives the official score.
    """
    if not gold:
        raise DataError(f"category {category!r}: the gold holds no call; judge such a row by the absence of calls")
    pairs = [next(iter(entry.items())) for entry in gold]
    parallel = "parallel" in category
    if len(calls) != (len(pairs) if parallel else 1):
        return Match(False, "wrong_count", f"expected {len(pairs) if parallel else 1} call(s), got {len(calls)}")
    by_name = {tool.name: tool for tool in reversed(tools)}

    def check(i: int, j: int) -> Failure | None:
        name, accepted = pairs[j]
        tool = by_name.get(name) if parallel or "multiple" in category else next(iter(tools), None)
        if tool is None:
            raise DataError(f"category {category!r}: the gold function {name!r} is not among the tools")
        return check_accepted(calls[i], tool.name, accepted, tool.parameters)

    if not parallel:
        return _match(check(0, 0))
    return _pair(check, len(calls), assignment, ordered=False, parallel=True)


def same_calls(a: Answer, b: Answer) -> bool:
    """Whether two answers are the same: equal calls in any order; equal text where neither has calls.

    A broken attempt is its text. This is the stop rule of adaptive refinement.
    """
    if a.calls or b.calls:
        return Counter(map(call_key, a.calls)) == Counter(map(call_key, b.calls))
    return (a.error is None) == (b.error is None) and a.text == b.text


def call_key(call: Call) -> str:
    """A text that is equal for equal calls: JSON with sorted keys, where 1.0 is written as 1."""
    return json.dumps([call.name, _numbers(call.arguments)], sort_keys=True, ensure_ascii=False)


def _exact_key(call: Call) -> str:
    return json.dumps([call.name, call.arguments], sort_keys=True, ensure_ascii=False)


def _same_call(a: Call, b: Call) -> bool:
    """Whether two calls are equal down to the types of their values, which their keys are then too. Cheap."""
    return a.name == b.name and _same(a.arguments, b.arguments)


def _same(a: Any, b: Any) -> bool:
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is dict:
        return len(a) == len(b) and all(key in b and _same(item, b[key]) for key, item in a.items())
    if kind is list:
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _numbers(value: Any) -> Any:
    """The value with whole floats as integers, as far as floats hold every integer (2**53)."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= 2**53 else value
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(item) for item in value]
    return value


def _strict_failure(call: Call, reference: Call) -> Failure:
    """Why two calls with different keys differ."""
    if call.name != reference.name:
        return Failure("wrong_func_name", f"expected {reference.name!r}, got {call.name!r}")
    for key in call.arguments:
        if key not in reference.arguments:
            return Failure("unexpected_param", f"{call.name}: {key!r} is not expected")
    for key in reference.arguments:
        if key not in call.arguments:
            return Failure("missing_optional", f"{call.name}: {key!r} is missing")
    return Failure("value_error:others", f"expected {reference.arguments!r:.160}, got {call.arguments!r:.160}")


def _match(failure: Failure | None) -> Match:
    return Match(True) if failure is None else Match(False, failure.error, failure.detail)


def _pair(
    check: Callable[[int, int], Failure | None],
    count: int,
    assignment: Assignment,
    ordered: bool,
    parallel: bool | None = None,
) -> Match:
    """Pair `count` calls (first index) with as many wanted ones (second index)."""
    if ordered or not (count > 1 if parallel is None else parallel):
        return next((_match(failure) for i in range(count) if (failure := check(i, i))), Match(True))
    find = _first_free if assignment == "greedy" else _augment
    failures: dict[tuple[int, int], Failure | None] = {}

    def fits(i: int, j: int) -> bool:
        if (i, j) not in failures:
            failures[i, j] = check(i, j)
        return failures[i, j] is None

    owner: dict[int, int] = {}  # call -> wanted call that it is paired with
    for j in range(count):
        if not find(j, count, owner, fits):
            tried = (failure for (_, k), failure in failures.items() if k == j and failure)
            nearest = next((f for f in sorted(tried, key=lambda f: f.error == "wrong_func_name")), None)
            return Match(False, "cannot_find_match", f"no call for number {j + 1}: {nearest.detail if nearest else ''}")
    return Match(True)


def _first_free(j: int, count: int, owner: dict[int, int], fits: Callable[[int, int], bool]) -> bool:
    for i in range(count):
        if i not in owner and fits(i, j):
            owner[i] = j
            return True
    return False


def _augment(j: int, count: int, owner: dict[int, int], fits: Callable[[int, int], bool]) -> bool:
    """Pair `j` too, moving earlier pairs along an augmenting path (breadth first); False where there is none."""
    came_from: dict[int, int] = {}  # call -> wanted call from which it was reached
    queue = [j]
    for wanted in queue:
        for i in range(count):
            if i in came_from or not fits(i, wanted):
                continue
            came_from[i] = wanted
            if i in owner:
                queue.append(owner[i])
                continue
            while (wanted := came_from[i]) != j:  # walk back to j, handing each call on the path to its new owner
                previous = next(call for call, paired in owner.items() if paired == wanted)
                owner[i] = wanted
                i = previous
            owner[i] = j
            return True
    return False
