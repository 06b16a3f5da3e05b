"""ToolRL rows (rlla): tools in the instruction, the history as tagged text, the answer as <tool_call> and <response>.

Read from `{instruction, input, output}` rows and from the reinforcement-learning parquet (`prompt`, `reward_model`).
Each row is one target already. Thoughts (`<think>`) are left out: most were added by another model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from toolace.calls.schema import Call, Message, Tool
from toolace.data.records import Dialogue, RowError, parse_json, shorten
from toolace.data.schemas import make_tool
from toolace.data.turns import json_call, tool_turns

NEEDS = "`instruction` with **Available Tools**, `input` and `output`; or `prompt` and `reward_model`"

HISTORY = "**Dialogue Records History**"
_TOOLS = re.compile(r"\*\*Available Tools\*\*.*?tools:\n(.*?)\n\s*\*\*Steps for Each Turn\*\*", re.DOTALL)
_TOOL = re.compile(r"^\d+\. Name: (.*)\nDescription: ((?:.|\n)*?)\nParameters: (.*)$", re.MULTILINE)
_TAGGED = re.compile(r"\s*<(user|think|tool_call|obs|response)>(.*?)</\1>", re.DOTALL)


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    return "**Available Tools**" in _parts(row)[0]


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    instruction, history, output = _parts(row)
    tools = _tools(instruction)
    turns = _turns(history.partition(HISTORY)[2] or history)
    answer = output.rpartition("</think>")[2]
    target = _assistant(answer)
    if target is None:
        raise RowError(f"empty_answer: neither <tool_call> nor <response> in {shorten(answer)}")
    return Dialogue(tools, [*turns, target], last_only=True)


def _parts(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """(instruction, history, output); empty texts where the row is in another format."""
    if "instruction" in row and "input" in row and "output" in row:
        values = (row["instruction"], row["input"], row["output"])
    else:
        prompt, reward = row.get("prompt"), row.get("reward_model")
        if not isinstance(prompt, list) or len(prompt) != 2 or not isinstance(reward, Mapping):
            return "", "", ""
        contents = [turn.get("content") if isinstance(turn, Mapping) else None for turn in prompt]
        values = (contents[0], contents[1], reward.get("ground_truth"))
    instruction, history, output = (value if isinstance(value, str) else "" for value in values)
    return instruction, history, output


def _tools(instruction: str) -> list[Tool]:
    section = _TOOLS.search(instruction)
    if not section:
        raise RowError("bad_tools: no tools between **Available Tools** and **Steps for Each Turn**")
    found = _TOOL.findall(section.group(1))
    numbered = len(re.findall(r"^\d+\. Name: ", section.group(1), re.MULTILINE))
    if not found or len(found) != numbered:
        raise RowError(f"bad_tools: {len(found)} of {numbered} tools of the instruction have all their lines")
    # The authors dropped the `required` lists and wrote an empty default where there was none.
    return [make_tool(name, text, parameters, filler="") for name, text, parameters in found]


def _turns(history: str) -> list[Message]:
    """Tagged history as messages. Raises `RowError` for text outside the tags."""
    turns: list[Message] = []
    position = 0
    while position < len(history.rstrip()):
        found = _TAGGED.match(history, position)
        if not found:
            raise RowError(f"bad_row: the history has text outside its tags, {shorten(history[position:][:80])}")
        tag, text = found.group(1), found.group(2).strip()
        if tag == "user":
            turns.append(Message(role="user", content=text))
        elif tag == "obs":
            turns.extend(tool_turns(text, turns[-1].calls if turns else ()))
        elif tag != "think":
            turn = _assistant(found.group(0))
            before = turns[-1] if turns else None
            if turn and before is not None and before.role == "assistant" and before.calls:
                # <tool_call> and <response> of one turn
                turns[-1] = before.model_copy(update={"content": turn.content})
            elif turn:
                turns.append(turn)
        position = found.end()
    if not turns:
        raise RowError("no_messages: the history is empty")
    return turns


def _assistant(text: str) -> Message | None:
    """The answer in `<tool_call>` and `<response>` tags, None where there is neither."""
    said = re.search(r"<response>(.*?)(?:</response>|\Z)", text, re.DOTALL)
    called = re.search(r"<tool_call>(.*?)(?:</tool_call>|\Z)", text, re.DOTALL)
    content = said.group(1).strip() if said else ""
    calls = tuple(_call(line) for line in called.group(1).strip().splitlines() if line.strip()) if called else ()
    if not calls and not content:
        return None
    return Message(role="assistant", content=content, calls=calls)


def _call(line: str) -> Call:
    try:
        return json_call(parse_json(line, unique=True), "parameters")
    except ValueError as error:
        if isinstance(error, RowError):
            raise
        raise RowError(f"bad_call_text: {error}; the call is {shorten(line)}") from None
