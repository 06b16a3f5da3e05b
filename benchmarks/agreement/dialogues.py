"""Answers to multi-turn rows, of many kinds, made from their gold calls. Deterministic.

A mutation is a function from the gold's calls (a list for each turn, every argument by its name) and a random generator
(seeded by row and kind) to an output: a list of steps, raw texts, for each turn; None where it does not apply.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator

from toolace.evaluation.benchmarks.base import BenchmarkRow

Turns = list[list[str]]
Mutation = Callable[[Turns, random.Random], Turns | None]
MUTATIONS: dict[str, Mutation] = {}
_NUMBER = re.compile(r"(?<==)-?\d+(?:\.\d+)?(?=[,)])")
_TEXT = re.compile(r"(?<==)'([^']*)'(?=[,)])")


def outputs(row: BenchmarkRow) -> Iterator[tuple[str, Turns]]:
    """(kind of mutation, output) for each kind that applies to the row."""
    turns = gold_turns(row)
    for kind, mutate in MUTATIONS.items():
        output = mutate([list(calls) for calls in turns], random.Random(f"{row.id}/{kind}"))
        if output is not None:
            yield kind, output


def gold_turns(row: BenchmarkRow) -> Turns:
    """The gold's calls with names for all arguments: some are written without, which the official decoder drops."""
    assert row.dialogue is not None
    tools = [*row.chat.tools, *(tool for tools in row.dialogue.held.values() for tool in tools)]
    names = {tool.name: list(tool.parameters["properties"]) for tool in tools}
    return [[_named(call, names) for call in calls] for calls in row.gold]


def _named(source: str, names: dict[str, list[str]]) -> str:
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    given = zip(names.get(call.func.id, ()), call.args, strict=False)
    call.keywords = [*(ast.keyword(name, value) for name, value in given), *call.keywords]
    call.args = []
    return ast.unparse(call)


def _step(calls: list[str]) -> str:
    return "[" + ", ".join(calls) + "]"


def _steps(turns: Turns) -> Turns:
    """Each turn's calls in one step."""
    return [[_step(calls)] for calls in turns]


def mutation(function: Mutation) -> Mutation:
    MUTATIONS["turns_" + function.__name__] = function
    return function


def _somewhere(turns: Turns, rng: random.Random) -> tuple[int, int]:
    """A turn and a call in it."""
    return rng.choice([(turn, number) for turn, calls in enumerate(turns) for number in range(len(calls))])


def _text_mutation(name: str, change: Callable[[str], str]) -> None:
    MUTATIONS["turns_" + name] = lambda turns, rng: [[change(_step(calls))] for calls in turns]


def _value_mutation(name: str, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]) -> None:
    def mutate(turns: Turns, rng: random.Random) -> Turns | None:
        places = [
            (turn, number) for turn, calls in enumerate(turns) for number, c in enumerate(calls) if pattern.search(c)
        ]
        if not places:
            return None
        turn, number = rng.choice(places)
        turns[turn][number] = pattern.sub(change, turns[turn][number], count=1)
        return _steps(turns)

    MUTATIONS["turns_" + name] = mutate


@mutation
def gold(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps(turns)


@mutation
def a_step_a_call(turns: Turns, rng: random.Random) -> Turns | None:
    return [[*(_step([call]) for call in calls), "That is done."] for calls in turns]


@mutation
def call_dropped(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    del turns[turn][number]
    return _steps(turns)


@mutation
def last_call_dropped(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps([calls[:-1] for calls in turns])


@mutation
def call_repeated(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[turn].insert(number, turns[turn][number])
    return _steps(turns)


@mutation
def call_of_another_turn(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[rng.randrange(len(turns))].append(turns[turn][number])
    return _steps(turns)


@mutation
def calls_reversed(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps([calls[::-1] for calls in turns])


@mutation
def all_in_the_first_turn(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps([[call for calls in turns for call in calls], *([] for _ in turns[1:])])


@mutation
def a_turn_late(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps([[], *turns[:-1]])


@mutation
def turn_emptied(turns: Turns, rng: random.Random) -> Turns | None:
    turns[rng.randrange(len(turns))] = []
    return _steps(turns)


@mutation
def turn_without_steps(turns: Turns, rng: random.Random) -> Turns | None:
    output = _steps(turns)
    output[rng.randrange(len(turns))] = []
    return output


@mutation
def turn_dropped(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps(turns[:-1])


@mutation
def turn_added(turns: Turns, rng: random.Random) -> Turns | None:
    return _steps([*turns, []])


@mutation
def no_turns(turns: Turns, rng: random.Random) -> Turns | None:
    return []


@mutation
def other_name(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[turn][number] = turns[turn][number].replace("(", "_x(", 1)
    return _steps(turns)


@mutation
def argument_added(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    call = turns[turn][number]
    turns[turn][number] = call[:-1] + (", " if call[-2] != "(" else "") + "zz=1)"
    return _steps(turns)


@mutation
def arguments_dropped(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[turn][number] = turns[turn][number].partition("(")[0] + "()"
    return _steps(turns)


@mutation
def arguments_without_names(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[turn][number] = re.sub(r"(?<=[(, ])\w+=", "", turns[turn][number])
    return _steps(turns)


@mutation
def prose_between(turns: Turns, rng: random.Random) -> Turns | None:
    return [["I will see to it.", _step(calls), "", "[]", "Done."] for calls in turns]


@mutation
def prose_in_a_turn(turns: Turns, rng: random.Random) -> Turns | None:
    output = _steps(turns)
    output[rng.randrange(len(turns))] = ["I am sorry, a function is missing."]
    return output


@mutation
def blocked_call(turns: Turns, rng: random.Random) -> Turns | None:
    turns[-1] += ["exit()", "print(sep='x')", "len(obj=1)"]
    return _steps(turns)


@mutation
def nested_call(turns: Turns, rng: random.Random) -> Turns | None:
    turn, number = _somewhere(turns, rng)
    turns[turn].append(f"str(object={turns[turn][number]})")
    return _steps(turns)


_value_mutation("number_changed", _NUMBER, lambda found: f"{found[0]}7")
_value_mutation("number_as_text", _NUMBER, lambda found: f"'{found[0]}'")
_value_mutation("number_added_up", _NUMBER, lambda found: f"{found[0]} + 0")
_value_mutation("text_changed", _TEXT, lambda found: f"'{found[1]}x'")
_value_mutation("text_upper_case", _TEXT, lambda found: f"'{found[1].upper()}'")
_value_mutation("text_bare", _TEXT, lambda found: found[1])
_text_mutation("empty", lambda text: "")
_text_mutation("empty_list", lambda text: "[]")
_text_mutation("fence", lambda text: f"```\n{text}\n```")
_text_mutation("fence_python", lambda text: f"```python\n{text}\n```")
_text_mutation("prose_before", lambda text: f"Here are the calls: {text}")
_text_mutation("no_brackets", lambda text: text[1:-1])
_text_mutation("cut_at_the_end", lambda text: text[:-3])
