"""A small BFCL folder, and answers to it without a model; importable by Ray workers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollout_fakes import ByteCodec, ids

from toolace.calls.schema import Chat
from toolace.engines import Generate

FUNCTION = {
    "name": "f",
    "description": "Takes a number.",
    "parameters": {"type": "dict", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
}
CATEGORIES = ("simple_python", "irrelevance", "multi_turn_base")


def write_bfcl(folder: Path, rows: int = 3, faulty: bool = True) -> Path:
    """So many rows of simple_python (the gold of row i is f(n=i)) and a faulty one, two of irrelevance, one of
    multi-turn."""

    def put(name: str, lines: Sequence[Any]) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def entry(category: str, number: int, **changes: Any) -> dict[str, Any]:
        question = [[{"role": "user", "content": f"{category} {number}"}]]
        return {"id": f"{category}_{number}", "question": question, "function": [FUNCTION]} | changes

    bad = [entry("simple_python", rows, function=[{"name": "f"}])] if faulty else []
    put("BFCL_v4_simple_python.json", [*(entry("simple_python", n) for n in range(rows)), *bad])
    put(
        "possible_answer/BFCL_v4_simple_python.json",
        [{"id": "x", "ground_truth": [{"f": {"n": [n]}}]} for n in range(rows + len(bad))],
    )
    put("BFCL_v4_irrelevance.json", [entry("irrelevance", n) for n in range(2)])
    multi_turn = entry("multi_turn_base", 0, involved_classes=["MathAPI"])
    del multi_turn["function"]
    put("BFCL_v4_multi_turn_base.json", [multi_turn])
    put("possible_answer/BFCL_v4_multi_turn_base.json", [{"id": "x", "ground_truth": [["f(n=1)"]]}])
    put("multi_turn_func_doc/math_api.json", [FUNCTION])
    return folder


class TurnsCodec(ByteCodec):
    """One token a byte; the prompt is all turns."""

    def prompt(self, chat: Chat) -> list[int]:
        return list("\n".join(message.content for message in chat.messages).encode())


def answer(request: Generate) -> tuple[int, ...]:
    """simple_python 0: wrong, and mended when refined; 1: right, and spoilt; others: right. irrelevance 0: no call;
    1: the engine fails."""
    question, *drafts = bytes(request.prompt).decode().split("\n")
    category, _, number = question.partition(" ")
    if category == "irrelevance":
        if number == "1":
            raise RuntimeError("no answer to this")
        return ids("No function fits.")
    if number == "0":
        return ids("[f(n=0)]" if drafts else "[f(n=9)]")
    if number == "1" and drafts:
        return ids("[f(n=7)]")
    return ids(f"[f(n={number})]")


def no_answer(request: Generate) -> tuple[int, ...]:
    raise RuntimeError("nothing is to be asked")
