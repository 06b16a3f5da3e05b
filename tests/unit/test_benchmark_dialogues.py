"""The program that holds a dialogue of BFCL with a model: turns, steps, tools that come later, arms."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.config import RefineConfig
from toolace.errors import RolloutError
from toolace.evaluation.benchmarks.base import BenchmarkRow, Dialogue
from toolace.evaluation.benchmarks.bfcl import Backends
from toolace.evaluation.benchmarks.running import questions
from toolace.evaluation.dialogue import MOST_STEPS, answer_row
from toolace.rollouts.program import Completion, Request, drive

ENTRY = {"id": "multi_turn_base_0", "initial_config": {"a": 1}, "involved_classes": []}
DIALOGUE = Dialogue(
    turns=((Message(role="user", content="two"),), (Message(role="user", content="three"),)),
    entry=ENTRY,
    held={1: (Tool(name="held"),)},
)
CHAT = Chat(tools=(Tool(name="f"),), messages=(Message(role="user", content="one"),))
OPTIONS: dict[str, Any] = {
    "refine_config": RefineConfig(),
    "format": "pythonic",
    "dialogues": {"multi_turn_base_0": DIALOGUE},
}


def backends(entry: Mapping[str, Any], texts: Sequence[str]) -> list[str] | None:
    """A result that tells how many steps with calls there were."""
    assert entry is ENTRY
    if "hang" in texts[-1]:
        raise RolloutError("timeout")
    return [f"r{len(texts)}"] * texts[-1].count("(") if texts[-1].startswith("[") else None


def hold(answers: Mapping[str, str], **changes: Any) -> tuple[dict[str, Any], list[Chat]]:
    """Hold the dialogue with a model that answers the last message by `answers`; the record, and what was asked."""
    asked: list[Chat] = []

    def answer(request: Request) -> Completion:
        asked.append(request.chat)
        last = request.chat.messages[-1].content
        draft = request.chat.messages[-2].content if last.startswith("Check the answer") else None
        text = answers.get(f"draft {draft}", draft) if draft is not None else answers[last]
        return Completion(text, tokens=2, prompt_tokens=10)

    (sample,) = questions([row_of(CHAT)])
    return drive(answer_row(sample, **OPTIONS | {"execute": backends} | changes), answer), asked


def row_of(chat: Chat) -> BenchmarkRow:
    return BenchmarkRow("multi_turn_base_0", "multi_turn_base", chat, {}, [[], [], []])


def test_a_dialogue_goes_turn_by_turn_and_step_by_step() -> None:
    script = {"one": "[f(n=1), f(n=2)]", "r1": "done", "two": "sorry", "three": "[held(n=3)]", "r2": "end"}
    record, asked = hold(script, refine_config=RefineConfig(max_rounds=0))
    turns = (("[f(n=1), f(n=2)]", "done"), ("sorry",), ("[held(n=3)]", "end"))
    assert record["arms"]["direct"] == record["arms"]["adaptive"]
    direct = record["arms"]["direct"]
    assert (direct["turns"], direct["text"], direct["stopped"]) == (turns, "end", "direct")
    assert (direct["model_calls"], direct["tokens"], direct["prompt_tokens"]) == (5, 10, 50)
    assert record["asked"] == len(asked) == 5, "an arm asked again what was answered"
    assert [[tool.name for tool in chat.tools] for chat in asked] == [["f"], ["f"]] + [["f", "held"]] * 3
    assert asked[1].messages[1:] == (
        Message(role="assistant", calls=(Call(name="f", arguments={"n": 1}), Call(name="f", arguments={"n": 2}))),
        Message(role="tool", content="r1", name="f"),
        Message(role="tool", content="r1", name="f"),
    )
    assert [m.role for m in asked[2].messages] == ["user", "assistant", "tool", "tool", "assistant", "user"]


def test_an_arm_that_refines_executes_what_it_ended_with() -> None:
    script = {"one": "[f(n=1)]", "draft [f(n=1)]": "[f(n=5)]", "r1": "a", "two": "b", "three": "c"}
    record, _ = hold(script, fixed_rounds=(1,))
    arms = record["arms"]
    assert list(arms) == ["direct", "adaptive", "fixed_1"]
    assert arms["direct"]["turns"][0] == ("[f(n=1)]", "a") and arms["adaptive"]["turns"][0] == ("[f(n=5)]", "a")
    assert arms["direct"]["model_calls"] == 4 and arms["fixed_1"]["rounds"] == 4
    assert arms["adaptive"]["model_calls"] == 3 + 3 * 2  # the changed step asks once more


def test_too_many_steps_end_the_dialogue() -> None:
    record, _ = hold({"one": "[f()]", **{f"r{n}": "[f()]" for n in range(1, 99)}})
    assert record["arms"]["direct"]["turns"] == (("[f()]",) * (MOST_STEPS + 1),)
    last = {f"r{n}": "[f()]" for n in range(1, MOST_STEPS)} | {f"r{MOST_STEPS}": "end", "two": "b", "three": "c"}
    record, _ = hold({"one": "[f()]", **last})
    assert record["arms"]["direct"]["turns"] == (("[f()]",) * MOST_STEPS + ("end",), ("b",), ("c",))


def test_calls_that_stop_the_backends_end_the_dialogue() -> None:
    record, _ = hold({"one": "a", "two": "[hang()]"})
    assert record["arms"]["direct"]["turns"] == (("a",), ("[hang()]",))


def test_a_dialogue_that_only_refining_makes_too_long_is_lost_to_that_arm_alone() -> None:
    (sample,) = questions([row_of(CHAT)])
    script = {"one": "[f(n=1)]", "r1": "a", "two": "b", "three": "c"}

    def answer(beyond: str, request: Request) -> Completion:
        last = request.chat.messages[-1].content
        if last.startswith("Check the answer"):
            return Completion("[f(n=55555)]" if request.chat.messages[-2].content == "[f(n=1)]" else "b")
        if last == beyond and "55555" in str(request.chat.messages):
            assert request.optional
            return Completion("", "too_long")
        return Completion(script[last])

    program = partial(answer_row, **OPTIONS | {"execute": backends, "fixed_rounds": (1,)})
    for beyond, turns, rounds in (("three", (("[f(n=55555)]", "b"), ("b",)), 3), ("r1", (), 1)):
        record = drive(program(sample), partial(answer, beyond))
        assert record["arms"]["direct"]["turns"] == (("[f(n=1)]", "a"), ("b",), ("c",))
        fixed = record["arms"]["fixed_1"]
        assert (fixed["turns"], fixed["stopped"], fixed["rounds"]) == (turns, "context", rounds)


def test_the_program_of_dialogues_can_travel(tmp_path: Path) -> None:
    program = partial(answer_row, **OPTIONS | {"execute": Backends(tmp_path, "hermes")})
    assert pickle.loads(pickle.dumps(program)).keywords["execute"] == Backends(tmp_path, "hermes")
    (sample,) = questions([row_of(CHAT)])
    with pytest.raises(RolloutError, match="nothing executes"):
        drive(answer_row(sample, **OPTIONS | {"execute": None}), lambda request: Completion(""))
