"""Call formats: what is written is read back; any text is safe; what is accepted and what is refused."""

from __future__ import annotations

import json
import math
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import Call, CallFormat, json_calls, parse_answer, parse_calls, render_calls
from toolace.errors import ConfigError, DataError, ParseError

FORMATS: tuple[CallFormat, ...] = ("pythonic", "hermes", "llama3_json")

# Characters that make names and values hard: quotes, brackets, separators, escapes, several scripts.
TRICKY = st.sampled_from(
    [*"()[]{}=,;:\"'\\`/.-_ \n\t\x00\x1f\x7f\u00a0\u2028é北京🎉r", "\\n", "\\u0041", "```", "</tool_call>"]
)
TEXT = st.text(max_size=12) | st.lists(TRICKY, max_size=8).map("".join)
NAME = (TEXT | st.from_regex(r"[A-Za-z][\w ./-]{0,20}", fullmatch=True)).filter(bool)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
CALL = st.builds(Call, name=NAME, arguments=st.dictionaries(TEXT, VALUE, max_size=4))

# Fragments of all formats, so that random texts come close to real calls.
FRAGMENT = st.sampled_from(
    [
        *("[](){}=,:;\"'\\-\x00\ud800\n", '"""', "\\u", "\\ud800", "```json\n", "f(", "[f(a=", "a=1", '"a": ', "nan"),
        *(
            "1e999",
            "007",
            "None",
            "true",
            "r'",
            "<tool_call>",
            "</tool_call>",
            '{"name": "f", ',
            '"arguments": {}',
            "...",
        ),
        *('"parameters": {"a": 1}}', "<|python_tag|>", "[f()]", "9" * 5000, "\\N{DASH}", *"[](){}=,:;\"'\\-\x00\n"),
    ]
)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=())) | st.lists(FRAGMENT, max_size=14).map("".join)


def exact(calls: list[Call]) -> str:
    """Text that differs wherever calls differ, 1 and 1.0 and True included."""
    return repr([(call.name, call.arguments) for call in calls])


