"""A dialogue in a source's words → samples: names normalised, calls checked, one sample an assistant turn."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence

from toolace.calls.formats import render_calls
from toolace.calls.literals import MAX_DEPTH, check_depth
from toolace.calls.names import name_map, normalise_tools, rename_calls
from toolace.calls.schema import Call, Chat, Message, Sample, Tool
from toolace.data.records import Dialogue, RowError, Targets
from toolace.data.schemas import wrong_part
from toolace.errors import DataError


def samples_of(dialogue: Dialogue, *, name: str, row: int, targets: Targets = "all") -> tuple[Sample, ...]:
    """The samples of a dialogue: one for each assistant turn, or for the last turn only where it was cut already.

    An id is the hash of content, file name, row and turn: the same file gives the same ids anywhere, and equal rows
    have different ids. Raises `RowError` where any turn is unusable: later turns build on it, so the row goes whole.
    """
    tools = _distinct(dialogue.tools)
    check_tools(tools)
    mapping = name_map(tool.name for tool in tools)
    tools, _ = normalise_tools(tools)
    by_name = {tool.name: tool for tool in tools}
    known = set(mapping) | set(by_name)
    turns = []
    for turn in join_assistant(dialogue.turns):
        for call in turn.calls:
            if call.name not in known:
                near = _near(call, known)
                raise RowError(f"unknown_tool: {call.name!r} is not among the row's {len(tools)} tools{near}")
        # A call may use the name that a renamed tool has now; `mapping` only knows the names before.
        names = {**{tool: tool for tool in by_name}, **mapping}
        calls = rename_calls(turn.calls, names)
        for call in calls:
            check_required(call, by_name[call.name])
        try:
            render_calls(calls)
        except DataError as error:
            raise RowError(f"bad_value: {error}") from None
        spoken = names.get(turn.name, turn.name) if turn.name else None
        turns.append(turn.model_copy(update={"calls": calls, "name": spoken}) if turn.calls or turn.name else turn)
    check_order(turns)
    samples = []
    last = len(turns) - 1
    for index, turn in enumerate(turns):
        if turn.role != "assistant" or (dialogue.last_only and index != last):
            continue
        if targets == "calls" and not turn.calls:
            continue
        chat = Chat(tools=tools, messages=tuple(turns[:index]))
        samples.append(
            Sample(
                id=_sample_id(chat, turn, f"{name}:{row}:{index}"),
                chat=chat,
                reference=turn,
                kind=dialogue.kind or kind_of(chat, turn),
                source=f"{name}:{row}:{index}",
            )
        )
    return tuple(samples)


def kind_of(chat: Chat, reference: Message) -> str:
    """A label for reports: `parallel` (several calls), `multiple` (one, several tools), `single`, or without a call
    `answer` (after a tool turn) and `text`."""
    if len(reference.calls) > 1:
        return "parallel"
    if reference.calls:
        return "multiple" if len(chat.tools) > 1 else "single"
    return "answer" if chat.messages[-1].role == "tool" else "text"


def content_hash(chat: Chat, reference: Message | None = None) -> str:
    """Hash of what a sample says, free of where it came from. Raises `RowError` for what JSON cannot hold."""
    data = [chat.model_dump(), reference.model_dump() if reference is not None else None]
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise RowError(f"bad_text: half of a surrogate pair, {error.object[error.start : error.end]!r}") from None
    except ValueError as error:
        raise RowError(f"bad_value: {error}") from None


def join_assistant(turns: Sequence[Message]) -> list[Message]:
    """Text followed by a call of the same speaker is one turn."""
    out: list[Message] = []
    for turn in turns:
        before = out[-1] if out else None
        if turn.role == "assistant" and before is not None and before.role == "assistant" and not before.calls:
            text = "\n".join(part for part in (before.content, turn.content) if part)
            out[-1] = Message(role="assistant", content=text, calls=turn.calls)
        else:
            out.append(turn)
    return out


def check_order(turns: Sequence[Message]) -> None:
    """Refuse orders that no dialogue has and that chat templates refuse. Raises `RowError`."""
    if not turns:
        raise RowError("no_messages: the row has no turns")
    before: Message | None = None
    for index, turn in enumerate(turns):
        state: str = "start" if before is None or before.role == "system" else before.role
        if before is not None and before.role == "assistant" and before.calls:
            state = "call"
        allowed = {
            "start": ("system", "user"),
            "user": ("assistant",),
            "assistant": ("user",),
            "call": ("tool",),
            "tool": ("tool", "assistant"),
        }[state]
        if turn.role not in allowed:
            where = "after a call" if state == "call" else f"after {before.role}" if before else "at the start"
            raise RowError(f"bad_role_order: turn {index} is {turn.role} {where}; expected {' or '.join(allowed)}")
        if turn.role == "assistant" and not turn.calls and not turn.content.strip():
            raise RowError(f"empty_answer: turn {index} of the assistant holds neither text nor calls")
        before = turn


def check_tools(tools: Sequence[Tool]) -> None:
    """Refuse schemas that are nested so deeply that the written sample could not be read again, or that are no schemas,
    at which chat templates break. Raises `RowError`."""
    for tool in tools:
        if not check_depth(tool.parameters):
            raise RowError(f"bad_value: the parameters of {tool.name!r} are nested deeper than {MAX_DEPTH} levels")
        if wrong := wrong_part(tool.parameters):
            raise RowError(f"bad_tools: in the parameters of {tool.name!r}, {wrong}")


def check_required(call: Call, tool: Tool) -> None:
    """Refuse a call without a required argument. Raises `RowError`."""
    required = tool.parameters.get("required")
    missing = [name for name in required if name not in call.arguments] if isinstance(required, list) else []
    if missing:
        raise RowError(f"missing_required: {call.name} is called without {', '.join(map(repr, missing))}")


def _distinct(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools without exact repeats."""
    seen: dict[str, Tool] = {}
    for tool in tools:
        if seen.setdefault(tool.name, tool) != tool:
            raise RowError(f"ambiguous_tool: {tool.name!r} is defined twice and differently")
    return tuple(seen.values())


def _near(call: Call, known: set[str]) -> str:
    """A hint for names that were cut or misspelt."""
    ends = [name for name in sorted(known) if name.endswith(call.name) or name.startswith(call.name)]
    near = ends or difflib.get_close_matches(call.name, sorted(known), n=1)
    return f"; cut from {near[0]!r}?" if ends else f"; meant {near[0]!r}?" if near else ""


def _sample_id(chat: Chat, reference: Message, place: str) -> str:
    return hashlib.sha256(f"{content_hash(chat, reference)}\n{place}".encode()).hexdigest()[:20]


def tool_names(sample: Sample) -> tuple[str, ...]:
    """Names of the tools that a sample offers."""
    return tuple(tool.name for tool in sample.chat.tools)


def called_names(sample: Sample) -> tuple[str, ...]:
    """Names of the tools that a sample's reference calls."""
    return tuple(dict.fromkeys(call.name for call in sample.reference.calls))


def arguments_outside_schema(calls: Sequence[Call], tools: Mapping[str, Tool]) -> list[str]:
    """`tool.argument` for each argument that the tool's schema does not know."""
    return [
        f"{call.name}.{key}"
        for call in calls
        for key in call.arguments
        if call.name in tools and key not in (tools[call.name].parameters.get("properties") or {})
    ]
