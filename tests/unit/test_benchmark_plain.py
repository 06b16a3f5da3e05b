"""The short cuts of scoring: plain answers are read by patterns as the full parsers read them, and no others are."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from toolace.calls import Call
from toolace.calls.bfcl import check_plain
from toolace.calls.formats import parse_answer
from toolace.calls.matching import call_key, match_calls
from toolace.errors import ParseError
from toolace.evaluation.benchmarks import bfcl_decode, bfcl_java, bfcl_js
from toolace.evaluation.benchmarks.acebench_rules import read_official
from toolace.evaluation.benchmarks.bfcl_plain import read_plain, read_plain_java, read_plain_javascript
from toolace.evaluation.benchmarks.common import read_calls

NAMES = [
    "f",
    "Geo.find_shops",
    "get_all_shops",
    "Shop.find.All",
    "class",
    "new",
    "None",
    "true",
    "x1",
    "é",
    "__debug__",
    "in",
    "_",
    "$q",
]
PLAIN = ['"New York, NY"', "'it'", '""', "1", "-2", "1.5"]
VALUES = [
    '"New York, NY"', "'it'", "''", '""', '"a\\n"', '"é"', "1", "-2", "0", "007", "1.5", "-0.0", "1e3", "1_0", "0x1f",
    "5L", "2n", "3.5f", "True", "None", "true", "null", "undefined", "Unit.KM", "x", "new", "[1, 'a']", "[]", "{}",
    "{'k': [1, {'z': 2.5}]}", "{k: 1}", "{'k': 1, 'k': 2}", "{1: 'a'}", "[1, 2,]", "(1, 2)", "{1, 2}", "-x", "1 + 2",
    '"""long"""', "r'x'", "'a' 'b'", "g(1)", "x => y", "new int[]{1}", "`t`", "this", '"a', "'b", "[" * 30 + "]" * 30,
]  # fmt: skip
MARKS = ["", "", "", " ", "  ", "\n", "\t", ",", ";", ")", "]", "(", "=", "#", "//", "/*", "-", "\\", "\0", "'", '"']


def texts(count: int, seed: int) -> Iterator[str]:
    """Calls made of the pieces above, with a piece of them put in, taken out or cut off now and then."""
    rng = random.Random(seed)
    for _ in range(count):
        calls = []
        for _ in range(rng.choice((1, 1, 1, 2))):
            keys = rng.choices(["a", "b", "key", *NAMES], k=rng.randrange(4))
            given = rng.choice((", ", ",", " , ")).join(
                f"{key}{rng.choice(('=', ' = '))}{rng.choice(PLAIN if rng.random() < 0.6 else VALUES)}" for key in keys
            )
            calls.append(f"{rng.choice(NAMES[:4] if rng.random() < 0.7 else NAMES)}({given})")
        text = ", ".join(calls)
        text = rng.choice(
            (text, f"[{text}]", f"[{text}]", f"[{text};]", f" {text} ", f"```{text}```", f"[{text}", f"[ {text} ]")
        )
        if rng.random() < 0.4:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(MARKS) + text[at + rng.randrange(2) :]
        yield text


LANGUAGES: dict[str, tuple[Any, str, Callable[[str], Any], Callable[[str], Any]]] = {
    "python": (bfcl_decode, "read_plain", bfcl_decode.decode_python, read_plain),
    "java": (bfcl_java, "read_plain_java", bfcl_java.decode_java, read_plain_java),
    "javascript": (bfcl_js, "read_plain_javascript", bfcl_js.decode_javascript, read_plain_javascript),
}


def outcome(decode: Callable[[str], Any], text: str) -> str:
    try:
        return repr(decode(text))
    except ParseError:
        return "broken"


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_answers_are_read_as_by_the_parser(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, decode, plain = LANGUAGES[language]
    given = list(texts(6000, seed=5))
    found = [outcome(decode, text) for text in given]
    sources = [bfcl_decode.bracketed(text) for text in given]
    short = sum(plain(source if language == "python" else source[1:-1]) is not None for source in sources)
    assert short > 150, "the short cut is taken often enough to be tried"
    monkeypatch.setattr(module, name, lambda source: None)
    parsed = [outcome(decode, text) for text in given]
    assert [row for row in zip(given, found, parsed, strict=True) if row[1] != row[2]] == []


@pytest.mark.parametrize(
    "text",
    ["[f(a=1, a=2)]", "[f(class=1)]", "[f(a=b)]", "[f(1)]", "[f(a=01)]", "[f(a='x\\n')]", "[f(a=1), ]", "[f()]]"],
)
def test_what_is_not_plain_is_left_to_python(text: str) -> None:
    assert read_plain(text) is None


def test_the_types_of_values_stay() -> None:
    [(name, arguments)] = read_plain("[a.b(i=1, f=1.0, t='1', w=True, n=None, l=[1, 1.0], o={'k': -1})]") or []
    assert name == "a.b"
    assert repr(arguments) == "{'i': 1, 'f': 1.0, 't': '1', 'w': True, 'n': None, 'l': [1, 1.0], 'o': {'k': -1}}"
    assert read_plain_java("GeoShop.find(name=\"a b\", count=5L, kind=Unit.KM)") == (
        "GeoShop.find", {"name": "a b", "count": "5L", "kind": "Unit.KM"}
    )  # fmt: skip
    assert read_plain_javascript("find(list=[1, 'a'], map={k: 1})") == ("find", {"list": "[1, 'a']", "map": "{k: 1}"})


def test_short_java_is_left_to_the_parser() -> None:
    assert read_plain_java("f(a=1)" + 30 * " ") is None and read_plain_java("f(a='a long text here')") is not None


def test_equal_calls_are_seen_before_their_keys_are_written() -> None:
    """What is equal down to the types is equal; what only the keys make equal still is."""
    values: list[Any] = [
        1,
        1.0,
        True,
        "1",
        None,
        [1],
        [1.0],
        (1,),
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        float("nan"),
        -0.0,
        0,
    ]
    for a in values:
        for b in values:
            one, two = Call(name="f", arguments={"x": a}), Call(name="f", arguments={"x": b})
            equal = match_calls([one], [two], rules="strict").correct
            assert equal == (call_key(one) == call_key(two)), (a, b)
    assert check_plain(Call(name="f", arguments={"x": True}), Call(name="f", arguments={"x": 1}), {}) is not None


def test_arguments_read_at_once_are_those_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolace.calls import pythonic

    given = [
        *texts(4000, seed=6),
        "[f(a=\"x\" , b = 'y',c=3,)]",
        "[f(a=1,a=2)]",
        '[f(a="""x""", b="")]',
        "[f(a=1_000)]",
    ]
    found = [parse_answer(text) for text in given]
    assert sum(bool(answer.calls) for answer in found) > 500

    class Never:
        @staticmethod
        def match(text: str, pos: int) -> None:
            return None

    monkeypatch.setattr(pythonic, "_READ_PLAIN", Never)
    assert [repr(answer) for answer in found] == [repr(parse_answer(text)) for text in given]


def test_the_strict_rules_may_take_over_what_the_official_ones_have_read() -> None:
    whole = 0
    for text in texts(3000, seed=7):
        for squeeze in (False, True):
            answer, same = read_official(text, squeeze=squeeze)
            whole += same
            assert not same or answer.calls == read_calls(text).calls, text
    assert whole > 300
    assert read_official("[f(a='x y')]", squeeze=True)[1] is False
