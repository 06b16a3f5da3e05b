"""Raw answers as the messages that clients get."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import render_calls
from toolace.calls.schema import Call
from toolace.serving.passes import parse_message

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(Call, name=st.sampled_from(["f", "g-h"]), arguments=st.dictionaries(st.sampled_from("ab"), VALUES)),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["pythonic", "hermes", "llama3_json"]),
)
def test_written_calls_come_back_as_tool_calls(calls: list[Call], format: Any) -> None:
    message = parse_message(render_calls(calls, format), format)
    assert message["content"] is None
    found = [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in message["tool_calls"]]
    assert found == [(call.name, call.arguments) for call in calls]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[](){}<>f=x1\"'\\ud8:,/_nametool_call ", max_size=30), st.sampled_from(["pythonic", "hermes"]))
def test_any_text_becomes_a_message_that_can_be_sent(text: str, format: Any) -> None:
    json.dumps(parse_message(text, format), ensure_ascii=False, allow_nan=False).encode()
