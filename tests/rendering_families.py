"""The template families that rendering is tested on, and generated chats to render."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from toolace.calls import CallFormat
from toolace.calls.schema import Call, Chat, Message, Tool
from toolace.rendering import Renderer

TOKENIZERS = Path(__file__).parent / "fixtures" / "tokenizers"

FAMILIES: dict[str, tuple[str, str | None, CallFormat]] = {
    "qwen25": ("qwen25", None, "hermes"),
    "llama31": ("llama31", None, "llama3_json"),
    "mistral": ("mistral", "mistral", "llama3_json"),
    "ours": ("tiny", "tiny_pythonic", "pythonic"),
    "chatml": ("qwen25", "chatml", "hermes"),
    "toolace on qwen25": ("qwen25", "toolace_system", "pythonic"),
    "toolace on llama31": ("llama31", "toolace_system", "pythonic"),
    "llama2": ("llama2", "llama2", "pythonic"),
}
"""Name → tokenizer, template (None: the tokenizer's own), call format."""


@cache
def family(name: str) -> Renderer:
    """The renderer of a family, checked when made."""
    tokenizer, template, format = FAMILIES[name]
    return Renderer.from_pretrained(str(TOKENIZERS / tokenizer), format=format, template=template)


SPECIALS = ("<|im_end|>", "<|im_start|>user\n", "<|eot_id|>", "</s>", "[INST]", "<|endoftext|>", "<tool_call>")

names = st.from_regex(r"[a-z][a-zA-Z0-9_-]{0,20}", fullmatch=True)
words = st.sampled_from(
    ["weather", "Zürich", "北京 3 天", "price in €", "naïve", "🙂", "line\nbreak", "{'a': 1}", "\ttab"]
)
free_text = st.one_of(words, st.text(max_size=25), st.lists(words, min_size=1, max_size=4).map(" ".join))
spelt_specials = st.tuples(free_text, st.sampled_from(SPECIALS), free_text).map("".join)
user_text = st.one_of(free_text, spelt_specials)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6, allow_nan=False), free_text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2), max_leaves=4
)
calls = st.builds(Call, name=names, arguments=st.dictionaries(names, values, max_size=3))
some_calls = st.lists(calls, min_size=1, max_size=2).map(tuple)


@st.composite
def tools(draw: st.DrawFn) -> Tool:
    properties = draw(st.dictionaries(names, st.fixed_dictionaries({"type": st.just("string"), "description": words})))
    schema = {"type": "object", "properties": properties, "required": sorted(properties)[:1]}
    return Tool(name=draw(names), description=draw(free_text), parameters=schema)


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    """A dialogue of one to three user turns, with calls and their results between, ending in a user or tool turn."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", content=draw(free_text)))
    for _ in range(draw(st.integers(0, 2))):
        messages.append(Message(role="user", content=draw(user_text)))
        if draw(st.booleans()):
            made = draw(some_calls)
            messages.append(Message(role="assistant", calls=made))
            messages += [Message(role="tool", content=draw(user_text), name=call.name) for call in made]
        messages.append(Message(role="assistant", content=draw(free_text)))
    messages.append(Message(role="user", content=draw(user_text)))
    if draw(st.booleans()):
        call = draw(calls)
        messages += [Message(role="assistant", calls=(call,)), Message(role="tool", content=draw(user_text))]
    return Chat(tools=tuple(draw(st.lists(tools(), min_size=1, max_size=3))), messages=tuple(messages))


answers = st.one_of(
    free_text.filter(lambda text: text.strip() != "").map(lambda text: Message(role="assistant", content=text.strip())),
    some_calls.map(lambda made: Message(role="assistant", calls=made)),
)
