"""ACEBench: official rules with their known defect, strict rules beside them, special categories, scores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import ACE_GOLD, ace_row, write_ace
from hypothesis import given, settings
from hypothesis import strategies as st

from toolace.calls import Call, CallFormat, render_calls
from toolace.calls.schema import Chat
from toolace.errors import DataError
from toolace.evaluation.benchmarks.acebench import NORMALS, ROWS, SPECIALS, AceBench, Gold
from toolace.evaluation.benchmarks.acebench_prompts import SPECIAL
from toolace.evaluation.benchmarks.base import BenchmarkRow, RowVerdict

SINGLE = "normal_single_turn_single_function"
TURNS = "normal_multi_turn_user_adjust"


def load(folder: Path, category: str, truth: Any, **more: Any) -> BenchmarkRow:
    write_ace(folder, category, [ace_row(f"{category}_0", **more)], {f"{category}_0": truth})
    (row,) = AceBench().load(folder)
    return row


def judged(row: BenchmarkRow, output: str) -> tuple[str | None, bool]:
    """Error by the official rules, and whether the strict rules are met."""
    verdict = AceBench().judge(row, output)
    assert verdict.correct == (verdict.error is None)
    return verdict.error, bool((verdict.parts or {})["strict"])


def lamp(**changes: Any) -> str:
    """The gold call with changes; None takes an argument away."""
    arguments = {key: value for key, value in {**ACE_GOLD, **changes}.items() if value is not None}
    return render_calls([Call(name="SetLamp", arguments=arguments)])


@pytest.fixture
def row(tmp_path: Path) -> BenchmarkRow:
    return load(tmp_path, SINGLE, {"SetLamp": ACE_GOLD})


def test_a_row_is_asked_with_its_time_and_turns(tmp_path: Path) -> None:
    question = "user: Light the attic.\nsystem: How bright?\nTell me.\nuser: Bright.\n"
    row = load(tmp_path, "normal_preference", {"SetLamp": ACE_GOLD}, question=question, profile="Likes warm light")
    system, *turns = row.chat.messages
    assert "2031-05-02, Friday" in system.content and "Likes warm light" in system.content
    assert [(turn.role, turn.content) for turn in turns] == [
        ("user", "Light the attic."),
        ("assistant", "How bright?\nTell me."),
        ("user", "Bright."),
    ]
    assert [tool.name for tool in row.chat.tools] == ["SetLamp", "Ring"]


def test_numbers_and_booleans_at_the_top_are_not_compared_by_the_official_rules(row: BenchmarkRow) -> None:
    assert judged(row, lamp()) == (None, True)
    assert judged(row, lamp(level=99)) == (None, False)
    assert judged(row, lamp(warm=False)) == (None, False)
    assert judged(row, lamp(level="40")) == ("type_error", False)
    assert judged(row, lamp(level=True)) == ("type_error", False)
    assert judged(row, lamp(warm=1)) == ("type_error", False)
    assert judged(row, lamp(level=40.0)) == ("type_error", False)
    # Inside an object a number is compared, as text.
    assert judged(row, lamp(plan={"from": "7 pm", "hours": 3})) == ("value_error:dict", False)


@pytest.mark.parametrize(
    ("changes", "error", "strict"),
    [
        ({"room": "attic."}, None, True),
        ({"room": "the attic upstairs"}, None, False),  # the gold is a part of the output
        ({"room": "att"}, "value_error:string", False),
        ({"days": None}, None, False),  # optional, though the gold has it
        ({"room": None}, "missing_required", False),
        ({"who": "Ann"}, "unexpected_param", False),
        ({"days": ["monday"]}, None, True),
        ({"days": ["Monday", "Tuesday"]}, "value_error:list", False),
        ({"days": ["Mondays"]}, "value_error:list", False),
        ({"days": "Monday"}, "type_error", False),
        ({"plan": {"from": "from 7 pm on", "hours": 2}}, None, False),
        ({"plan": {"from": "7 pm"}}, "value_error:dict", False),
        ({"plan": {"from": "7 pm", "for": 2}}, "value_error:dict", False),
    ],
)
def test_official_and_strict_rules_for_a_call(
    row: BenchmarkRow, changes: dict[str, Any], error: str | None, strict: bool
) -> None:
    assert judged(row, lamp(**changes)) == (error, strict)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (f"Gladly: {lamp()} Done.", None),
        ('<tool_call>{"name": "SetLamp", "arguments": {"room": "Attic"}}</tool_call>', "decoder_failed"),
        ('{"name": "SetLamp", "parameters": {"room": "Attic"}}', "decoder_failed"),
        ('[{"name": "SetLamp", "arguments": {"room": "Attic"}}]', "decoder_failed"),
        (f"[note] {lamp()}", "decoder_failed"),  # the first brackets count
        ("The attic is lit.", "decoder_failed"),
        ("[SetLamp(room='Attic'", "decoder_failed"),
        ("[]", "decoder_failed"),
        ("[SetLamp(room='Attic'), SetLamp(room='Attic')]", "wrong_count"),
        ("[Ring(room='Attic')]", "wrong_func_name"),
    ],
)
def test_where_the_call_is_read(row: BenchmarkRow, output: str, error: str | None) -> None:
    assert judged(row, output)[0] == error


@pytest.mark.parametrize("format", ["hermes", "llama3_json"])
def test_calls_of_a_model_in_another_format_are_written_as_the_list_that_is_read(
    row: BenchmarkRow, tmp_path: Path, format: CallFormat
) -> None:
    calls = [Call(name="SetLamp", arguments=ACE_GOLD)]
    said = render_calls(calls, format)
    assert judged(row, said)[0] == "decoder_failed"
    assert AceBench().scored_text(row, said, format) == render_calls(calls)
    assert judged(row, AceBench().scored_text(row, said, format)) == (None, True)
    for text in ("I cannot.", "[SetLamp(room='Attic')]", '<tool_call>{"name"', ""):
        assert AceBench().scored_text(row, text, format) == text
    special = load(tmp_path / "special", "special_incomplete", {"SetLamp": ["room"]})
    assert AceBench().scored_text(special, said, format) == said, "its rules read the whole text"
    assert AceBench().scored_text(row, lamp(), "pythonic") == lamp()


def test_lists_are_compared_exactly_objects_in_them_too(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"of": {"type": "array"}}, "required": ["of"]}
    tool = {"name": "Name", "description": "", "parameters": schema}
    row = load(tmp_path, SINGLE, {"Name": {"of": [{"name": "New", "size": 1}, [2, "b"]]}}, function=[tool])
    assert judged(row, "[Name(of=[{'size': 1, 'name': 'New'}, [2, 'b']])]") == (None, True)
    assert judged(row, "[Name(of=[{'size': 1, 'name': 'new.'}, [2, 'B']])]")[0] is None
    for wrong in ("{'name': 'New York', 'size': 1}", "{'name': 'New', 'size': 12}", "{'name': 'New'}"):
        assert judged(row, f"[Name(of=[{wrong}, [2, 'b']])]")[0] == "value_error:list"
    assert judged(row, "[Name(of=[[2, 'b'], {'name': 'New', 'size': 1}])]")[0] == "value_error:list"


def test_one_output_may_serve_two_gold_calls_officially_only(tmp_path: Path) -> None:
    truth = {"Ring_1": {"who": "Ann"}, "Ring_2": {"who": "Anna"}, "SetLamp": {"room": "Attic"}}
    row = load(tmp_path, "normal_single_turn_parallel_function", truth)
    assert judged(row, "[Ring(who='Anna'), SetLamp(room='Attic'), Ring(who='Ann')]") == (None, True)
    assert judged(row, "[Ring(who='Anna'), SetLamp(room='Attic'), Ring(who='Bo')]") == (None, False)
    assert judged(row, "[Ring(who='Anna'), SetLamp(room='Attic'), SetLamp(room='Attic')]")[0] == "wrong_func_name"


def test_any_of_the_alternatives_will_do(tmp_path: Path) -> None:
    row = load(tmp_path, SINGLE, [{"Ring": {"who": "Ann"}}, {"SetLamp": {"room": "Attic"}}])
    assert judged(row, "[SetLamp(room='Attic')]") == (None, True)
    assert judged(row, "[Ring(who='Ann')]") == (None, True)
    assert judged(row, "[Ring(who='Bo')]") == ("value_error:string", False)


def test_multi_turn_is_scored_by_dialogue_and_read_without_white_space(tmp_path: Path) -> None:
    ids = [f"{TURNS}_0_1", f"{TURNS}_0_2", f"{TURNS}_1_1"]
    write_ace(tmp_path, TURNS, [ace_row(i) for i in ids], {i: {"Ring": {"who": "Ann Lee"}} for i in ids})
    benchmark = AceBench()
    rows = benchmark.load(tmp_path)
    right = benchmark.judge(rows[0], "[ Ring ( who = 'Ann\n Lee' ) ]")
    assert right.correct
    assert not benchmark.judge(
        load(tmp_path / "s", SINGLE, {"Ring": {"who": "Ann Lee"}}), "[Ring(who='Ann\n Lee')]"
    ).correct
    wrong = benchmark.judge(rows[1], "[Ring(who='Bo')]")
    last = benchmark.judge(rows[2], "[Ring(who='Ann Lee')]")
    assert benchmark.scores([right, wrong, last], {TURNS: 3})[TURNS] == 0.5
    assert benchmark.scores([right, wrong], {TURNS: 3})[TURNS] is None


@pytest.mark.parametrize("line", ["{broken", " "])
@pytest.mark.parametrize("answered", [True, False])
def test_a_dialogue_with_a_turn_that_cannot_be_read_is_wrong(tmp_path: Path, answered: bool, line: str) -> None:
    """Each broken turn is of its own dialogue where the answers tell which, and else a dialogue of its own."""
    ids = [f"{TURNS}_{dialogue}_{turn}" for dialogue in range(10) for turn in range(2)]
    rows = [ace_row(i) if i.endswith("_1") else line for i in ids]
    golds = {i: {"Ring": {"who": "Ann Lee"}} for i in ids if answered or i.endswith("_1")}
    write_ace(tmp_path, TURNS, rows, golds)
    benchmark = AceBench()
    found = benchmark.load(tmp_path)
    assert [row.id for row in found] == ids if answered else len({row.id for row in found}) == 20
    assert [bool(row.problem) for row in found] == [True, False] * 10
    verdicts = [benchmark.judge(row, "[Ring(who='Ann Lee')]") for row in found]
    assert [verdict.error for verdict in verdicts] == ["bad_row", None] * 10
    scores = benchmark.scores(verdicts, {TURNS: 20})
    assert scores[TURNS] == scores[f"{TURNS}_strict"] == (0.0 if answered else 0.5)


def test_what_the_benchmark_has_and_the_folder_has_not_is_said(tmp_path: Path) -> None:
    assert sum(ROWS.values()) == 823 + 150 and set(ROWS) == {*NORMALS, *SPECIALS}
    said = AceBench().left_out(tmp_path, [], {SINGLE: 7, "special_irrelevant": 50})
    assert said == [f"{SINGLE}: 7 rows are here, the benchmark has 100"]


INCOMPLETE = '["Missing necessary parameters (room, level) for the api (SetLamp)"]'


@pytest.mark.parametrize(
    ("output", "error", "strict"),
    [
        (INCOMPLETE, None, True),
        (INCOMPLETE.replace("room, level", "level, room"), None, True),
        (INCOMPLETE.replace("room, level", "room, level, warm"), None, False),
        (INCOMPLETE + " [SetLamp(room='Attic')]", None, False),
        ("Missing necessary parameters: SetLamp wants room and level", None, False),
        (INCOMPLETE.replace("room, ", ""), "missing_detail", False),
        (INCOMPLETE.replace("SetLamp", "Ring"), "missing_detail", False),
        ("SetLamp lacks room and level", "wrong_phrase", False),
        ("", "wrong_phrase", False),
    ],
)
def test_incomplete(tmp_path: Path, output: str, error: str | None, strict: bool) -> None:
    row = load(tmp_path, "special_incomplete", {"SetLamp": ["room", "level"]})
    assert judged(row, output) == (error, strict)


@pytest.mark.parametrize("truth", [{"level": ["-5"]}, {"level": "-5"}, {"SetLamp": {"level": -5}}, [{"level": [-5]}]])
def test_error_param(tmp_path: Path, truth: Any) -> None:
    row = load(tmp_path, "special_error_param", truth)
    right = '["There is incorrect value (-5) for the parameters (level) in the conversation history."]'
    assert judged(row, right) == (None, True)
    assert judged(row, right + "[SetLamp(room='Attic')]") == (None, False)
    assert judged(row, right.replace("-5", "5")) == ("missing_detail", False)
    assert judged(row, "-5 is no level")[0] == "wrong_phrase"


def test_irrelevant(tmp_path: Path) -> None:
    row = load(tmp_path, "special_irrelevant", "none of them")
    right = '["Due to the limitations of the function, I cannot solve this problem."]'
    assert judged(row, right) == (None, True)
    assert judged(row, right + " [Ring(who='Ann')]") == (None, False)
    assert judged(row, "I cannot.") == ("wrong_phrase", False)


def test_the_special_prompt_asks_for_what_the_scorer_looks_for(tmp_path: Path) -> None:
    row = load(tmp_path, "special_incomplete", {"SetLamp": ["room"]})
    assert row.chat.messages[0].content.startswith(SPECIAL)
    filled = SPECIAL.replace("(key1, key2)", "(room)").replace("(ApiName)", "(SetLamp)").replace("(value)", "(-5)")
    assert judged(row, filled) == (None, True)
    for category, truth in (("special_error_param", {"x": ["-5"]}), ("special_irrelevant", "")):
        assert judged(load(tmp_path / category, category, truth), filled) == (None, True)


def test_group_scores_want_all_their_categories() -> None:
    def verdicts(categories: tuple[str, ...], strict: float) -> list[RowVerdict]:
        return [RowVerdict(f"{c}_{i}_0", c, i == 0, None, "", {"strict": strict}) for c in categories for i in (0, 1)]

    found = verdicts(NORMALS, 1.0) + verdicts(SPECIALS, 0.0)
    sizes = Counter(verdict.category for verdict in found)
    scores = AceBench().scores(found, sizes)
    assert (scores["normal"], scores["normal_strict"]) == (0.5, 0.5)
    assert (scores["special"], scores["special_strict"]) == (0.5, 0.0)
    assert "overall" not in scores
    assert len(NORMALS) == 12 and len(set(NORMALS)) == 12
    del sizes[NORMALS[3]]
    some = [verdict for verdict in found if verdict.category != NORMALS[3]]
    scores = AceBench().scores(some, sizes)
    assert scores["normal"] is None and scores["special"] == 0.5 and scores[NORMALS[0]] == 0.5


def test_faulty_rows_are_named(tmp_path: Path) -> None:
    no_function = {**ace_row("n_4"), "function": "Ring"}
    rows = [ace_row("n_0"), "{broken", ace_row("n_2"), ace_row("n_3"), no_function, ace_row("n_5", question=" ")]
    golds = {"n_0": {"Ring": {"who": "Ann"}}, "n_3": {"Sing": {}}, "n_4": {"Ring": {}}, "n_5": {"Ring": {}}}
    write_ace(tmp_path / "data_en", SINGLE, rows, golds)
    found = AceBench().load(tmp_path)
    assert [row.id for row in found] == ["n_0", f"data_{SINGLE}[1]", "n_2", "n_3", "n_4", "n_5"]
    problems = [row.problem or "" for row in found]
    assert not problems[0]
    for problem, named in zip(problems[1:], ["row 1", "no answer", "'Sing'", "not a list", "question"], strict=True):
        assert named in problem and f"data_{SINGLE}.json" in problem
    assert AceBench().judge(found[1], "[Ring(who='Ann')]").error == "bad_row"


def test_missing_answers_and_the_chinese_part_are_refused(tmp_path: Path) -> None:
    write_ace(tmp_path / "data_zh", SINGLE, [ace_row("n_0")], {})
    with pytest.raises(DataError, match="Chinese"):
        AceBench().load(tmp_path / "data_zh")
    write_ace(tmp_path / "data_en", SINGLE, [ace_row("n_0")], {})
    (tmp_path / "data_en" / "possible_answer" / f"data_{SINGLE}.json").unlink()
    with pytest.raises(DataError, match="possible_answer"):
        AceBench().load(tmp_path)


@given(
    text=st.text(alphabet=st.characters(exclude_categories=()))
    | st.text(alphabet="[](){}'\"=, :SetLampRingwho0.\n-")
    | st.sampled_from(["[" * 9000, "[f(a='\ud800')]", "<tool_call>{", '{"name": "f", "parameters": {}}']),
    category=st.sampled_from([SINGLE, TURNS, *SPECIALS]),
)
@settings(deadline=None)
def test_no_text_makes_the_judge_raise(text: str, category: str) -> None:
    gold = Gold(calls=((Call(name="Ring", arguments={"who": "Ann"}),),), texts={"Ring": ("who",)})
    row = BenchmarkRow("r_0_0", category, Chat(), {}, gold)
    verdict = AceBench().judge(row, text)
    assert verdict.correct == (verdict.error is None)
    assert AceBench().scores([verdict], {category: 1})[category] == float(verdict.correct)
