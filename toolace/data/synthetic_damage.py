"""Plausible wrong answers: drafts for check-and-correct exercises, and wrong references for studies of noise."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from toolace.calls.formats import render_calls
from toolace.calls.schema import Call, Chat, Message, Sample

_REFUSAL = "None of the tools fits this request."
_WORD = re.compile(r"[\w@.-]*\w")


def answer_text(reference: Message) -> str:
    """The reference as the model is to write it: calls in the pythonic format, or the text."""
    return render_calls(reference.calls) if reference.calls else reference.content


def _other(rng: random.Random, chat: Chat, value: Any) -> Any:
    """A wrong value of the same type, taken from the request's own words or changed a little."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        digits = list(str(value))
        spots = [i for i, c in enumerate(digits) if c.isdigit()]
        spot = rng.choice(spots)
        if len(spots) > 1 and rng.random() < 0.4 and not (spot == 0 and digits[spot] != "0"):
            del digits[spot]
        else:
            digits[spot] = rng.choice([d for d in "123456789" if d != digits[spot]])
        changed = json.loads("".join(digits)) if _is_number("".join(digits)) else value + 1
        return changed if changed != value else value + 1
    if isinstance(value, list):
        if len(value) > 1 and rng.random() < 0.6:
            return value[:-1] if rng.random() < 0.6 else value[1:]
        return [*value[:-1], _other(rng, chat, value[-1])] if value else [1]
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: _other(rng, chat, value[key])}
    words = [w for w in _WORD.findall(chat.messages[-1].content) if w != value]
    shape = rng.random()
    if shape < 0.35 and words:
        return rng.choice(words)
    if shape < 0.65 and len(value) > 2:
        return value[: rng.randint(max(1, len(value) // 2), len(value) - 1)].rstrip()
    if len(value) > 2:
        i = rng.randrange(len(value))
        pool = "0123456789" if value[i].isdigit() else "abcdefghiklmnoprstuvw"
        return value[:i] + rng.choice([c for c in pool if c != value[i]]) + value[i + 1 :]
    return value + value if value else "none"


def _is_number(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _change_call(rng: random.Random, chat: Chat, call: Call) -> tuple[Call, str]:
    arguments = dict(call.arguments)
    names = list(arguments)
    tools = {tool.name: tool for tool in chat.tools}
    known = tools[call.name].parameters.get("properties", {}) if call.name in tools else {}
    options = ["value"] * 5 * bool(names) + ["dropped"] * bool(names)
    options += ["swapped"] * 2 * (len(names) > 1) + ["type"] * bool(names) + ["tool"] * (1 + len(tools) > 2)
    extra = [name for name in known if name not in arguments]
    options += ["extra"] * 2 * bool(extra)
    what = rng.choice(options or ["extra"])
    if what == "value":
        name = rng.choice(names)
        arguments[name] = _other(rng, chat, arguments[name])
    elif what == "dropped":
        del arguments[rng.choice(names)]
    elif what == "swapped":
        a, b = rng.sample(names, 2)
        arguments[a], arguments[b] = arguments[b], arguments[a]
        if arguments == call.arguments:
            del arguments[a]
    elif what == "type":
        name = rng.choice(names)
        value = arguments[name]
        arguments[name] = [value] if isinstance(value, str) else str(value)
    elif what == "extra":
        name = rng.choice(extra) if extra else "note"
        words = _WORD.findall(chat.messages[-1].content)
        kind = known.get(name, {}).get("type", "string")
        made: dict[str, Any] = {"integer": rng.randint(1, 20), "number": rng.randint(1, 90), "boolean": True}
        arguments[name] = made.get(kind, rng.choice(words) if words else "none")
    elif what == "tool":
        return Call(name=rng.choice([t for t in tools if t != call.name]), arguments=arguments), what
    return Call(name=call.name, arguments=arguments), what


def damage(chat: Chat, reference: Message, rng: random.Random) -> tuple[Message, str]:
    """A wrong answer that looks like a model's mistake, never equal to `reference`, and the name of the mistake."""
    calls = list(reference.calls)
    if not calls:
        if rng.random() < 0.25:
            others = [
                n for tool in chat.tools for n in tool.parameters.get("properties", {}) if n not in reference.content
            ]
            right = reference.content.startswith("Please")
            if right or not others:
                return Message(
                    role="assistant", content="None of the tools fits this request." if right else "Sorry."
                ), "text"
            return Message(role="assistant", content=f"Please give a value for: {rng.choice(others)}."), "text"
        return Message(role="assistant", calls=(_spurious(rng, chat),)), "spurious_call"
    if rng.random() < 0.06:
        names = list(calls[0].arguments)
        text = f"Please give a value for: {rng.choice(names)}." if names and rng.random() < 0.5 else None
        return Message(role="assistant", content=text or _REFUSAL), "spurious_refusal"
    if len(calls) > 1 and rng.random() < 0.3:
        spot = rng.randrange(len(calls))
        if rng.random() < 0.4:
            calls[spot] = calls[spot - 1]
            if tuple(calls) != reference.calls:
                return Message(role="assistant", calls=tuple(calls)), "repeated_call"
        del calls[spot]
        return Message(role="assistant", calls=tuple(calls)), "missing_call"
    if rng.random() < 0.05:
        calls.append(_spurious(rng, chat) if rng.random() < 0.5 else calls[-1])
        return Message(role="assistant", calls=tuple(calls)), "extra_call"
    spot = rng.randrange(len(calls))
    calls[spot], what = _change_call(rng, chat, calls[spot])
    if rng.random() < 0.2:
        twice, _ = _change_call(rng, chat, calls[spot])
        if twice != reference.calls[spot]:
            calls[spot], what = twice, "several"
    return Message(role="assistant", calls=tuple(calls)), what


def _spurious(rng: random.Random, chat: Chat) -> Call:
    """A call of one of the tools, filled with words of the request."""
    tool = rng.choice(chat.tools)
    words = _WORD.findall(chat.messages[-1].content) or ["none"]
    values: dict[str, Any] = {}
    for name in tool.parameters.get("required", []):
        schema = tool.parameters["properties"][name]
        kind = schema["type"]
        if "enum" in schema:
            values[name] = rng.choice(schema["enum"])
        elif kind in ("integer", "number"):
            numbers = [int(w) for w in words if w.isdecimal()]
            values[name] = rng.choice(numbers) if numbers else rng.randint(1, 20)
        elif kind == "array":
            values[name] = [rng.choice(words)]
        elif kind == "object":
            values[name] = {field: rng.choice(words) for field in schema.get("properties", {})}
        else:
            values[name] = rng.choice(words)
    return Call(name=tool.name, arguments=values)


def corrupt(sample: Sample, rng: random.Random) -> str:
    """A plausible wrong draft for this sample, as text in the pythonic format."""
    return answer_text(damage(sample.chat, sample.reference, rng)[0])
