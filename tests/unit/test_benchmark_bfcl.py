"""The Berkeley Function-Calling Leaderboard: decoding, verdicts, files and scores, on rows written here."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from toolace.errors import DataError, ParseError
from toolace.evaluation.benchmarks import bfcl_trees
from toolace.evaluation.benchmarks.base import BenchmarkRow, RowVerdict
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.bfcl_convert import JAVA, JAVASCRIPT
from toolace.evaluation.benchmarks.bfcl_decode import decode_python
from toolace.evaluation.benchmarks.bfcl_java import decode_java
from toolace.evaluation.benchmarks.bfcl_js import decode_javascript
from toolace.evaluation.benchmarks.bfcl_patterns import EndlessError
from toolace.evaluation.benchmarks.bfcl_rows import other_files
from toolace.evaluation.benchmarks.bfcl_scores import FORMULAS, not_run, scores

BROKEN = "broken"


def decoded(text: str) -> Any:
    try:
        return [{call.name: call.arguments} for call in decode_python(text)]
    except ParseError:
        return BROKEN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a=1, b='x')]", [{"f": {"a": 1, "b": "x"}}]),
        ("f(a=1)", [{"f": {"a": 1}}]),
        ("```\nf(a=1), g()\n```", [{"f": {"a": 1}}, {"g": {}}]),
        ("```python\n[f(a=1)]\n```", BROKEN),
        ("Here: [f(a=1)]", BROKEN),
        ("[f(a=1)] done", BROKEN),
        ("[]", []),
        ("", []),
        ("no", BROKEN),
        ("[1]", BROKEN),
        ("[my tool(a=1)]", BROKEN),
        ("[a.b.c(x=1)]", [{"a.b.c": {"x": 1}}]),
        ("[f(1, 2, a=3)]", [{"f": {"a": 3}}]),
        ("[f(**{'a': 1})]", [{"f": {None: {"a": 1}}}]),
        ("[f(a=Paris, b=true)]", [{"f": {"a": "Paris", "b": "true"}}]),
        ("[f(a=not True, b=+3, c=-2.5)]", [{"f": {"a": -1, "b": -3, "c": -2.5}}]),
        ("[f(a=-x)]", BROKEN),
        ("[f(a=g(1, x), b=g(y=2))]", [{"f": {"a": "g(1, x)", "b": {"g": {"y": 2}}}}]),
        ("[f(a=(1, 2), b=[1, {'k': None}])]", [{"f": {"a": (1, 2), "b": [1, {"k": None}]}}]),
        ("[f(a=x[ 1 ], b=...)]", [{"f": {"a": "x[1]", "b": "..."}}]),
        ("[f(a=x.y)]", BROKEN),
        ("[f(a=lambda: 1)]", BROKEN),
        ("[f(a={1, 2})]", BROKEN),
        (
            "[f(a=12 * 500, b='x' + 'y', c=2 * [0], d=len('ab') + 1)]",
            [{"f": {"a": 6000, "b": "xy", "c": [0, 0], "d": 3}}],
        ),
        ("[f(a=1 / 0)]", BROKEN),
        ("[f(a=10 ** 10 ** 9)]", BROKEN),
        ("[f(a='x' * 10 ** 12)]", BROKEN),
        ("[f(a=1 << 10 ** 12)]", BROKEN),
        ("[f(a='%999999999d' % 1)]", BROKEN),
        ("[f(a=1 + round(5, -10 ** 9))]", BROKEN),
        ("[f(a=[[0] * 2000] * 2000)]", BROKEN),
        ("[f(a='x' + str([0] * 10 ** 6))]", BROKEN),
        ("[f(a=[] + sum([[0]] * 10 ** 4, []))]", BROKEN),
        ("[f(a=1 + int('f' * 10 ** 6, 16))]", BROKEN),
        ("[f(a=[0] * 0 + (-3) * [1] + [] * 10 ** 12, b='' * 10 ** 12)]", [{"f": {"a": [], "b": ""}}]),
        (
            "[f(a=1 + int('ff', 16), b=0 + sum([1, 2], 3), c='n=' + str([1, 'x']), d=0 + round(1234, -2))]",
            [{"f": {"a": 256, "b": 6, "c": "n=[1, 'x']", "d": 1200}}],
        ),
        ("[f(a=[{1, 2}] + [{'k': (1, 2.5)}], c=-(-3) * -2)]", [{"f": {"a": [{1, 2}, {"k": (1, 2.5)}], "c": -6}}]),
        (
            "[f(a={'x': 1, **{'y': 2, 'x': 3}, 'y': 4} | {}, b={**{'k': 1} | {'k': 2}} | {}, c=len({**{}}) + 1)]",
            [{"f": {"a": {"x": 3, "y": 4}, "b": {"k": 2}, "c": 1}}],
        ),
        ("[f(a=str({'x': 1, **{'y': 2, 'x': 3}}) + '')]", [{"f": {"a": "{'x': 3, 'y': 2}"}}]),
        ("[f(a={**[1]} | {})]", BROKEN),
        ("[f(a={**{'x': 1}})]", BROKEN),
        ("[f(a=[*[1]] + [])]", BROKEN),
        ("[f(a=__import__('os').getpid() + 1)]", BROKEN),
        ("[f(a={[1]: 2})]", BROKEN),
        ("[" * 5000, BROKEN),
        ("[f(a='\0')]", BROKEN),
        ("[f(a='\ud800')]", BROKEN),
        ("[f(a='\\d')]", [{"f": {"a": "\\d"}}]),
    ],
)
def test_python_text_is_decoded_as_the_leaderboard_does(text: str, expected: Any) -> None:
    assert decoded(text) == expected


@pytest.mark.parametrize("text", ["[f(a='\\d')]", "[f(a=1or 2)]", "[f(a=0x1for x in y)]"])
def test_texts_of_a_model_bring_no_warnings(text: str) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decoded(text)
    assert not seen


@pytest.mark.parametrize(
    "value",
    [
        "+".join(['"a"*1048576'] * 300),
        "+".join(["b'a'*1048576"] * 300),
        "+".join(["[0]*1048576"] * 300),
        "+".join(["(0,)*1048576"] * 300),
        "[" + ",".join(["[0]*1000000"] * 400) + "]",
        "{" + ",".join(f"{n}:[0]*1000000" for n in range(400)) + "}",
        "{}|{" + ",".join(["**{1:'a'*500000}"] * 400) + "}",
        "1+len([" + ",".join(["'a'*500000"] * 400) + "])",
        "+".join(["((1<<1048570)-1)//((1<<65536)-1)"] * 300),
        "+".join(["((1<<524280)-1)*((1<<524280)-1)"] * 300),
        "+".join(["3**661000"] * 300),
        "+".join(["(-1)**((1<<1048570)-1)"] * 300),
        "+".join(["round((1<<1048570)-1,-5000)"] * 300),
        "'a'*100" + "*2" * 300,
    ],
)
def test_arithmetic_that_would_stop_the_scoring_is_given_up_at_once(value: str) -> None:
    for text in (f"[f(x={value})]", "[" + ",".join([f"f(x={value})"] * 3) + "]"):
        kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert decoded(text) == BROKEN
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kept < 100_000  # kB


def test_the_calls_of_an_answer_share_the_work() -> None:
    assert decoded("[f(x='a'*1000000)]") == [{"f": {"x": "a" * 10**6}}]
    assert decoded("[" + ",".join(["f(x='a'*1000000)"] * 5) + "]") == BROKEN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[Some.call(a="x", b=5L, c=true)]', {"Some.call": {"a": "x", "b": "5L", "c": "true"}}),
        ("[Some.call(a=1); g(b=2)]", {"Some.call": {"a": "1"}}),
        ("[Some.call(a=1), g(b=2)]", BROKEN),
        ("[f(a=1)]", BROKEN),  # too short for a repair of its missing semicolon
        ("[f(a=1);]", {"f": {"a": "1"}}),
        ('[Some.call(a=new String[] {"a", "b"})]', {"Some.call": {"a": 'new String[]{"a","b"}'}}),
        (
            '[Some.call(a=new HashMap<String, Object>() {{ put("k", 1); }})]',
            {"Some.call": {"a": "new HashMap<String,Object>()"}},
        ),
        ("[Some.call(a=new Foo( 1,x.y( 2 ) ))]", {"Some.call": {"a": "new Foo(1, x.y( 2 ))"}}),
        ("[Some.call(a=new int[5])]", BROKEN),
        (
            "[Some.call(a=(x) -> { return x; }, b=Foo.class, c=x == 1 ? y : z)]",
            {"Some.call": {"a": "(x)->{returnx;}", "b": "Foo.class", "c": "x==1?y:z"}},
        ),
        ("[Some.call(x, a=1)]", {"Some.call": {None: "x", "a": "1"}}),
        ("[Some.call(a=1, a=2)]", BROKEN),
        ("[Some.call(a=['x'])]", BROKEN),
        ('[Some.call(a="é", b="x")]', {"Some.call": {"a": 'é"', "=": '"'}}),
        ("```java\nSome.call(a=1)\n```", BROKEN),
        ("I am sorry, I cannot do that.", BROKEN),
        ("Not possible", None),
        ("[]", None),
    ],
)
def test_java_text_is_decoded_as_the_leaderboard_does(text: str, expected: Any) -> None:
    try:
        calls = decode_java(text)
    except ParseError:
        assert expected == BROKEN
    else:
        assert (calls and {calls[0].name: calls[0].arguments}) == expected


def test_time_in_which_others_had_the_processor_does_not_count() -> None:
    source, parser = "run(1);\n" * 2_000, bfcl_trees._parser("java")
    whole = bfcl_trees.tree_of(source, "java").sexp()
    parser.set_timeout_micros(1)  # on the clock on the wall, as where the machine is busy
    try:
        assert bfcl_trees.tree_of(source, "java").sexp() == whole
    finally:
        parser.set_timeout_micros(int(bfcl_trees._LOOK * 1_000_000))


def test_parsing_ends_at_the_limit_of_processor_time_and_not_later(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.thread_time()
    with pytest.raises(EndlessError, match="more than 2 s to parse"):
        bfcl_trees.tree_of('"' * 100_000 + "1", "java")
    assert bfcl_trees.SECONDS < time.thread_time() - begun < bfcl_trees.SECONDS + 3 * bfcl_trees._LOOK + 0.1
    clock = iter([0.0, bfcl_trees.SECONDS + 0.1])
    with monkeypatch.context() as slow:
        slow.setattr(bfcl_trees.time, "thread_time", lambda: next(clock))
        with pytest.raises(EndlessError):  # also where the tree is there when it is looked at
            bfcl_trees.tree_of("run(1);", "java")
    assert bfcl_trees.tree_of("run(1);", "java").sexp() == bfcl_trees.tree_of("run(1); ", "java").sexp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a='x', b={k: [1, 2]}, c=(x) => x + 1)]", {"f": {"a": "x", "b": "{k: [1, 2]}", "c": "(x) => x + 1"}}),
        ("```javascript\nf(a=1)\n```", {"f": {"a": "1"}}),
        ("f(a=1); g(b=2)", {"f": {"a": "1"}}),
        ("f(a=1), g(b=2)", None),
        ("f(a=1) g(b=2)", BROKEN),
        ("await f(a=1)", None),
        ("(f(a=1))", None),
        ("f(a=1,, b=`t ${x}`)", {"f": {"a": "1", "b": "`t ${x}`"}}),
        ("f(true, a+=1)", {"f": {None: "true"}}),
        ("f(a=1, a=2)", BROKEN),
        ("f(a='it's')", BROKEN),
        (
            "f(a=/re[/]x/g, b=function (x) { return 1; }, c=new Foo)",
            {"f": {"a": "/re[/]x/g", "b": "function (x) { return 1; }", "c": "new Foo"}},
        ),
        ("<tool_call>f(a=1)</tool_call>", None),
        ("Sorry, I can not", BROKEN),
        ("Sorry", None),
    ],
)
def test_javascript_text_is_decoded_as_the_leaderboard_does(text: str, expected: Any) -> None:
    try:
        calls = decode_javascript(text)
    except ParseError:
        assert expected == BROKEN
    else:
        assert (calls and {calls[0].name: calls[0].arguments}) == expected


def test_source_text_becomes_values_by_the_languages_rules() -> None:
    java, javascript = JAVA.convert, JAVASCRIPT.convert
    assert java("5", "integer", None) == 5 and java("5L", "integer", None) == "5L"
    assert java("5L", "long", None) == 5 and java("5", "long", None) == "5"
    assert java("2.5f", "float", None) == 2.5 and java("2.5", "float", None) == "2.5"
    assert java("true", "boolean", None) is True and java("True", "boolean", None) == "True"
    assert java('new String[]{"a", "b"}', "Array", "String") == ['"a"', '"b"']
    assert java('new ArrayList<>(Arrays.asList("a", 1, true))', "ArrayList", None) == ["a", 1, True]
    assert java('new HashMap<A, B>() {{ put("k", 1L); put("l", x); }}', "HashMap", None) == {"k": 1, "l": "x"}
    assert javascript("5n", "Bigint", None) == 5 and javascript("5", "Bigint", None) == "5"
    assert javascript("[1, 'a', true]", "array", None) == [1, "a", True]
    assert javascript("[[1, 2], [3]]", "array", "array") == [[1, 2], [3]]
    assert javascript("{a: 1, 'b': [true, \"x\"]}", "dict", None) == {"a": 1, "b": [True, "x"]}
    assert javascript("x", "dict", None) == "x"


FUNCTION = {
    "name": "f",
    "description": "It does.",
    "parameters": {
        "type": "dict",
        "properties": {
            "n": {"type": "integer"},
            "o": {"type": "dict"},
            "w": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["n"],
    },
}


def row(category: str, gold: Any, functions: list[Any] | None = None) -> BenchmarkRow:
    from toolace.calls.schema import Chat

    return BenchmarkRow("r", category, Chat(), {"function": functions or [FUNCTION, {**FUNCTION, "name": "g"}]}, gold)


@pytest.mark.parametrize(
    ("category", "gold", "text", "error"),
    [
        ("simple_python", [{"f": {"n": [1]}}], "[f(n=1)]", None),
        ("simple_python", [{"f": {"n": [1]}}], "prose", "ast_decoder:decoder_failed"),
        ("simple_python", [{"f": {"n": [1]}}], "[]", "simple_function_checker:wrong_count"),
        ("live_simple", [{"f": {"n": [1]}}], "[g(n=1)]", "simple_function_checker:wrong_func_name"),
        ("simple_python", [{"f": {"n": [1]}}], "[f()]", "simple_function_checker:missing_required"),
        ("simple_python", [{"f": {"n": [1]}}], "[f(n=1, **x)]", "simple_function_checker:unexpected_param"),
        ("simple_python", [{"f": {"n": [1], "w": [["a"]]}}], "[f(n=1)]", "simple_function_checker:missing_optional"),
        ("simple_python", [{"f": {"n": [1]}}], "[f(n='1')]", "type_error:simple"),
        ("simple_python", [{"f": {"n": [1], "w": [["a"]]}}], "[f(n=1, w=[1])]", "type_error:nested"),
        ("simple_python", [{"f": {"n": [1], "w": ["", ["a"]]}}], "[f(n=1, w=['b'])]", "value_error:list/tuple"),
        ("simple_python", [{"f": {"n": [1], "o": [""]}}], "[f(n=1, o={})]", "dict_checker:unclear"),
        ("simple_python", [{"f": {"n": [1], "w": []}}], "[f(n=1, w=['a'])]", "type_error:simple"),
        ("simple_python", [{"f": {"n": [1], "o": [{"k": "ab"}]}}], "[f(n=1, o={'k': 'a'})]", None),  # its letters
        ("live_multiple", [{"g": {"n": [1]}}], "[g(n=1)]", None),
        ("multiple", [{"g": {"n": [1]}}], "[g(n=1), g(n=1)]", "multiple_function_checker:wrong_count"),
        ("parallel", [{"f": {"n": [1]}}, {"f": {"n": [2]}}], "[f(n=2), f(n=1)]", None),
        ("parallel", [{"f": {"n": [1]}}], "[]", "parallel_function_checker_no_order:wrong_count"),
        (
            "parallel_multiple",
            [{"f": {"n": [1]}}, {"g": {"n": [2]}}],
            "[f(n=1), g(n=1)]",
            "parallel_function_checker_no_order:cannot_find_match",
        ),
        (
            "parallel",
            [{"f": {"n": [1, 2]}}, {"f": {"n": [1]}}],
            "[f(n=1), f(n=2)]",
            "parallel_function_checker_no_order:cannot_find_match",
        ),
        ("irrelevance", None, "No function fits.", None),
        ("irrelevance", None, "[]", None),
        ("live_irrelevance", None, "[f(n=1)]", "irrelevance_error:decoder_success"),
        ("live_relevance", None, "[f(n=1)]", None),
        ("live_relevance", None, "[]", "relevance_error:decoder_failed"),
        ("simple_python", [{"f": {"n": [1]}}], f"[f(n=0x{'f' * 9999})]", "uncheckable"),
    ],
)
def test_verdicts_carry_the_official_error_kinds(category: str, gold: Any, text: str, error: str | None) -> None:
    verdict = Bfcl().judge(row(category, gold), text)
    assert (verdict.correct, verdict.error) == (error is None, error)
    assert bool(verdict.detail) == (error is not None)


def test_java_and_javascript_arguments_are_source_text() -> None:
    properties = {"n": {"type": "integer"}, "w": {"type": "Array", "items": {"type": "String"}}}
    function = {"name": "Some.call", "parameters": {"type": "dict", "properties": properties, "required": ["n"]}}
    java = row("simple_java", [{"Some.call": {"n": [5], "w": [['"a"'], ""]}}], [function])
    bench = Bfcl()
    assert bench.judge(java, '[Some.call(n=5, w=new String[]{"a"})]').correct
    assert bench.judge(java, "[Some.call(n=5L)]").error == "type_error:simple"
    assert bench.judge(java, "Not possible").error == "ast_decoder:decoder_wrong_output_format"
    js_function = {"name": "f", "parameters": {"type": "dict", "properties": {"n": {"type": "Bigint"}}, "required": []}}
    javascript = row("simple_javascript", [{"f": {"n": [5]}}], [js_function])
    assert bench.judge(javascript, "f(n=5n)").correct
    assert bench.judge(javascript, "f(n=5)").error == "type_error:simple"


def write(folder: Path, category: str, lines: list[Any], answers: list[Any] | None = None, version: str = "v4") -> None:
    def dump(path: Path, entries: list[Any]) -> None:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries) + "\n", encoding="utf-8")

    dump(folder / f"BFCL_{version}_{category}.json", lines)
    if answers is not None:
        dump(folder / "possible_answer" / f"BFCL_{version}_{category}.json", answers)


def entry(number: int, **changes: Any) -> dict[str, Any]:
    question = [[{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]]
    return {"id": f"simple_python_{number}", "question": question, "function": [FUNCTION]} | changes


GOOD = {"id": "x", "ground_truth": [{"f": {"n": [1]}}]}


def test_files_become_rows_and_faulty_lines_become_rows_with_problems(tmp_path: Path) -> None:
    lines = [entry(0), "{broken", entry(2, function=[{"name": "f"}]), entry(3), entry(4), entry(5, question=[])]
    write(
        tmp_path,
        "simple_python",
        lines,
        [GOOD, GOOD, GOOD, {"id": "x", "ground_truth": [{"f": {"n": 1}}]}, "null", GOOD],
    )
    write(tmp_path, "live_irrelevance", [entry(0, id="live_irrelevance_0-0-0")])
    write(tmp_path, "web_search", [{}])
    bench = Bfcl()
    rows = bench.load(tmp_path)
    assert [r.category for r in rows] == ["simple_python"] * 6 + ["live_irrelevance"]
    assert [r.problem is None for r in rows] == [True, False, False, False, False, False, True]
    assert all(
        r.problem.startswith(f"BFCL_v4_simple_python.json line {n}") for n, r in enumerate(rows[:6], 1) if r.problem
    )
    first = rows[0]
    assert [m.role for m in first.chat.messages] == ["system", "user"]
    assert first.chat.tools[0].parameters["properties"]["n"] == {"type": "integer"}
    assert first.chat.tools[0].parameters["type"] == "object"
    assert bench.judge(first, "[f(n=1)]").correct
    assert bench.judge(rows[1], "[f(n=1)]").error == "bad_row"
    assert other_files(tmp_path) == ["BFCL_v4_web_search.json"]


def test_v3_files_are_read_under_v4_category_names(tmp_path: Path) -> None:
    write(tmp_path, "simple", [entry(0, id="simple_0")], [GOOD], version="v3")
    assert [(r.id, r.category) for r in Bfcl().load(tmp_path)] == [("simple_0", "simple_python")]
    write(tmp_path, "simple_python", [entry(0)], [GOOD])
    with pytest.raises(DataError, match="both"):
        Bfcl().load(tmp_path)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no BFCL files"):
        Bfcl().load(tmp_path)
    write(tmp_path, "simple_python", [entry(0), entry(1)])
    with pytest.raises(DataError, match="possible_answer"):
        Bfcl().load(tmp_path)
    write(tmp_path, "simple_python", [entry(0), entry(1)], [GOOD])
    with pytest.raises(DataError, match=r"2 rows, .* 1"):
        Bfcl().load(tmp_path)


def test_multi_turn_rows_are_loaded_and_not_scored(tmp_path: Path) -> None:
    item = entry(0, id="multi_turn_base_0", involved_classes=["MathAPI"], missed_function={"1": ["held"]})
    del item["function"]
    write(tmp_path, "multi_turn_base", [item], [{"id": "multi_turn_base_0", "ground_truth": [["f(n=1)"]]}])
    assert "math_api.json" in str(Bfcl().load(tmp_path)[0].problem)
    (tmp_path / "multi_turn_func_doc").mkdir()
    docs = [FUNCTION, {**FUNCTION, "name": "held"}]
    (tmp_path / "multi_turn_func_doc" / "math_api.json").write_text("\n".join(map(json.dumps, docs)), encoding="utf-8")
    (loaded,) = Bfcl().load(tmp_path)
    assert loaded.problem is None and [tool.name for tool in loaded.chat.tools] == ["f"]
    verdict = Bfcl().judge(loaded, [["[f(n=1)]"]])
    assert (verdict.correct, verdict.error) == (False, "not_scored") and "backends" in verdict.detail
    assert Bfcl().scores([verdict], {"multi_turn_base": 1})["multi_turn_base"] is None


def verdicts(right: dict[str, tuple[int, int]]) -> tuple[list[RowVerdict], dict[str, int]]:
    made = [RowVerdict(f"{c}_{i}", c, i < good) for c, (good, size) in right.items() for i in range(size)]
    return made, {category: size for category, (_, size) in right.items()}


def test_scores_follow_the_formulas_of_their_versions() -> None:
    right = {
        "simple_python": (3, 4), "simple_java": (1, 2), "simple_javascript": (1, 1), "multiple": (1, 2),
        "parallel": (1, 4), "parallel_multiple": (0, 2), "irrelevance": (1, 1), "live_simple": (2, 4),
        "live_multiple": (6, 10), "live_parallel": (1, 1), "live_parallel_multiple": (0, 1),
        "live_irrelevance": (1, 4), "live_relevance": (1, 2), "multi_turn_base": (1, 2), "multi_turn_miss_func": (0, 2),
        "multi_turn_miss_param": (1, 2), "multi_turn_long_context": (2, 2),
    }  # fmt: skip
    found = scores(*verdicts(right))
    four = [(0.75 + 0.5 + 1) / 3, 0.5, 0.25, 0.0]
    assert found["v4_non_live"] == pytest.approx(sum(four) / 4)
    assert found["v4_live"] == pytest.approx(9 / 16)
    assert found["v4_irrelevance"] == pytest.approx((1 + 0.25) / 2)
    assert found["v4_multi_turn"] == pytest.approx(0.5)
    assert found["v4_overall"] is None  # the agentic part is never run
    non_live, live = (sum(four) + 1) / 5, 11 / 22
    assert found["v3_2025_08_non_live"] == pytest.approx(non_live)
    assert found["v3_2025_08_live"] == pytest.approx(live)
    assert found["v3_2025_08_overall"] == pytest.approx((non_live + live + 0.5) / 3)
    assert found["local_single_turn"] == pytest.approx((non_live + live) / 2)
    agentic = {"web_search": (1, 4), "memory": (3, 4)}
    everything = scores(*verdicts(right | agentic))
    parts = 0.1 * sum(four) / 4 + 0.1 * 9 / 16 + 0.1 * 0.625 + 0.3 * 0.5 + 0.4 * 0.5
    assert everything["v4_overall"] == pytest.approx(parts)


def test_a_partial_run_gives_no_full_score() -> None:
    made, sizes = verdicts({"live_simple": (1, 1), "live_multiple": (1, 2), "live_parallel": (1, 1)})
    found = scores(made[:-1], sizes)
    assert (found["live_simple"], found["live_parallel"], found["v4_live"]) == (1.0, None, None)
    missing = not_run(made[:-1], sizes)
    assert missing["v4_live"] == ["live_parallel", "live_parallel_multiple"]
    assert missing["v4_overall"][-2:] == ["web_search", "memory"]
    assert set(missing) == set(FORMULAS)


def test_what_was_not_run_is_said(tmp_path: Path) -> None:
    made, sizes = verdicts({"simple_python": (1, 1), "live_relevance": (1, 1)})
    for category in ("simple_python", "web_search"):
        (tmp_path / f"BFCL_v4_{category}.json").write_text("")
    said = Bfcl().left_out(tmp_path, made, sizes)
    assert "BFCL_v4_web_search.json is not read: its category is not run here" in said
    (overall,) = (line for line in said if line.startswith("v4_overall: for want of "))
    assert overall.endswith("web_search, memory") and "simple_java" in overall
    assert not any("v4_relevance" in line for line in said)
    assert "live_relevance: 1 rows are here, the leaderboard has 16" in said


@pytest.mark.parametrize(
    "text",
    ["new HashMap<>() {" + 3000 * " " + "x", "new ArrayList<>() {{" + 3000 * " " + "x", "[" + 200 * "[a],",
     "new HashMap<>() {" + 3000 * 'put("",' + "}"],
)  # fmt: skip
def test_source_that_patterns_try_for_ever_on_cannot_be_compared(text: str) -> None:
    language, kind = (
        (JAVASCRIPT, "array") if text.startswith("[") else (JAVA, "HashMap" if "Map" in text else "ArrayList")
    )
    with pytest.raises(ValueError, match="characters"):
        language.convert(text, kind, None)


def test_bad_rows_are_named_and_lose_no_other(tmp_path: Path) -> None:
    """A line that is no UTF-8, an empty line, an id given twice: each is a row, and the answers stay by their lines."""
    question = {"question": [[{"role": "user", "content": "Do."}]], "function": [FUNCTION]}
    lines = [json.dumps({"id": f"simple_python_{n}", **question}).encode() for n in range(4)]
    answers = [json.dumps({"id": f"simple_python_{n}", "ground_truth": [{"f": {"n": [n]}}]}).encode() for n in range(5)]
    (tmp_path / "possible_answer").mkdir()
    name = "BFCL_v4_simple_python.json"
    (tmp_path / "possible_answer" / name).write_bytes(b"\n".join(answers) + b"\n")
    given = [lines[0], b'{"id": "\xff"}', b"", lines[0], lines[3]]
    (tmp_path / name).write_bytes(b"\n".join(given) + b"\n\n")
    rows = Bfcl().load(tmp_path)
    assert [bool(one.problem) for one in rows] == [False, True, True, True, False]
    assert "given twice" in (rows[3].problem or "") and len({one.id for one in rows}) == 5
    assert rows[4].gold == [{"f": {"n": [4]}}]


def test_scoring_loads_no_engine() -> None:
    code = "import sys, toolace.evaluation.benchmarks.bfcl; print({'torch', 'ray', 'vllm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
