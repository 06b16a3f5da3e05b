"""Our parser and vLLM's own parser of each format: the same calls on the same texts, and the documented differences."""

from __future__ import annotations

import json
import keyword
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toolace.calls import Call, CallFormat, parse_answer, render_calls

pytest.importorskip("vllm", reason="vLLM is not installed: make install")

DOC = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
FORMATS: tuple[CallFormat, ...] = ("pythonic", "hermes", "llama3_json")
WORDS = [
    "Paris",
    "New York",
    "北京",
    "naïve",
    'say "hi"',
    "it's",
    "a\\b",
    "x, y",
    "[1]",
    "{}",
    "f(a=1)",
    "",
    "🎉",
    "tab\tend",
    "</b>",
]

Extract = Callable[[str], list[Call]]


@pytest.fixture(scope="module")
def vllm_parsers() -> dict[str, Extract]:
    """For each format: text -> calls by vLLM's parser; empty where it finds none."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
    from vllm.tool_parsers.llama_tool_parser import Llama3JsonToolParser
    from vllm.tool_parsers.pythonic_tool_parser import PythonicToolParser

    words = Tokenizer(WordLevel({"[UNK]": 0, "<|python_tag|>": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "?"}])

    def extractor(parser_class: Any) -> Extract:
        def extract(text: str) -> list[Call]:
            found = parser_class(tokenizer).extract_tool_calls(text, request).tool_calls
            return [
                Call.model_construct(name=c.function.name, arguments=json.loads(c.function.arguments)) for c in found
            ]

        return extract

    classes = (PythonicToolParser, Hermes2ProToolParser, Llama3JsonToolParser)
    return {name: extractor(parser) for name, parser in zip(FORMATS, classes, strict=True)}


def identifier(rng: random.Random) -> str:
    while True:
        name = rng.choice("abcXYZ") + "".join(rng.choice("abc_XYZ09") for _ in range(rng.randrange(8)))
        if not keyword.iskeyword(name):
            return name


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind == 1:
        return rng.choice([0, -1, 7, 10**12, -(10**20)])
    if kind == 2:
        return rng.choice([0.5, -2.25, 1e-7, 1e22, 3.0])
    if kind < 6:
        return rng.choice(WORDS)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def generated(count: int, seed: int) -> Iterator[list[Call]]:
    rng = random.Random(seed)
    for _ in range(count):
        yield [
            Call(name=identifier(rng), arguments={identifier(rng): value(rng) for _ in range(rng.randrange(4))})
            for _ in range(rng.randint(1, 3))
        ]


def exact(calls: list[Call]) -> str:
    return repr([(call.name, call.arguments) for call in calls])


def as_python_writes(calls: list[Call]) -> str:
    """The pythonic text as `repr` gives it: other quotes, other escapes."""
    return "[" + ",".join(f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})" for c in calls) + "]"


def as_compact_ascii(calls: list[Call]) -> str:
    return "<tool_call>" + "</tool_call>\n\n<tool_call>".join(
        json.dumps(c.model_dump(), separators=(",", ":")) for c in calls
    )


def as_arguments(calls: list[Call]) -> str:
    return "<|python_tag|>" + ";\n".join(json.dumps(call.model_dump(), indent=1) for call in calls)


@pytest.mark.parametrize("format", FORMATS)
def test_generated_calls_come_out_the_same(format: CallFormat, vllm_parsers: dict[str, Extract]) -> None:
    other_text = {"pythonic": as_python_writes, "hermes": as_compact_ascii, "llama3_json": as_arguments}[format]
    calls_seen = 0
    for calls in generated(500, seed=FORMATS.index(format)):
        for text in (render_calls(calls, format), other_text(calls)):
            theirs, ours = vllm_parsers[format](text), parse_answer(text, format)
            assert exact(theirs) == exact(calls), text
            assert exact(list(ours.calls)) == exact(calls), (text, ours.error)
            calls_seen += len(calls)
    assert calls_seen >= 1_500  # 4,500 over the three formats


def table(title: str) -> list[tuple[str, str]]:
    """Format and text of each row of the table under a heading of docs/formats.md."""
    section = DOC.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (`+) ?(.+?) ?\2 \| .+ \|$", section, re.MULTILINE)
    return [(format, text.replace("⏎", "\n")) for format, _, text in rows]


ACCEPTED = table("What is read beyond vLLM's parsers")
REFUSED = table("What is refused though vLLM reads it")


def test_the_tables_are_read_whole() -> None:
    assert (len(ACCEPTED), len(REFUSED)) == (25, 11)


@pytest.mark.parametrize(("format", "text"), ACCEPTED)
def test_what_we_read_and_vllm_refuses(format: CallFormat, text: str, vllm_parsers: dict[str, Extract]) -> None:
    assert vllm_parsers[format](text) == []
    answer = parse_answer(text, format)
    assert answer.calls and answer.error is None
    assert answer.calls[-1].name in text


@pytest.mark.parametrize(("format", "text"), REFUSED)
def test_what_vllm_reads_and_we_refuse(format: CallFormat, text: str, vllm_parsers: dict[str, Extract]) -> None:
    assert vllm_parsers[format](text) != []
    answer = parse_answer(text, format)
    assert answer.calls == () and answer.error is not None
