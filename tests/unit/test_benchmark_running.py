"""A model on a benchmark, all but the engine: which rows are asked, what is scored, and the command."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmark_answers import FUNCTION, answer, write_bfcl
from benchmark_rows import api_bank_row, write_json
from rollout_fakes import ids

from toolace.calls import render_calls
from toolace.calls.schema import Call, Chat
from toolace.cli.main import main
from toolace.config import RefineConfig
from toolace.data.shards import digest_ids, read_index, read_samples
from toolace.engines import Generate
from toolace.errors import ConfigError, DataError
from toolace.evaluation.benchmarks import benchmark_named
from toolace.evaluation.benchmarks.base import BenchmarkRow
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.running import plan_rows, questions, score_arms
from toolace.evaluation.benchmarks.scoring import read_predictions, score_predictions
from toolace.evaluation.program import answer_sample, arm_names, evaluate_sample
from toolace.rollouts.outputs import Counts, copy_index, make_table, publish
from toolace.rollouts.program import Completion, Request, drive
from toolace.storage import Store

BFCL = Bfcl()


def complete(request: Request) -> Completion:
    """The scripted answer, as a worker would hand it to a program."""
    prompt = ids("\n".join(message.content for message in request.chat.messages))
    text = bytes(answer(Generate("r", prompt, request.sampling, 0, (0,)))).decode()
    return Completion(text, tokens=len(text) + 1, prompt_tokens=len(prompt), logprob=-1.0)


OPTIONS: dict[str, Any] = {
    "refine_config": RefineConfig(), "format": "pythonic", "fixed_rounds": (2, 1), "margins": (1.0,),
}  # fmt: skip


def test_answers_are_those_of_the_evaluation_without_its_verdicts(tmp_path: Path) -> None:
    for sample in questions(plan_rows(BFCL, write_bfcl(tmp_path), ["simple_python"]).asked):
        answered, judged = (drive(program(sample, **OPTIONS), complete) for program in (answer_sample, evaluate_sample))
        assert list(answered["arms"]) == arm_names((2, 1), (1.0,))  # type: ignore[call-overload]
        for arm in judged["arms"].values():  # type: ignore[attr-defined]
            del arm["correct"], arm["error"]
        assert answered == judged


def test_rows_are_chosen_by_category_and_limit(tmp_path: Path) -> None:
    write_bfcl(tmp_path)
    plan = plan_rows(BFCL, tmp_path)
    asked = ["simple_python_0", "simple_python_1", "simple_python_2", "irrelevance_0", "irrelevance_1"]
    assert [row.id for row in plan.asked] == asked and len(plan.rows) == 7
    plan = plan_rows(BFCL, tmp_path, limit=1)
    assert [row.id for row in plan.asked] == ["simple_python_0", "irrelevance_0"] and len(plan.rows) == 7
    plan = plan_rows(BFCL, tmp_path, ["irrelevance"])
    assert [row.id for row in plan.asked] == asked[3:] and plan.categories == ("irrelevance",)
    with pytest.raises(ConfigError, match=r"'irelevance' in .*; there are simple_python, irrelevance"):
        plan_rows(BFCL, tmp_path, ["irelevance"])
    with pytest.raises(ConfigError, match="there are simple_python"):
        plan_rows(BFCL, tmp_path, [])
    with pytest.raises(DataError, match=r"multi_turn_base .* can be asked.*backends"):
        plan_rows(BFCL, tmp_path, ["multi_turn_base"])


def test_a_question_that_cannot_be_stored_is_a_faulty_row(tmp_path: Path) -> None:
    file = write_bfcl(tmp_path, faulty=False) / "BFCL_v4_irrelevance.json"
    file.write_text(file.read_text().replace("Takes a number.", "\\ud800", 1))
    plan = plan_rows(BFCL, tmp_path)
    (bad,) = [row for row in plan.rows if row.problem]
    assert bad.id == "irrelevance_0" and "cannot be stored" in str(bad.problem)
    assert bad.id not in {row.id for row in plan.asked}


def records(data: Path, failed: str = "irrelevance_1", **changes: Any) -> list[dict[str, Any]]:
    """What a rollout leaves for the rows asked: records, and one error."""
    made: list[dict[str, Any]] = []
    for sample in questions(plan_rows(BFCL, data).asked):
        if sample.id == failed:
            made.append({"id": sample.id, "error": "the prompt is too long"})
        else:
            made.append({"id": sample.id, **drive(answer_sample(sample, **OPTIONS | changes), complete)})
    return made


def test_a_row_without_an_answer_is_wrong_and_never_lost(tmp_path: Path) -> None:
    write_bfcl(tmp_path, faulty=False)
    plan, found = plan_rows(BFCL, tmp_path), records(tmp_path)
    scored = score_arms(BFCL, plan, found, ["direct", "adaptive"], "pythonic")
    # An empty answer would be right in irrelevance: a failure is none.
    direct = scored["direct"].report
    assert direct["categories"]["irrelevance"] == {"n": 2, "judged": 2, "correct": 1}
    assert (direct["scores"]["irrelevance"], direct["scores"]["simple_python"]) == (1 / 2, 2 / 3)
    assert (scored["adaptive"].report["repairs"], scored["adaptive"].report["regressions"]) == (1, 1)
    file = tmp_path / "predictions.jsonl"
    for entry in scored.values():
        file.write_bytes(entry.predictions)
        assert [found.failed for found in read_predictions(file)] == [None] * 4 + ["the prompt is too long"]
        again = score_predictions(BFCL, tmp_path, file)
        assert [v for v in again.verdicts if v.category != "multi_turn_base"] == [
            v for v in entry.found.verdicts if v.category != "multi_turn_base"
        ]
    with pytest.raises(DataError, match="1 rows have no record, the first 'simple_python_2'"):
        score_arms(BFCL, plan, [*found[:2], *found[3:]], ["direct"], "pythonic")
    nothing = [{"id": row.id, "error": "e"} for row in plan.asked]
    report = score_arms(BFCL, plan, nothing, ["direct"], "pythonic")["direct"].report
    assert report["scores"]["irrelevance"] == report["scores"]["simple_python"] == 0 and report["mean_calls"] is None


def test_a_failure_stays_in_the_denominator_of_recall(tmp_path: Path) -> None:
    bench = benchmark_named("apibank")
    write_json(tmp_path / "level-1-api.json", [api_bank_row(0)])
    plan = plan_rows(bench, tmp_path)
    scored = score_arms(bench, plan, [{"id": plan.asked[0].id, "error": "e"}], ["direct"], "pythonic")
    verdict = scored["direct"].found.verdicts[0]
    assert (verdict.correct, verdict.error, verdict.detail) == (False, "unanswered", "e")
    assert verdict.parts is not None and verdict.parts["name_gold"] == 1 and verdict.parts["argument_gold"] == 3


def test_a_reason_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "output": "", "unanswered": true}\n')
    with pytest.raises(DataError, match=r"p.jsonl:1: 'unanswered' is True"):
        list(read_predictions(tmp_path / "p.jsonl"))


def bfcl_row(category: str, gold: Any = None, function: dict[str, Any] = FUNCTION) -> BenchmarkRow:
    return BenchmarkRow("r", category, Chat(), {"function": [function]}, gold)


@pytest.mark.parametrize("format", ["hermes", "llama3_json"])
def test_calls_of_other_formats_are_written_for_the_leaderboard(format: Any) -> None:
    row = bfcl_row("simple_python", [{"f": {"n": [1], "b": [True], "x": [None], "s": ['é "q"']}}])
    calls = [Call(name="a.f", arguments={"n": 1, "b": True, "x": None, "s": 'é "q"', "d": {"k": [1.5]}})]
    raw = render_calls(calls, format)
    assert BFCL.judge(row, raw).error is not None
    assert BFCL.scored_text(row, raw, format) == '[a.f(n=1, b=True, x=None, s="é \\"q\\"", d={"k": [1.5]})]'
    for text in ("No function fits.", "", "<tool_call>{", '{"name": "f", "parameters": {"n": '):
        assert BFCL.scored_text(row, text, format) == text
    assert BFCL.scored_text(row, "I call [f(n=1)]", "pythonic") == "I call [f(n=1)]"
    assert benchmark_named("apibank").scored_text(row, raw, format) == raw


def test_a_call_counts_as_one_where_no_name_is_compared() -> None:
    raw = render_calls([Call(name="get-f", arguments={"in": 1})], "hermes")
    for category, correct in (("irrelevance", False), ("live_relevance", True)):
        row = bfcl_row(category)
        assert BFCL.judge(row, BFCL.scored_text(row, raw, "hermes")).correct is correct
    assert BFCL.scored_text(bfcl_row("simple_python"), raw, "hermes") == "[get-f(in=1)]"


@pytest.mark.parametrize(
    ("category", "argument", "type_name", "gold"),
    [
        ("simple_java", "mapController", "any", "mapController"),
        ("simple_java", "SELECT * FROM t WHERE s = 'active'", "String", "SELECT * FROM t WHERE s = 'active'"),
        ("simple_java", "7", "integer", 7),
        ("simple_java", "new int[]{1, 2}", "Array", [1, 2]),
        ("simple_java", "true", "boolean", True),
        ("simple_javascript", "it's", "String", "it's"),
        ("simple_javascript", "[1, 2]", "array", [1, 2]),
        ("simple_javascript", "5n", "Bigint", 5),
        ("simple_javascript", "{a: 1}", "dict", {"a": [1]}),
    ],
)
def test_source_text_comes_out_as_the_model_gave_it(category: str, argument: str, type_name: str, gold: Any) -> None:
    properties = {"v": {"type": type_name, "items": {"type": "integer"}}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": properties, "required": ["v"]}}
    row = bfcl_row(category, [{"f": {"v": [gold]}}], function)
    calls = [Call(name="f", arguments={"v": argument})]
    text = BFCL.scored_text(row, render_calls(calls, "hermes"), "hermes")
    verdict = BFCL.judge(row, text)
    assert verdict.correct, (text, verdict)
    spliced = Call(name=text.strip("[];") + "; //")
    for wrong in ([*calls, *calls], [Call(name="g", arguments={"v": argument})], [Call(name="f")], [spliced]):
        assert not BFCL.judge(row, BFCL.scored_text(row, render_calls(wrong, "hermes"), "hermes")).correct


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`toolace evaluate --benchmark bfcl --data DATA` in this process; no Ray can be joined."""
    write_bfcl(tmp_path / "data")
    monkeypatch.chdir(tmp_path)  # no environment of the official checker is found here

    def run(*args: str) -> tuple[int, str, str]:
        always = ["--benchmark", "bfcl", "--data", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["toolace", "evaluate", *always, *args])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


