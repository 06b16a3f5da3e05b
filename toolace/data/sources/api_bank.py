"""API-Bank rows: an instruction with a time, tools and turns as lines of `input`, one call or answer as output.

Rows that search for their tools (`ToolSearcher`) find them in its results: these become tools of the row from then
on. Each row is one target already; what the dialogue did before is its history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolace.calls.formats import parse_answer
from toolace.calls.schema import Call, Message, Tool
from toolace.data.records import Dialogue, RowError, parse_json, shorten
from toolace.data.schemas import make_tool
from toolace.data.turns import python_literal

NEEDS = "`instruction` that asks for an API request or a response, `input`, and `output` or `expected_output`"

_LINE = re.compile(
    r"^(?:(?P<tool>\{\"(?:apiCode|name)\".*)|(?P<user>User:)|(?P<ai>AI:)|(?P<call>API-Request:)"
    r"|(?P<end>Generate (?:API Request|AI Response):))"
)
_DOUBLED = re.compile(r"(\[.*?\)\]|[\w.]+\(.*?\))->(.*)\Z", re.DOTALL)
_LOOSE = re.compile(r"\[?\s*([A-Za-z_][\w.]*)\((.*)\)\s*\]?\Z", re.DOTALL)
_KEY = re.compile(r"(?:\A|,)\s*([A-Za-z_]\w*)\s*=")
_TIME = re.compile(r"\s*TIME:\s*(\S.*?)\s*\Z", re.DOTALL)
_YEAR = re.compile(r"The current (?:year|time) is (?!\{)[^\n]*")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether a row is in this format."""
    text = row.get("input")
    output = row.get("expected_output", row.get("output"))
    return (
        isinstance(text, str)
        and isinstance(output, str)
        and re.search(r"^Generate (API Request|AI Response):", text, re.MULTILINE) is not None
    )


def convert(row: Mapping[str, Any]) -> Dialogue:
    """A row as a dialogue. Raises `RowError`."""
    instruction, text = row.get("instruction"), row.get("input")
    output = row.get("expected_output", row.get("output"))
    if not isinstance(text, str) or not isinstance(output, str):
        raise RowError("bad_row: input or output is not text")
    instruction = instruction if isinstance(instruction, str) else ""
    tools: dict[str, Tool] = {}
    for line in instruction.partition("API descriptions:")[2].splitlines():
        if line.strip():
            _add(tools, _json_tool(line))
    turns: list[Message] = []
    now = found.group(0) if (found := _YEAR.search(instruction)) else ""
    for kind, body in _blocks(text):
        if kind == "tool":
            _add(tools, _json_tool(body))
        elif kind == "user":
            if found := _TIME.search(body):
                now, body = f"The current time is {found.group(1)}.", body[: found.start()]
            turns.append(Message(role="user", content=body.strip()))
        elif kind == "ai":
            turns.append(Message(role="assistant", content=body.strip()))
        elif kind == "call":
            turns.extend(_called(body, tools))
    while turns and turns[-1].role == "assistant" and not turns[-1].calls:
        turns.pop()  # "Let me look for a tool": said before the target in the same turn; the target is the request only
    if now:
        turns.insert(0, Message(role="system", content=now))
    return Dialogue(list(tools.values()), [*turns, _target(output)], last_only=True)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each entry of `input`; a line without a label goes on with the entry before it."""
    kind = ""
    lines: list[str] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            if kind:
                yield kind, "\n".join(lines)
            kind = found.lastgroup or ""
            lines = [line if kind == "tool" else line[found.end() :]]
        elif kind and line.strip():
            lines.append(line)
        elif line.strip():
            raise RowError(f"bad_row: the input begins with a line without a label, {shorten(line)}")
    if kind and kind != "end":
        yield kind, "\n".join(lines)


def _called(body: str, tools: dict[str, Tool]) -> list[Message]:
    """A call of the history with its result, `[Name(key='value')]->{...}`; found tools are added to `tools`."""
    found = _DOUBLED.match(body.strip())
    if not found:
        raise RowError(f"bad_call_text: an API-Request without result, {shorten(body)}")
    call = read_request(found.group(1))
    text = found.group(2).strip()
    try:
        result = read_result(text)
    except ValueError:
        return [call, Message(role="tool", content=text, name=call.calls[0].name)]
    for entry in _definitions(result):
        _add(tools, make_tool(entry["name"], entry.get("description"), entry.get("input_parameters")))
    return [call, Message(role="tool", content=json.dumps(result, ensure_ascii=False), name=call.calls[0].name)]


def read_result(text: str) -> Any:
    """A result in Python syntax, mended where its writer forgot quotes around a type or a backslash in "user's"."""
    try:
        return python_literal(text)
    except ValueError:
        mended = re.sub(r"(?<=\w)'(?=\w)", r"\\'", text)
        mended = re.sub(r"('type': )([A-Za-z_]\w*)", r"\1'\2'", mended)
        return python_literal(mended)


def _definitions(result: Any) -> Iterator[Mapping[str, Any]]:
    """Tool definitions anywhere in a search result."""
    if isinstance(result, Mapping):
        if isinstance(result.get("name"), str) and isinstance(result.get("input_parameters"), Mapping):
            yield result
        else:
            for value in result.values():
                yield from _definitions(value)
    elif isinstance(result, list):
        for value in result:
            yield from _definitions(value)


def _json_tool(line: str) -> Tool:
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise RowError(f"bad_tools: a tool line is not JSON: {error}") from None
    if not isinstance(entry, Mapping):
        raise RowError(f"bad_tools: a tool line is {shorten(entry)}")
    parameters = entry.get("input_parameters", entry.get("parameters"))
    return make_tool(entry.get("apiCode", entry.get("name")), entry.get("description"), parameters)


def _add(tools: dict[str, Tool], tool: Tool) -> None:
    """The first definition of a name stays: a search may find the same tool again with other words."""
    tools.setdefault(tool.name, tool)


def _target(output: str) -> Message:
    text = output.strip()
    if text.startswith("AI:"):
        return Message(role="assistant", content=text.removeprefix("AI:").strip())
    return read_request(text.removeprefix("API-Request:").strip())


def read_request(text: str) -> Message:
    """A request as calls, read loosely where its quotes do not close. Raises `RowError` where it is no request."""
    answer = parse_answer(text, "pythonic")
    calls = answer.calls or (_loose_call(text),)
    return Message(role="assistant", calls=calls)


def _loose_call(text: str) -> Call:
    """A call whose values have no quotes (`location=New York`) or quotes within quotes: cut at `, key=`."""
    found = _LOOSE.match(text.strip())
    if not found:
        raise RowError(f"bad_call_text: not a request, {shorten(text)}")
    name, body = found.groups()
    keys = list(_KEY.finditer(body))
    if body.strip() and (not keys or body[: keys[0].start()].strip()):
        raise RowError(f"bad_call_text: arguments without names, {shorten(text)}")
    ends = [*(key.start() for key in keys[1:]), len(body)] if keys else []
    arguments = {key.group(1): _loose_value(body[key.end() : end]) for key, end in zip(keys, ends, strict=True)}
    if len(arguments) < len(keys):
        raise RowError(f"bad_call_text: an argument is given twice, {shorten(text)}")
    return Call(name=name, arguments=arguments)


def _loose_value(text: str) -> Any:
    text = text.strip()
    try:
        return python_literal(text)
    except ValueError:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