@pytest.mark.parametrize("format", FORMATS)
@given(calls=st.lists(CALL, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_parse_gives_back_what_render_wrote(format: CallFormat, calls: list[Call]) -> None:
    assert exact(parse_calls(render_calls(calls, format), format)) == exact(calls)


@pytest.mark.parametrize("format", FORMATS)
@given(text=ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_any_text_gives_an_answer_and_no_other_error(format: CallFormat, text: str) -> None:
    answer = parse_answer(text, format)
    answer.text.encode()
    assert not (answer.calls and answer.error)
    try:
        calls = parse_calls(text, format)
    except ParseError:
        assert answer.error is not None or not answer.calls
    else:
        assert tuple(calls) == answer.calls
        json.dumps([call.arguments for call in calls], allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "[f(a=" + "[" * 10_000,
        "[f(a=" + "{'a':" * 10_000 + "}" * 10_000,
        "[f(" * 10_000,
        "[f(a=(" + "(" * 10_000 + "1" + ")" * 10_000 + ")]",
        "<tool_call>" + '{"name": "f", "arguments": {"a": ' + "[" * 10_000 + "]" * 10_000 + "}}",
        '{"name": "f", "parameters": ' + '{"a": ' * 10_000 + "1" + "}" * 10_001,
        '{"a": ' * 10_000,
        '{"' * 10_000,
        "[f(a=" + "9" * 10_000 + ")]",
        "[f(a=" + '"\\' * 10_000,
        "f(" * 10_000 + ")" * 10_000,
    ],
)
def test_deep_and_long_texts_end_in_an_answer(format: CallFormat, text: str) -> None:
    assert parse_answer(text, format).calls == ()


def test_work_grows_with_the_length_of_the_text_alone() -> None:
    """Not a speed test: an exponential or cubic reader would not come back from these before the time limit."""
    for unit in [
        "[f(a=",
        "[a b ",
        "(a",
        "[f()] ",
        '["a',
        "['a",
        '{"name":',
        '{"a":"',
        "<tool_call>",
        " ",
        "[ ",
        "a(b)",
        "\\",
        "'''",
        "```",
    ]:
        for format in FORMATS:
            parse_answer(unit * 20_000, format)


@pytest.mark.parametrize("format", FORMATS)
def test_nesting_is_limited_alike_when_writing_and_reading(format: CallFormat) -> None:
    def nested(depth: int) -> Call:
        value: Any = 1
        for level in range(depth):
            value = [value] if level % 2 else {"a": value}
        return Call(name="f", arguments={"a": value})

    assert parse_calls(render_calls([nested(64)], format), format) == [nested(64)]
    with pytest.raises(DataError, match="deeper than 64"):
        render_calls([nested(65)], format)
    text = render_calls([nested(64)], format).replace("1", "[1]")
    with pytest.raises(ParseError, match="deeper than 64"):
        parse_calls(text, format)


WRITTEN = [
    Call(name="Market Trends API", arguments={"trend_type": "MARKET_INDEXES", "country": "us"}),
    Call(name="f", arguments={}),
    Call(name="a.b", arguments={"x": [1, -2.5, True, None, {"k": 'say "hi"\n', "é": "北京"}]}),
]


def test_pythonic_text_is_the_one_of_the_toolace_rows() -> None:
    assert render_calls(WRITTEN) == (
        '[Market Trends API(trend_type="MARKET_INDEXES", country="us"), f(), '
        'a.b(x=[1, -2.5, True, None, {"k": "say \\"hi\\"\\n", "é": "北京"}])]'
    )
    assert render_calls([]) == "[]"


def test_json_texts_are_the_ones_of_their_model_families() -> None:
    assert render_calls(WRITTEN[:2], "hermes") == (
        '<tool_call>\n{"name": "Market Trends API", "arguments": {"trend_type": "MARKET_INDEXES", "country": "us"}}\n'
        '</tool_call>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    )
    assert render_calls(WRITTEN[:2], "llama3_json") == (
        '{"name": "Market Trends API", "parameters": {"trend_type": "MARKET_INDEXES", "country": "us"}}; '
        '{"name": "f", "parameters": {}}'
    )


@pytest.mark.parametrize(
    "name",
    [
        "User Feed (Video Posts) V2",
        "Get Chat Code (Code to Chat)",
        "Get Games by Platform, Category, and Sorted",
        "M4.5+ Earthquakes, Past 7 Days",
        "Get Agent's Active Listings",
        "Q&A Notifications",
        "/v1/cocktail",
        "symbols/get-dividend-history",
        "a.b.c",
        "查询天气",
    ],
)
def test_names_of_real_tools_are_written_without_quotes(name: str) -> None:
    calls = [Call(name=name, arguments={"sort-by": 1, "api version": "x"}), Call(name=name)]
    assert render_calls(calls) == f'[{name}(sort-by=1, api version="x"), {name}()]'
    assert parse_calls(render_calls(calls)) == calls


def test_names_that_would_be_misread_are_quoted() -> None:
    calls = [
        Call(name="odd=name", arguments={"a,b": 1, "": 2}),
        Call(name="f()"),
        Call(name=" f "),
        Call(name=",f"),
        Call(name="f "),
    ]
    assert render_calls(calls) == '["odd=name"("a,b"=1, ""=2), "f()"(), " f "(), ",f"(), "f "()]'


VALUES: list[tuple[str, Any]] = [
    ("True", True),
    ("true", True),
    ("false", False),
    ("None", None),
    ("null", None),
    ("-3", -3),
    ("+3", 3),
    ("0", 0),
    ("1_000", 1000),
    ("123456789012345678901234567890", 123456789012345678901234567890),
    ("-0.5", -0.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("1.5E-2", 0.015),
    ("'it'", "it"),
    ("'it\\'s'", "it's"),
    ('"a\\tb\\u00e9\\x41\\101\\U0001F389"', "a\tbéAA🎉"),
    ('"\\ud83c\\udf89"', "🎉"),
    ('"C:\\data"', "C:\\data"),
    ("r'C:\\new'", "C:\\new"),
    ('"two\nlines"', "two\nlines"),
    ("'''a 'quoted'\nword'''", "a 'quoted'\nword"),
    ('"""a "b" c"""', 'a "b" c'),
    ('""', ""),
    ('""""""', ""),
    ("us", "us"),
    ("Color.RED", "Color.RED"),
    ("北京", "北京"),
    ("[]", []),
    ("[1, 'a', [2.0],]", [1, "a", [2.0]]),
    ("(1, 2)", [1, 2]),
    ("(1,)", [1]),
    ("()", []),
    ("(1)", 1),
    ("{}", {}),
    ('{"a": {"b": [true, null]}}', {"a": {"b": [True, None]}}),
    ("{a: 1, 2: 'x', True: 3}", {"a": 1, "2": "x", "true": 3}),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values_that_are_read(text: str, value: Any) -> None:
    (call,) = parse_calls(f"[f(a= {text} , b=1)]")
    assert repr(call.arguments) == repr({"a": value, "b": 1})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[f(a=1, a=2)]", "'a' is given twice"),
        ("[f(a={'x': 1, 'x': 2})]", "duplicate key 'x'"),
        ("[f(1)]", "expected a call:"),
        ("[f(a=1, 2)]", "expected argument=value"),
        ("[f(a=g(b=1))]", "expected ',' or '\\)'"),
        ("[f(a=1+2)]", "expected"),
        ("[f(a=__import__('os').system('true'))]", "expected ',' or '\\)'"),
        ("[f(a=nan)]", "not a JSON value"),
        ("[f(a=-Infinity)]", "not a JSON value"),
        ("[f(a=1e999)]", "out of range"),
        ("[f(a=007)]", "expected a value"),
        ("[f(a=)]", "expected a value"),
        ("[f(a=us-east)]", "expected"),
        ("[f(a='it's')]", "expected"),
        ("[f(a='open)]", "expected a value"),
        ("[f(a='\\u12')]", "escape"),
        ("[f(a='\\ud800')]", "surrogate"),
        ("[f(a=[1 2])]", "expected ',' or ']'"),
        ("[f(a=[1,,2])]", "expected a value"),
        ("[f(a={'x' 1})]", "expected ':'"),
        ("[f(a={[1]: 1})]", "key must be a string"),
        ("[f(a=1)", "expected ',' or ']'"),
        ("[f(a=1", "end of the text"),
        ("[Market Tre", "closed with"),
        ("[f(a=1) g(b=2)]", "expected ',' or ']'"),
        ("f(a=1) and more", "nothing after"),
        ("f(a=1)]", "nothing after"),
        ("f(a=", "expected a value"),
        ("f(5)", "expected a call"),
        ("Here: [f(a=1)] or [g(b=]", "expected a value"),
        ("['f'(a==1)]", "expected a value"),
        ("[''(a=1)]", "name is empty"),
    ],
)
def test_broken_pythonic_calls(text: str, error: str) -> None:
    answer = parse_answer(text)
    assert answer.calls == ()
    assert answer.text == text
    with pytest.raises(ParseError, match=error):
        parse_calls(text)


ONE = (Call(name="f", arguments={"a": 1}),)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (" [f(a=1)]\n", ""),
        ("[ f ( a = 1 , ) , ]", ""),
        ("Sure: [f(a=1)] Done.", "Sure: Done."),
        ("```python\n[f(a=1)]\n```", ""),
        ("Here:\n```\n[f(a=1)]\n```\nOk?", "Here:  \nOk?"),
        ("f(a=1)", ""),
        ("```\nf(a=1)\n```", ""),
        ("See [1] and [the note](http://x): [f(a=1)]", "See [1] and [the note](http://x):"),
    ],
)
def test_pythonic_calls_in_a_text(text: str, rest: str) -> None:
    answer = parse_answer(text)
    assert answer.calls == ONE
    assert answer.text.split() == rest.split()
    assert answer.error is None


def test_all_lists_and_blocks_of_a_text_count() -> None:
    two = (*ONE, Call(name="g"))
    assert parse_answer("[f(a=1)] then [g()]").calls == two
    assert parse_answer("f(a=1), g()").calls == two
    assert parse_answer("[Get A(a=1), Get B (C)(b=2)]").calls[1] == Call(name="Get B (C)", arguments={"b": 2})


@pytest.mark.parametrize(
    "text",
    [
        "I cannot do that.",
        "Which [country (ISO code)] do you mean?",
        "In [section f(x)] the value is (x=5).",
        "The total(tax included) (x=5) is 7.",
        "The total(x=5) is 7.",
        "[Note] no tool fits (sorry).",
        "[1, 2, 3]",
        '{"answer": 42}',
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_prose_is_text(text: str, format: CallFormat) -> None:
    answer = parse_answer(text, format)
    assert (answer.calls, answer.text, answer.error) == ((), text, None)
    with pytest.raises(ParseError, match=f"no {format} call"):
        parse_calls(text, format)


def test_an_empty_list_is_well_formed_and_says_nothing() -> None:
    assert parse_calls("[ ]") == []
    assert parse_answer("```\n[]\n```").text == ""
    with pytest.raises(ParseError, match="no pythonic call"):
        parse_calls("  ")


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("pythonic", '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'),
        ("pythonic", '{"name": "f", "parameters": {}}'),
        ("hermes", "[f(a=1)]"),
        ("hermes", '```json\n[{"name": "f", "arguments": {}}]\n```'),
        ("llama3_json", "[Market Trends API(a=1)]"),
        ("llama3_json", "<tool_call>"),
    ],
)
def test_a_call_in_another_format_is_broken_not_text(format: CallFormat, text: str) -> None:
    answer = parse_answer(text, format)
    assert answer.calls == ()
    assert answer.error is not None


def test_a_text_that_is_not_unicode_is_broken() -> None:
    answer = parse_answer("[f(a='\ud800')]")
    assert answer.error is not None and "Unicode" in answer.error
    answer.text.encode()


BLOCK = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (BLOCK, ""),
        (f"Let me see.\n{BLOCK}\nDone.", "Let me see. Done."),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', ""),
        ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', ""),
        ("<tool_call>{'id': None, 'name': 'f', 'arguments': {'a': 1}}</tool_call>", ""),
    ],
)
def test_hermes_blocks(text: str, rest: str) -> None:
    answer = parse_answer(text, "hermes")
    assert (answer.calls, answer.text, answer.error) == (ONE, rest, None)


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "f(a=1)",
        "[]",
        '{"name": "f"}',
        '{"name": "", "arguments": {}}',
        '{"name": 5, "arguments": {}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": "{}"}',
        '{"name": "f", "arguments": {"a": 1, "a": 2}}',
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arguments": {"a": 1e999}}',
        '{"name": "f", "arguments": {"a": "\\ud800"}}',
        '{"name": "f", "arguments": {"a": 1}',
        '{"name": "f", "arguments": {"a": 1}} and',
    ],
)
def test_broken_json_calls(inner: str) -> None:
    good = '{"name": "f", "arguments": {}}'
    assert parse_answer(f"<tool_call>{good}</tool_call><tool_call>{inner}</tool_call>", "hermes").error
    if inner.startswith('{"name"') and not inner.endswith("and"):
        assert parse_answer(f"{good}; {inner}", "llama3_json").error


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', ""),
        ('<|python_tag|>{"name": "f", "arguments": {"a": 1}}', ""),
        ('I call {"name": "f", "parameters": {"a": 1}} now', "I call now"),
        ('```json\n[{"type": "function", "name": "f", "parameters": {"a": 1}}]\n```', ""),
        ('{"note": {"x": 1}} {"name": "f", "parameters": {"a": 1}}', '{"note": {"x": 1}}'),
        ("{'name': 'f', 'parameters': {'a': 1}}", ""),
    ],
)
def test_llama3_objects(text: str, rest: str) -> None:
    answer = parse_answer(text, "llama3_json")
    assert (answer.calls, answer.text, answer.error) == (ONE, rest, None)


