"""Random request bodies for the endpoint: built from what clients send, and from what no client should."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXT = st.text(max_size=12) | st.sampled_from(
    ["", "paint it red", "\x00", "\ud800", "<|im_end|>", "{{ 7*7 }}", "../etc"]
)
ODD_NUMBERS = st.sampled_from([-1, 0, -(2**70), 2**31, 2**63, 1e308, -0.5, float("nan"), float("inf")])
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | TEXT | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value (and NaN, which some clients send)."""


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of the fields; one in some twenty fields holds junk."""
    return st.fixed_dictionaries({}, optional={name: mostly(good) for name, good in fields.items()})


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is good, and now and then junk."""
    return st.integers(0, 19).flatmap(lambda n: JUNK if n == 19 else good)


NAMES = mostly(st.sampled_from(["paint_wall", "f", "x" * 64]))
SCHEMAS: st.SearchStrategy[Any] = st.deferred(
    lambda: some(
        type=st.sampled_from(["object", "string", "integer", "array", ["string", "null"]]),
        properties=st.dictionaries(st.sampled_from(["a", "color", ""]), SCHEMAS, max_size=2),
        required=st.lists(st.sampled_from(["a", "missing"]), max_size=2),
        enum=st.lists(TEXT, max_size=2),
        items=SCHEMAS,
        description=TEXT,
        pattern=st.sampled_from(["[a-z]+", "(", "(?=x)"]),
        anyOf=st.lists(SCHEMAS, max_size=2),
        **{"$ref": st.sampled_from(["#/$defs/a", "#", "http://localhost/x"])},
    )
)
FUNCTIONS = st.builds(
    lambda name, rest: {"name": name, **rest}, NAMES, some(description=TEXT, parameters=SCHEMAS, strict=st.booleans())
)
TOOLS = st.lists(
    st.builds(lambda function: {"type": "function", "function": function}, FUNCTIONS), min_size=1, max_size=2
)
ARGUMENTS = st.sampled_from(
    [
        *("{}", '{"color": "red"}', "{", "[]", ""),
        *('{"color": "\\ud800"}', '{"color": NaN}', '{"color": ' + "1" * 5000 + "}"),
        *('{"color": ' + "[" * depth + "]" * depth + "}" for depth in (70, 300, 5000)),
    ]
)
CALLS = st.lists(
    st.builds(
        lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
        TEXT,
        NAMES,
        ARGUMENTS | JUNK,
    ),
    max_size=2,
)
PARTS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | some(type=st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"]), text=TEXT, image_url=JUNK),
    max_size=2,
)
MESSAGES = st.lists(
    st.builds(lambda text: {"role": "user", "content": text}, TEXT)
    | st.builds(
        lambda role, rest: {"role": role, **rest},
        mostly(st.sampled_from(["user", "assistant", "system", "tool", "developer", "wizard"])),
        some(content=TEXT | PARTS, tool_calls=CALLS, tool_call_id=TEXT, name=TEXT, reasoning=TEXT),
    ),
    min_size=1,
    max_size=3,
)
CHOICES = st.sampled_from(["none", "auto", "required", {"type": "function", "function": {"name": "paint_wall"}}])
FORMATS = st.sampled_from([{"type": "text"}, {"type": "json_object"}, {"type": "xml"}]) | st.builds(
    lambda schema: {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, SCHEMAS
)
REFINEMENT = some(
    mode=st.sampled_from(["adaptive", "fixed", "off"]),
    max_rounds=st.integers(0, 2),
    deadline_ms=st.sampled_from([60_000, 600_001]),
    return_rounds=st.booleans(),
)
TOKEN_IDS = st.lists(st.integers(-2, 3000), max_size=3)
MANY = st.integers(-1, 3)
SHARES = st.sampled_from([0, 0.5, 1, 2])
PENALTIES = st.sampled_from([0, 1.0, -10, 1e308, 1000, -1e4])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "tool_choice": CHOICES,
    "parallel_tool_calls": st.booleans(),
    "refinement": REFINEMENT,
    "stream": st.booleans(),
    "stream_options": some(include_usage=st.booleans(), continuous_usage_stats=st.booleans()),
    "n": st.integers(0, 2),
    "temperature": SHARES,
    "top_p": SHARES,
    "top_k": MANY,
    "min_p": SHARES,
    "seed": st.integers(-(2**63), 2**63),
    "stop": TEXT | st.lists(TEXT, max_size=2),
    "logprobs": st.booleans(),
    "top_logprobs": MANY,
    "prompt_logprobs": MANY,
    "logit_bias": st.dictionaries(st.sampled_from(["5", "3000", "-1", "a"]), st.integers(-200, 200), max_size=2),
    "presence_penalty": SHARES,
    "repetition_penalty": SHARES,
    "response_format": FORMATS,
    "structured_outputs": some(json=SCHEMAS, regex=TEXT, choice=st.lists(TEXT, max_size=2), grammar=TEXT),
    "min_tokens": MANY,
    "ignore_eos": st.booleans(),
    "stop_token_ids": TOKEN_IDS,
    "allowed_token_ids": TOKEN_IDS,
    "bad_words": st.lists(TEXT, max_size=2),
    "truncate_prompt_tokens": MANY,
    "add_generation_prompt": st.booleans(),
    "continue_final_message": st.booleans(),
    "echo": st.booleans(),
    "chat_template": TEXT,
    "chat_template_kwargs": st.dictionaries(TEXT, JUNK, max_size=2),
    "documents": JUNK,
    "user": TEXT,
    "metadata": JUNK,
    "reasoning_effort": st.sampled_from(["low", "none"]),
    "use_beam_search": st.booleans(),
    "length_penalty": PENALTIES,
    "priority": MANY,
    "cache_salt": TEXT,
    "request_id": TEXT,
    "vllm_xargs": JUNK,
    "kv_transfer_params": JUNK,
    "mm_processor_kwargs": JUNK,
}


