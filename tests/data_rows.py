"""Rows of every source format, written by hand."""

from __future__ import annotations

import json
from typing import Any

from toolace.data.sources.toolace import PREFIX, SUFFIX

WEATHER = {
    "name": "City Weather/Now",
    "description": "Weather of a city.",
    "parameters": {
        "type": "dict",
        "properties": {"city": {"type": "string"}, "days": {"type": "int", "default": 1}},
        "required": ["city"],
    },
    "required": None,
}
TIME = {"name": "clock", "description": "Time.", "parameters": {"type": "dict", "properties": {}}, "required": None}


def toolace_row(*turns: tuple[str, str], tools: list[Any] | None = None, system: str | None = None) -> dict[str, Any]:
    listed = json.dumps(tools or [WEATHER, TIME], ensure_ascii=False)
    return {
        "system": system or PREFIX + listed + SUFFIX,
        "conversations": [{"from": who, "value": value} for who, value in turns],
    }


TOOLRL_INSTRUCTION = """You are helpful.

**Available Tools**
In your response, you can use the following tools:
1. Name: Get Rate
Description: Rate of a currency.
Two lines.
Parameters: {"code": {"description": "c", "type": "str", "default": ""}, "on": {"type": "str, optional", "default": ""}}
2. Name: list_codes
Description: All codes.
Parameters: {}

**Steps for Each Turn**
1. **Think:** ...
"""
TOOLRL_INPUT = """**Dialogue Records History**
<user> codes? <b>all</b> </user>

<think> I should call. </think>
<tool_call>
{"name": "list_codes", "parameters": {}}
</tool_call>
<obs> [{"name": "list_codes", "results": ["EUR"]}] </obs>

<think> Answer. </think>
<response> EUR </response>

<user> its rate? </user>"""
TOOLRL_OUTPUT = """<think> Not a <tool_call> yet. </think>
<tool_call>
{"name": "Get Rate", "parameters": {"code": "EUR"}}
{"name": "list_codes", "parameters": {}}
</tool_call>"""


def seal_row(answer: str) -> dict[str, Any]:
    tool = {
        "api_name": "findHerd",
        "api_description": "Find a herd.",
        "field": "Farm",
        "parameters": {"kind": {"type": "str", "description": "k"}, "size": {"type": "int", "description": "s"}},
        "required": ["kind"],
        "responses": {"herd": {"type": "str", "description": ""}, "count": {"type": "int", "description": ""}},
    }
    text = f'Choose.\nInput:\napi_list = {[tool]!r}\ntask_instruction = "Find "all" cows."\nOutput:\n'
    return {"id": "x", "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": answer}]}


SEARCH = {
    "apiCode": "ToolSearcher",
    "description": "Searches.",
    "parameters": {"keywords": {"type": "str", "description": "k"}},
    "response": {},
}
FOUND = (
    "{'name': 'GetCost', 'description': 'The user's cost.', 'input_parameters': {'city': {'type': str, "
    "'description': 'c'}}, 'output_parameters': {}}"
)


def bank_row(output: str, *lines: str) -> dict[str, Any]:
    text = "\n".join([json.dumps(SEARCH), "User: What does it cost in Rome?TIME: 2034-04-15 10:00:00", *lines])
    return {
        "instruction": "Generate ...\nThe current time is {{time}}.\nAPI descriptions:\n",
        "input": f"{text}\nGenerate API Request: ",
        "output": output,
    }


def message_row(*turns: dict[str, Any], tools: Any = ()) -> dict[str, Any]:
    return {"messages": list(turns), "tools": list(tools)}


def said(role: str, content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


F = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}
CALL = {"function": {"name": "f", "arguments": {"a": "1"}}}

DEEP = {"function": {"name": "f", "arguments": '{"a": ' + "[" * 70 + "]" * 70 + "}"}}
HUGE = {"function": {"name": "f", "arguments": '{"a": 1e999}'}}
LIMIT = '{"a": {"type": "float", "maximum": 1e999}}'


def rows_of_all_sources() -> dict[str, Any]:
    return {
        "toolace": toolace_row(("user", "?"), ("assistant", "x")),
        "seal_tools": seal_row("[]"),
        "glaive": {"conversations": [{"from": "human", "value": "x"}], "tools": "[]"},
        "toolrl": {"instruction": TOOLRL_INSTRUCTION, "input": TOOLRL_INPUT, "output": TOOLRL_OUTPUT},
        "api_bank": bank_row("API-Request: [f()]"),
        "xlam": {"query": "q", "tools": "[]", "answers": "[]"},
        "openai": message_row(said("user"), said("assistant", tool_calls=[CALL]), tools=[F]),
    }
