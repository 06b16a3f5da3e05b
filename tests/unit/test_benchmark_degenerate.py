"""BFCL answers that no one would write: nested hundreds of levels deep, numbers of thousands of digits, endless texts.

Verdicts and error kinds are the official checker's, which runs into limits of Python there.
"""

from __future__ import annotations

from typing import Any

import pytest

from toolace.calls import Call, render_calls
from toolace.calls.schema import Chat
from toolace.evaluation.benchmarks.base import BenchmarkRow
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.bfcl_write import scored_text

FAILED = "ast_decoder:decoder_failed"
FUNCTION = {
    "name": "f",
    "parameters": {"type": "dict", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
}


def error(text: str, category: str = "simple_python", function: Any = FUNCTION, accepted: Any = 5) -> str | None:
    """The verdict's error kind on an answer for a parameter `n`; None where it is right."""
    row = BenchmarkRow("r", category, Chat(), {"function": [function]}, [{function["name"]: {"n": [accepted]}}])
    return Bfcl().judge(row, text).error


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("+".join(["1"] * 328), True),
        ("+".join(["1"] * 329), False),
        ("**".join(["1"] * 329), False),
        ("'a'+" * 327 + "'b'", True),
        ("'a'+" * 328 + "'b'", False),
        ("1+" + "-" * 326 + "1", True),
        ("1+" + "-" * 327 + "1", False),
        ("[1]+[1" + "+1" * 325 + "]", True),
        ("[1]+[1" + "+1" * 326 + "]", False),
        ("(1,)+" + "(" * 196 + "1" + ",2)" * 196, True),
        ("(1,)+" + "(" * 197 + "1" + ",2)" * 197, False),
        ("[1]+[" + "{1:" * 162 + "1" + "}" * 162 + "]", True),
        ("[1]+[" + "{1:" * 163 + "1" + "}" * 163 + "]", False),
        ("[1]+[" + "{**" * 194 + "{1:1}" + "}" * 194 + "]", True),
        ("[1]+[" + "{**" * 195 + "{1:1}" + "}" * 195 + "]", False),
        ("1+sum([" + "1," * 10_000 + "])", True),
    ],
)
def test_an_expression_nested_as_deep_as_python_cannot_write_is_undecodable(value: str, decoded: bool) -> None:
    assert (error(f"[f(n={value})]") != FAILED) is decoded


def test_a_name_of_thousands_of_parts_is_left_to_the_parser() -> None:
    assert error("[f" + ".a" * 1000 + "(n=5)]") == "simple_function_checker:wrong_func_name"
    assert error("[f" + ".a" * 3000 + "(n=5)]") == FAILED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2**8000", "value_error:others"),
        ("10**4299", "value_error:others"),
        ("10**4300", "uncheckable"),
        ("-(10**5000)*1", "uncheckable"),
        ("1<<14001>>13998", "value_error:others"),
        ("(2**1000000>>999999)+3", None),
        ("10**300000%7+4", None),
        ("10**5000//10**4999-5", None),
        ("10**5000/10**4999", "type_error:simple"),
        ("1**10**50+4", None),
        ("(-1)**(2**2000)+4", None),
        ("(0<<10**30)+5", None),
        ("round(123, -10000)+5", None),
        ("int('f'*2000, 16)%2+4", None),
        ("0x" + "f" * 20_000 + "*0+5", FAILED),
        ("str(10**5000)+''", FAILED),
        ("10**400/3", FAILED),
        ("2**(2**20)", FAILED),
        ("7**10**9%7+5", FAILED),
    ],
)
def test_long_numbers_are_worked_out_within_bounds(value: str, expected: str | None) -> None:
    """The last two are known differences: officially they are worked out, however long it takes."""
    assert error(f"[f(n={value})]") == expected


def test_a_long_number_is_an_argument_where_its_value_does_not_matter() -> None:
    assert error("[f(n=5, m=10**5000)]") == "simple_function_checker:unexpected_param"
    row = BenchmarkRow("r", "irrelevance", Chat(), {"function": [FUNCTION]}, None)
    assert Bfcl().judge(row, "[f(n=10**5000)]").error == "irrelevance_error:decoder_success"


JAVA = {
    "name": "Some.call",
    "parameters": {"type": "dict", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
}


@pytest.mark.parametrize(("before", "deepest"), [("(", 986), ("!(", 493), ("1+(", 493), ("x=(", 493)])
def test_a_java_call_is_found_as_deep_as_officially(before: str, deepest: int) -> None:
    def verdict(levels: int) -> str | None:
        return error("[" + before * levels + "Some.call(n=5)" + ")" * levels + "]", "simple_java", JAVA)

    assert verdict(deepest) is None
    assert verdict(deepest + 1) == FAILED


@pytest.mark.parametrize(
    ("open_", "innermost", "close", "deepest"),
    [
        ("(", "1", ")", 328),
        ('"x"+', '"y"', "", 328),
        ("- ", "1", "", 328),
        ("a.", "b", "", 328),
        ("x->", "1", "", 328),
        ("new A(", "1", ")", 986),
        ("new A[]{", "1", "}", 246),
    ],
)
def test_a_java_argument_is_read_as_deep_as_officially(open_: str, innermost: str, close: str, deepest: int) -> None:
    def verdict(levels: int) -> str | None:
        return error(f"[Some.call(n={open_ * levels}{innermost}{close * levels})]", "simple_java", JAVA)

    assert verdict(deepest) == "type_error:simple"
    assert verdict(deepest + 1) == FAILED


@pytest.mark.parametrize("value", ["[{}]", "[1, {}]", "new Array({})"])
def test_a_javascript_array_with_an_integer_that_python_does_not_read_stays_text(value: str) -> None:
    details = {"type": "array", "items": {"type": "integer"}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": {"n": details}, "required": ["n"]}}
    text = f"[f(n={value.format('1' * 5000)})]"
    assert error(text, "simple_javascript", function, [1]) == "type_error:simple"
    assert error(f"[f(n={'1' * 5000})]", "simple_javascript") == "uncheckable"


@pytest.mark.parametrize(
    ("category", "endless"), [("simple_java", "f(x=1)" + ",f(x=1)" * 60_000), ("simple_javascript", "I am. " * 60_000)]
)
def test_source_that_is_parsed_for_minutes_cannot_be_compared(category: str, endless: str) -> None:
    assert error(f"[{endless}]", category, JAVA) == "uncheckable"
    assert error("[ Some.call( n = (1) ); ]", category, JAVA) == "type_error:simple"  # the parser begins anew
    said = render_calls([Call(name="Some.call", arguments={"n": endless})], "hermes")
    assert scored_text(category, said, "hermes").startswith("[Some.call(n=")


@pytest.mark.parametrize("output", [[], [["[f(n=5)]"]]])
def test_an_output_that_is_no_text_cannot_be_decoded(output: Any) -> None:
    for category in ("simple_python", "simple_java", "simple_javascript", "parallel", "live_multiple"):
        assert error(output, category) == FAILED
    row = BenchmarkRow("r", "irrelevance", Chat(), {"function": [FUNCTION]}, None)
    assert Bfcl().judge(row, output).correct, "as officially: no call is right there"
