"""API-Bank, ToolAlpaca and Seal-Tools: what is loaded, what is right, and what the scores count."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from benchmark_rows import API_REQUEST, api_bank_row, seal_row, tool_alpaca_api, write_json
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import Call, render_calls
from toolace.calls.schema import Chat
from toolace.errors import DataError
from toolace.evaluation.benchmarks import benchmark_named
from toolace.evaluation.benchmarks.apibank import ApiBank
from toolace.evaluation.benchmarks.base import Benchmark, BenchmarkRow, RowVerdict
from toolace.evaluation.benchmarks.common import value_key
from toolace.evaluation.benchmarks.sealtools import SealTools
from toolace.evaluation.benchmarks.toolalpaca import Gold, ToolAlpaca

BOOK = Call(name="BookTable", arguments={"place": "Blue Oar", "seats": "3", "guests": "['Ann', 'Bo']"})


def row(category: str, gold: object) -> BenchmarkRow:
    return BenchmarkRow("r", category, Chat(), {}, gold)


# --- API-Bank


@pytest.mark.parametrize(
    "output",
    [
        API_REQUEST,
        "API-Request: [BookTable(place='Blue Oar', seats=3, guests=['Ann', 'Bo'])]",
        '[BookTable(guests=["Ann","Bo"], seats="3", place="Blue Oar")]',
        "I will book it. [BookTable(place='Blue Oar', seats='3', guests=\"['Ann', 'Bo']\")]",
        "BookTable(place=Blue Oar, seats=3, guests=['Ann', 'Bo'])",
        '<tool_call>\n{"name": "BookTable", "arguments": {"place": "Blue Oar", "seats": 3, "guests": ["Ann", "Bo"]}}\n'
        "</tool_call>",
        '{"name": "BookTable", "parameters": {"place": "Blue Oar", "seats": 3, "guests": ["Ann", "Bo"]}}',
    ],
)
def test_api_bank_reads_every_way_to_write_the_request(output: str) -> None:
    assert ApiBank().judge(row("level-1", BOOK), output).error is None


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("[BookTable(place='Blue oar', seats='3', guests=['Ann', 'Bo'])]", "value_error"),
        ("[BookTable(place='Blue Oar', seats='3', guests=['Bo', 'Ann'])]", "value_error"),
        ("[BookTable(place='Blue Oar', seats='3')]", "missing_param"),
        ("[BookTable(place='Blue Oar', seats='3', guests=['Ann', 'Bo'], time='8')]", "unexpected_param"),
        ("[BookTables(place='Blue Oar', seats='3', guests=['Ann', 'Bo'])]", "wrong_func_name"),
        (API_REQUEST[13:] + " " + API_REQUEST[13:], "decoder_failed"),
        ("[BookTable(place='a'), BookTable(place='b')]", "wrong_count"),
        ("For how many?", "no_call"),
        ("", "no_call"),
        ("[]", "no_call"),
        ("[BookTable(place='Blue Oar'", "decoder_failed"),
    ],
)
def test_api_bank_says_what_is_wrong(output: str, error: str) -> None:
    verdict = ApiBank().judge(row("level-1", BOOK), output)
    assert (verdict.correct, verdict.error) == (False, error)


def test_api_bank_loads_both_levels_and_counts_by_level(tmp_path: Path) -> None:
    search = "API-Request: [ToolSearcher(keywords='table booking')]"
    write_json(tmp_path / "level-1-api.json", [api_bank_row(0, file="Easy.jsonl")])
    write_json(tmp_path / "level-2-api.json", [api_bank_row(0), api_bank_row(1, search), api_bank_row(2, "no request")])
    benchmark = ApiBank()
    rows = benchmark.load(tmp_path)
    assert [(r.id, r.category) for r in rows[:2]] == [("Easy.jsonl/0", "level-1"), ("BookTable.jsonl/0", "level-2")]
    assert rows[0].gold == BOOK and rows[0].chat.tools[0].name == "BookTable"
    assert rows[0].chat.messages[-1].content == "A table for three at the Blue Oar."
    assert rows[3].problem and "level-2-api.json, row 2 (BookTable.jsonl/2): bad_call_text" in rows[3].problem
    sizes = Counter(r.category for r in rows)
    outputs = [API_REQUEST, API_REQUEST, "[ToolSearcher(keywords='other words')]", "x"]
    scores = benchmark.scores([benchmark.judge(r, text) for r, text in zip(rows, outputs, strict=True)], sizes)
    assert scores["level-1/exact_match"] == 1.0 and scores["level-2/exact_match"] == pytest.approx(1 / 3)
    assert scores["level-2/exact_match_without_search"] == 0.5
    # One name and one argument more than were said: those of the faulty row, at the least.
    assert scores["level-2/name_precision"] == 1.0 and scores["level-2/name_recall"] == pytest.approx(2 / 3)
    assert scores["level-2/argument_recall"] == 3 / 5


# --- ToolAlpaca

FIND = ("findBoat", '{"name": "Heron", "page": 1}')
LOG = ("logBoat", '{"boatId": ${boatId from findBoat}, "note": "leak"}')
ASK = ("getDetails", '{"Question": "Which boat?"}')


@pytest.fixture
def boats(tmp_path: Path) -> list[BenchmarkRow]:
    answers = [[FIND], [FIND, LOG], [ASK, ("[Optional]" + FIND[0], FIND[1])], [("findBoat", '{"name": ${x')]]
    write_json(tmp_path / "data" / "eval_simulated.json", [tool_alpaca_api(answers)])
    return ToolAlpaca().load(tmp_path)


def test_tool_alpaca_rows_have_tools_and_a_category(boats: list[BenchmarkRow]) -> None:
    assert [r.id for r in boats] == [f"simulated-0-{index}" for index in range(4)]
    assert [r.category for r in boats] == ["simulated_closed"] + ["simulated_dependent"] * 3
    assert boats[3].problem and "not a JSON object" in boats[3].problem
    tools = {tool.name: tool.parameters for tool in boats[0].chat.tools}
    assert list(tools) == ["findBoat", "logBoat", "getDetails"]
    assert tools["logBoat"]["properties"]["note"] == {"type": "string", "description": "What to note"}
    assert tools["logBoat"]["required"] == ["boatId", "note"] and tools["findBoat"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("index", "output", "error"),
    [
        (0, "[findBoat(page=1, name='Heron')]", None),
        (0, "[findBoat(page='1', name='Heron')]", None),
        (0, "[findBoat(name='Heron')]", "missing_param"),
        (0, "[findBoat(name='heron', page=1)]", "value_error"),
        (0, "[findBoat(name='Heron', page=1), findBoat(name='Heron', page=1)]", "wrong_count"),
        (1, "[logBoat(note='leak', boatId='whatever'), findBoat(name='Heron', page=1)]", None),
        (1, "[findBoat(name='Heron', page=1), logBoat(note='leak')]", "missing_param"),
        (1, "[findBoat(name='Heron', page=1), logBoat(note='leak', boatId='')]", "missing_param"),
        (1, "[findBoat(name='Heron', page=1), logBoat(note='rust', boatId='b')]", "value_error"),
        (2, "[getDetails(Question='What is it called?')]", None),
        (2, "[getDetails(Question='?'), findBoat(name='Heron', page=1)]", None),
        (2, "[getDetails(Question='?'), findBoat(name='Crane', page=1)]", "value_error"),
        (2, "[findBoat(name='Heron', page=1)]", "wrong_count"),
        (3, "[findBoat(name='x')]", "bad_row"),
    ],
)
def test_tool_alpaca_calls(boats: list[BenchmarkRow], index: int, output: str, error: str | None) -> None:
    assert ToolAlpaca().judge(boats[index], output).error == error


def test_placeholders_go_to_the_calls_that_they_make_right() -> None:
    gold = Gold(
        (
            Call(name="f", arguments={"a": "${a}", "b": 1}),
            Call(name="f", arguments={"a": "${a}", "b": 2}),
            Call(name="g", arguments={"c": [{"d": "${d}", "e": 5}]}),
        )
    )
    judge = ToolAlpaca().judge
    assert judge(row("simulated_dependent", gold), "[f(a='x', b=2), f(a='y', b=1), g(c=[{'d': 0, 'e': 5}])]").correct
    assert not judge(
        row("simulated_dependent", gold), "[f(a='x', b=2), f(a='y', b=2), g(c=[{'d': 0, 'e': 5}])]"
    ).correct
    assert not judge(
        row("simulated_dependent", gold), "[f(a='x', b=2), f(a='y', b=1), g(c=[{'d': 0, 'e': 6}])]"
    ).correct


def test_tool_alpaca_f1_counts_names_and_arguments(boats: list[BenchmarkRow]) -> None:
    benchmark = ToolAlpaca()
    sizes = Counter(r.category for r in boats)
    outputs = ["I cannot.", "[findBoat(name='Heron', page=2, odd='')]", "[]", ""]
    scores = benchmark.scores([benchmark.judge(r, text) for r, text in zip(boats, outputs, strict=True)], sizes)
    # Names: gold 1 + 2 + 1, and 1 for the faulty row; predicted: a text without calls is one, one call, none.
    # Arguments: gold 2 + 4 + 1, and 1 for the faulty row.
    assert scores["simulated/name_recall"] == 1 / 5 and scores["simulated/name_precision"] == 1 / 2
    assert scores["simulated/argument_precision"] == 1 / 2
    assert scores["simulated/argument_recall"] == pytest.approx(1 / 8)
    assert scores["simulated_closed/name_f1"] == 0.0 and scores["simulated/exact_match"] == 0.0
    assert "real/exact_match" not in scores


def test_apis_that_cannot_be_read_are_bad_rows(tmp_path: Path) -> None:
    api = tool_alpaca_api([[FIND], [FIND]])
    write_json(
        tmp_path / "eval_real.json",
        [7, {**api, "Documentation": "{"}, {**api, "Golden_Answers": [[]]}, {**api, "Instructions": []}],
    )
    rows = ToolAlpaca().load(tmp_path)
    assert [r.id for r in rows] == ["real-0-0", "real-1-0", "real-1-1", "real-2-0", "real-2-1", "real-3-0"]
    assert all(r.problem for r in rows)


# --- Seal-Tools

HERD = "[{'api': 'findHerd', 'parameters': {'kind': 'cow', 'count': 2}, 'responses': ['API_call_0']}]"
PAIR = (
    "[{'api': 'findHerd', 'parameters': {'kind': 'cow'}, 'responses': ['API_call_0']}, "
    "{'api': 'sellHerd', 'parameters': {'kind': 'API_call_0'}, 'responses': ['API_call_1']}]"
)


@pytest.fixture
def herds(tmp_path: Path) -> list[BenchmarkRow]:
    rows = [seal_row("t-0", HERD), seal_row("t-1", PAIR), seal_row("t-2", "[{'api': 1}]"), seal_row("t-0", HERD)]
    write_json(tmp_path / "dataset_for_finetune" / "test_in_domain.json", rows)
    return SealTools().load(tmp_path)


def test_seal_tools_rows(herds: list[BenchmarkRow]) -> None:
    assert [r.id for r in herds] == ["t-0", "t-1", "t-2", "t-0#3"]
    assert [bool(r.problem) for r in herds] == [False, False, True, True]
    assert "given twice" in str(herds[3].problem) and herds[1].chat.messages[-1].content == "Find the cows."


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (HERD, None),
        ('```json\n[{"api": "findHerd", "parameters": {"count": 2, "kind": "cow"}}]\n```', None),
        ("[findHerd(kind='cow', count=2)]", None),
        ("[{'parameters': {'kind': 'cow', 'count': 3}, 'api': 'findHerd'}]", "value_error"),
        ("[{'api': 'sellHerd', 'parameters': {'kind': 'cow', 'count': 2}}]", "wrong_func_name"),
        (HERD[:-3], "decoder_failed"),
        ("[{'api': 'findHerd', 'parameters': 'cow'}]", "decoder_failed"),
        ("cows", "no_call"),
    ],
)
def test_seal_tools_calls(herds: list[BenchmarkRow], output: str, error: str | None) -> None:
    assert SealTools().judge(herds[0], output).error == error


def measured(herds: list[BenchmarkRow], first: str, second: str) -> dict[str, float | None]:
    benchmark = SealTools()
    verdicts = [benchmark.judge(herds[0], first), benchmark.judge(herds[1], second)]
    scores = benchmark.scores(verdicts, {"test_in_domain": 2})
    return {name.partition("/")[2]: value for name, value in scores.items()}


def test_seal_tools_scores_are_the_papers(herds: list[BenchmarkRow]) -> None:
    # Predicted: findHerd with kind right and count wrong; then nothing that can be read.
    scores = measured(herds, "[{'api': 'findHerd', 'parameters': {'kind': 'cow', 'count': 3}}]", "no idea")
    assert scores["format_accuracy"] == 0.5 and scores["exact_match"] == 0.0
    assert (scores["api_precision"], scores["api_recall"]) == (1.0, pytest.approx(1 / 3))
    assert (scores["parameter_precision"], scores["parameter_recall"]) == (0.5, 0.25)
    assert scores["parameter_f1"] == pytest.approx(1 / 3)
    # The strict counts take the unreadable answer as one wrong call.
    assert scores["name_precision"] == 0.5


def test_a_repeated_call_hits_each_time_by_the_papers_rule_and_once_by_ours(herds: list[BenchmarkRow]) -> None:
    twice = HERD[:-1] + ", " + HERD[1:]
    scores = measured(herds, twice, PAIR)
    assert scores["api_recall"] == pytest.approx(4 / 3) and scores["name_recall"] == 1.0
    assert scores["name_precision"] == 0.75 and scores["exact_match"] == 0.5


def test_an_empty_list_is_well_formed(herds: list[BenchmarkRow]) -> None:
    assert measured(herds, "[]", "")["format_accuracy"] == 0.5


# --- all of them

BENCHMARKS: dict[str, tuple[Benchmark, BenchmarkRow]] = {
    "apibank": (ApiBank(), row("level-1", BOOK)),
    "toolalpaca": (ToolAlpaca(), row("simulated_dependent", Gold((BOOK, Call(name="f", arguments={"a": "${x}"}))))),
    "sealtools": (SealTools(), row("dev", (BOOK, BOOK))),
}
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="[](){}'\"=,:\\ aBookTable0.\n-$"),
    st.sampled_from(
        [
            f"[BookTable(place=0x{'f' * 5000})]",
            "\ud800",
            "[f(a='\ud800')]",
            "[{'api': '\ud800', 'parameters': {}}]",
            "[" * 9000,
            "{'a':" * 9000,
        ]
    ),
    st.sampled_from([API_REQUEST, HERD, PAIR]).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.text(max_size=3)).map(
            lambda cut: text[: cut[0]] + cut[1] + text[cut[0] :]
        )
    ),
)


@pytest.mark.parametrize("name", BENCHMARKS)
@given(text=TEXTS)
@settings(deadline=None)
def test_no_text_makes_a_judge_raise(name: str, text: str) -> None:
    benchmark, one = BENCHMARKS[name]
    verdict = benchmark.judge(one, text)
    assert verdict.correct == (verdict.error is None) and (verdict.id, verdict.category) == (one.id, one.category)
    scores = benchmark.scores([verdict], {one.category: 1})
    assert all(value is not None and math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_steps_of_turns_are_no_text(name: str) -> None:
    benchmark, one = BENCHMARKS[name]
    assert benchmark.judge(one, [["[]"]]).error == "not_text"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_part_of_the_rows_gives_no_score(name: str) -> None:
    benchmark, one = BENCHMARKS[name]
    scores = benchmark.scores([benchmark.judge(one, "")], {one.category: 2})
    assert scores and set(scores.values()) == {None}


@pytest.mark.parametrize("name", [*BENCHMARKS, "acebench"])
def test_a_folder_without_files_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        benchmark_named(name).load(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        benchmark_named(name).load(tmp_path / "none")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "level-1-api.json").write_text("[{")
    with pytest.raises(DataError, match=r"level-1-api\.json cannot be read as JSON"):
        ApiBank().load(tmp_path)
    (tmp_path / "level-1-api.json").write_text("{}")
    with pytest.raises(DataError, match=r"level-1-api\.json holds"):
        ApiBank().load(tmp_path)


def test_values_are_equal_as_they_read() -> None:
    assert value_key(3) == value_key("3") == value_key(3.0) != value_key(3.5)
    assert value_key({"a": 1, "b": [2]}) == value_key({"b": ["2"], "a": "1"}) != value_key({"b": ["2"], "a": "0"})
    assert value_key("['x', 1]") != value_key(["x", 1]) == value_key("['x', 1]", literals=True)
    assert value_key("['x'] and more", literals=True) == "['x'] and more"


@given(calls=st.lists(st.sampled_from([BOOK, Call(name="f", arguments={"a": [1]}), Call(name="g")]), min_size=1))
@settings(deadline=None)
def test_gold_is_right_in_any_order_and_format(calls: list[Call]) -> None:
    one = row("dev", tuple(calls))
    for format in ("pythonic", "hermes", "llama3_json"):
        verdict: RowVerdict = SealTools().judge(one, render_calls(calls[::-1], format))  # type: ignore[arg-type]
        assert verdict.correct, verdict.detail