@st.composite
def chat_bodies(draw: st.DrawFn) -> Any:
    """A chat request: a few tokens, mostly a good model and good messages, and a handful of other fields."""
    if draw(st.integers(0, 39)) == 39:
        return draw(JUNK)
    body = {"model": "tiny_base", "messages": draw(mostly(MESSAGES)), "max_tokens": draw(st.integers(1, 4))}
    if draw(st.booleans()):
        body["tools"] = draw(mostly(TOOLS))
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True)):
        body[name] = draw(mostly(FIELDS[name]))
    if draw(st.integers(0, 19)) == 19:
        body[draw(st.sampled_from(["model", "max_tokens", "max_completion_tokens"]))] = draw(JUNK)
    return body


OTHER_PATHS = ("/v1/completions", "/tokenize", "/detokenize", "/v1/embeddings", "/v1/score")
OTHERS = some(
    model=st.sampled_from(["tiny_base", "gpt"]),
    prompt=TEXT | TOKEN_IDS | st.lists(TEXT, max_size=2),
    max_tokens=st.integers(1, 4),
    stream=st.booleans(),
    n=st.integers(0, 2),
    echo=st.booleans(),
    suffix=TEXT,
    logprobs=MANY,
    best_of=MANY,
    use_beam_search=st.booleans(),
    length_penalty=PENALTIES,
    input=TEXT,
    text_1=TEXT,
    text_2=TEXT,
    tokens=TOKEN_IDS,
    add_special_tokens=st.booleans(),
    prompt_embeds=TEXT,
)

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/detokenize", {"tokens": [1, 2**32]}, "tokens[1]"),
    ("/detokenize", {"tokens": [1, 2**70]}, "tokens[1]"),
    ("/detokenize", {"tokens": [1, "x"]}, "tokens[1]"),
    ("/v1/completions", {"prompt": []}, "prompt"),
    ("/v1/completions", {"prompt": [""]}, "prompt"),
    ("/v1/completions", {"prompt": [99_999_999]}, "prompt"),
    ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ("/v1/completions", {"prompt": "a", "seed": 2**63}, "seed"),
]
"""Paths, bodies that they must refuse, and the field at fault."""
