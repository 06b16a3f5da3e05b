"""Requests of the serving tests, and the table of those that are refused: status, and the field that is named."""

from __future__ import annotations

import json
from typing import Any

MODEL = "tiny_base"
COLOR = {"type": "string", "enum": ["red", "green"]}
SCHEMA = {"type": "object", "properties": {"color": COLOR}, "required": ["color"], "additionalProperties": False}
PAINT = {
    "type": "function",
    "function": {
        "name": "paint_wall",
        "description": "Paint a wall",
        "parameters": SCHEMA,
    },
}
HI = [{"role": "user", "content": "Paint the wall red."}]
PLAIN: dict[str, Any] = {"model": MODEL, "messages": HI, "max_tokens": 8}
TOOLS: dict[str, Any] = {**PLAIN, "tools": [PAINT], "max_tokens": 60}

HUGE = {"type": "object", "properties": {"a": {"type": "array", "maxItems": 1_000_000_000}}, "required": ["a"]}
HUGE_AT = "structured_outputs.json.properties.a.maxItems"
BAD_TOOL = {"type": "function", "function": {"name": "two words"}}
UNKNOWN = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"a": {"type": "string", "format": "zzz"}}, "required": ["a"]},
    },
}
ERRORS: list[tuple[str, str, Any, int, str | None]] = [
    ("POST", "/v1/chat/completions", b"{", 400, None),
    ("POST", "/v1/chat/completions", b"\xff\xfe", 400, None),
    ("POST", "/v1/chat/completions", [], 400, None),
    ("POST", "/v1/chat/completions", {"model": MODEL}, 400, "messages"),
    ("POST", "/v1/chat/completions", {**PLAIN, "tools": [PAINT, BAD_TOOL]}, 400, "tools[1].function.name"),
    ("POST", "/v1/chat/completions", {**PLAIN, "tools": "paint"}, 400, "tools"),
    ("POST", "/v1/chat/completions", {**PLAIN, "tool_choice": "auto"}, 400, "tool_choice"),
    ("POST", "/v1/chat/completions", {**TOOLS, "temperature": "hot"}, 400, "temperature"),
    ("POST", "/v1/chat/completions", {**TOOLS, "max_tokens": 0}, 400, "max_tokens"),
    ("POST", "/v1/chat/completions", {**PLAIN, "max_tokens": 5000}, 400, "max_tokens"),
    ("POST", "/v1/chat/completions", {**TOOLS, "max_tokens": 5000, "stream": True}, 400, "max_tokens"),
    ("POST", "/v1/chat/completions", {**TOOLS, "refinement": {"max_rounds": 99}}, 400, "refinement.max_rounds"),
    ("POST", "/v1/chat/completions", {**TOOLS, "refinement": {"roundz": 1}}, 400, "refinement.roundz"),
    ("POST", "/v1/chat/completions", {**TOOLS, "model": "gpt-5"}, 404, None),
    ("POST", "/v1/chat/completions", {**PLAIN, "model": "gpt-5"}, 404, None),
    ("POST", "/v1/chat/completions", {**PLAIN, "messages": [{"role": "user", "content": "x" * 120_000}]}, 413, None),
    ("POST", "/v1/chat/completions", {**TOOLS, "messages": [{"role": "user", "content": "so " * 5000}]}, 400, None),
    ("POST", "/v1/completions", b"{", 400, None),
    ("POST", "/v1/completions", [], 400, None),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "structured_outputs": {"json": HUGE}}, 400, HUGE_AT),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "structured_outputs": {"regex": "(a"}}, 400, None),
    ("POST", "/v1/chat/completions", {**PLAIN, "structured_outputs": {"json": json.dumps(HUGE)}}, 400, HUGE_AT),
    ("POST", "/v1/chat/completions", {**PLAIN, "chat_template_kwargs": {"self": 1}}, 400, "chat_template_kwargs.self"),
    ("POST", "/v1/completions", {"model": MODEL}, 400, None),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": ["a"] * 129}, 400, "prompt"),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "length_penalty": 1e308}, 400, "length_penalty"),
    ("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "min_p": 2}, 400, "min_p"),
    ("POST", "/tokenize", b'{"model": "tiny_base", "prompt": "\\ud800"}', 400, None),
    ("POST", "/v1/chat/completions", {**PLAIN, "n": 129}, 400, "n"),
    ("POST", "/v1/chat/completions", {**PLAIN, "n": 0}, 400, "n"),
    ("POST", "/v1/chat/completions", {**PLAIN, "stop": ""}, 400, "stop"),
    ("POST", "/v1/chat/completions", {**PLAIN, "top_k": -5}, 400, "top_k"),
    ("POST", "/v1/chat/completions", {**PLAIN, "presence_penalty": 5}, 400, "presence_penalty"),
    ("POST", "/v1/chat/completions", {**PLAIN, "min_tokens": 9}, 400, "min_tokens"),
    ("POST", "/v1/chat/completions", {**PLAIN, "messages": [{**HI[0], "name": 3}]}, 400, "messages[0].name"),
    ("POST", "/v1/chat/completions", {**TOOLS, "tools": [UNKNOWN], "tool_choice": "required"}, 400, "tools[0]"),
    ("POST", "/v1/completions", {"model": "gpt-5", "prompt": "a"}, 404, None),
    ("POST", "/v1/embeddings", {"model": MODEL, "input": "a"}, 400, None),
    ("GET", "/v1/models/gpt-5", None, 404, None),
    ("GET", "/v1/chat/completions", None, 405, None),
    ("DELETE", "/v1/models", None, 405, None),
    ("GET", "/v1/nothing", None, 404, None),
    ("GET", "/etc/passwd", None, 404, None),
]