def test_a_raw_line_break_leaves_json_escapes_alone() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": "x\n\\/"}}</tool_call>'
    assert parse_calls(text, "hermes") == [Call(name="f", arguments={"a": "x\n/"})]


def test_a_closing_tag_inside_a_string_does_not_end_a_block() -> None:
    calls = [Call(name="f", arguments={"a": "</tool_call><tool_call>"})]
    assert parse_calls(render_calls(calls, "hermes"), "hermes") == calls


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, b"x", object()])
def test_what_json_cannot_hold_is_not_written(format: CallFormat, value: Any) -> None:
    with pytest.raises(DataError, match="argument"):
        render_calls([Call(name="f", arguments={"a": [value]})], format)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ConfigError, match="'xml'; known: pythonic, hermes, llama3_json"):
        parse_answer("x", "xml")  # type: ignore[arg-type]


def test_alphabet_of_plain_argument_names() -> None:
    for character in string.printable:
        calls = [Call(name=f"f{character}g", arguments={f"a{character}b": 1})]
        assert parse_calls(render_calls(calls)) == calls


@pytest.mark.parametrize("broken", ["NaN", "1e999", '{"b":1,"b":2}', "0"])
def test_reading_objects_within_unreadable_ones_is_bounded(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `{` would be read to the same far place again; the work is counted, not timed."""
    read = []

    class Counted:
        def raw_decode(self, text: str, pos: int) -> Any:
            read.append(len(text) - pos)
            return decoder.raw_decode(text, pos)

    decoder = json_calls._JSON
    monkeypatch.setattr(json_calls, "_JSON", Counted())
    call = '{"name": "f", "parameters": {}}'
    for nest, size, calls in ((300, 1_000_000, None), (20, 100_000, 1), (300, 2_000, 1)):
        read.clear()
        ones = "1," * (size // 2)
        text = '{"k":"\\ud800","a":' * nest + f"[{ones}{broken}]" + "}" * nest + call
        if calls is None:
            with pytest.raises(ParseError, match="too many objects within objects that cannot be read"):
                parse_calls(text, "llama3_json")
            assert sum(read) < json_calls.MAX_AGAIN + 2 * len(text)
        else:
            assert parse_calls(text, "llama3_json")[-1] == Call(name="f")