SETTINGS = ("--set", "cluster.address=nonsense", "--set", "evaluate.margins=[]", "--set", "evaluate.fixed_rounds=[1]")


def test_the_command_scores_what_is_answered_without_a_cluster(run: Any, tmp_path: Path) -> None:
    out = Store(str(tmp_path / "out"))
    code, _, err = run("--out", out.uri, *SETTINGS)
    assert code == 1 and "nonsense" in err
    # The answers, as a rollout leaves them.
    asked, answers = out.sub("data/rows"), out.sub("model/answers")
    (shard,) = read_index(asked).shards
    found = {r["id"]: r for r in records(tmp_path / "data", fixed_rounds=(1,), margins=())}
    assert digest_ids(found) == shard.ids and [s.id for s in read_samples(asked)] == list(found)
    errors = {key: record["error"] for key, record in found.items() if "error" in record}
    texts = {key: None if key in errors else json.dumps(record) for key, record in found.items()}
    publish(answers, shard, make_table(texts, errors, Counts(rows=5, errors={"too long": 1})))
    copy_index(asked, answers)
    answers.write_json("done.json", {**answers.read_json("begun.json"), "counts": {"rows": 5}})

    code, text, err = run("--out", out.uri, *SETTINGS, "--json")
    report = json.loads(text)
    assert code == 0 and report == out.read_json("scores.json")
    assert list(report["arms"]) == ["direct", "adaptive", "fixed_1"]
    assert set(report["arms"]["direct"]) >= {
        "categories", "scores", "missing", "mean_calls", "mean_tokens", "repairs", "regressions",
    }  # fmt: skip
    assert "1 faulty row(s)" in err and "1 row(s) without an answer, counted as wrong" in err
    assert "irrelevance_1: the prompt is too long" in err and "not asked and not scored" in err
    assert "1 of multi_turn_base" in err
    code, text, _ = run("--out", out.uri, *SETTINGS)
    lines = [line.split() for line in text.splitlines()]
    assert code == 0 and ["direct", "adaptive", "fixed_1"] in lines
    assert ["simple_python", "50.00%", "50.00%", "50.00%"] in lines
    assert ["local_single_turn", "incomplete", "incomplete", "incomplete"] in lines
    assert Counter(len(line) for line in lines)[0] == 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "--out"),
        (("--out", "o", "--verdicts", "v"), "OUT/verdicts-ARM.jsonl"),
        (("--out", "o", "--categories", "nix"), "'nix'"),
        (("--out", "o", "--categories", ","), "no category"),
        (("--out", "o", "--set", "model.path=./nowhere"), "./nowhere"),
        (("--predictions", "p", "--limit", "3"), "--limit"),
        (("--predictions", "p", "--categories", "irrelevance"), "--categories"),
    ],
)
def test_bad_input_is_one_clear_error(
    run: Any, args: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*args)
    assert code == 1 and not out
    assert err.startswith("error: ") and named in err and "Traceback" not in err


@pytest.mark.parametrize("option", ["--limit", "--categories"])
def test_options_of_benchmarks_need_one(option: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["toolace", "evaluate", "--data", "x", "--out", "o", option, "2"])
    with pytest.raises(SystemExit):
        main()
    err = capsys.readouterr().err
    assert option in err and "--benchmark" in err
