"""Multi-turn rows of BFCL with the official checker and backends, in their own environment: `make agreement-env`."""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolace.calls import Call, parse_calls, render_calls
from toolace.calls.formats import CallFormat
from toolace.cli.main import main
from toolace.config import RefineConfig
from toolace.errors import RolloutError
from toolace.evaluation.benchmarks.base import BenchmarkRow
from toolace.evaluation.benchmarks.bfcl import Backends, Bfcl, shared_process
from toolace.evaluation.benchmarks.bfcl_process import OfficialProcess
from toolace.evaluation.benchmarks.bfcl_rows import MULTI_TURN
from toolace.evaluation.benchmarks.running import plan_rows, questions, score_arms
from toolace.evaluation.dialogue import answer_row
from toolace.rollouts.program import Completion, Request, drive

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".agreement" / "venv"
SIZES = dict.fromkeys(MULTI_TURN, 200)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data in the official package."""
    if not (VENV / "bin" / "python").exists():
        pytest.skip("no environment with the official BFCL checker: make it with `make agreement-env`")
    (found,) = VENV.glob("lib/python3*/site-packages/bfcl_eval/data")
    yield found
    shared_process(VENV).close()


@pytest.fixture(scope="module")
def rows(data: Path) -> list[BenchmarkRow]:
    return [row for row in Bfcl(VENV).load(data) if row.category in MULTI_TURN]


@pytest.fixture
def gold_turns(monkeypatch: pytest.MonkeyPatch) -> object:
    """The gold's calls by turn, every argument with its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "agreement"))
    sys.modules.pop("dialogues", None)
    from dialogues import gold_turns

    return gold_turns


def test_gold_is_right_and_an_empty_model_wrong_everywhere(
    data: Path, rows: list[BenchmarkRow], gold_turns: object, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert callable(gold_turns) and Counter(row.category for row in rows) == SIZES
    assert not [row.problem for row in rows if row.problem or row.not_asked]
    gold = {row.id: [[f"[{', '.join(calls)}]", "Done."] for calls in gold_turns(row)] for row in rows}
    empty = {row.id: [[""] for _ in row.gold] for row in rows}
    for outputs, correct in ((gold, 200), (empty, 0)):
        file = tmp_path / "predictions.jsonl"
        file.write_text("".join(json.dumps({"id": key, "output": value}) + "\n" for key, value in outputs.items()))
        command = ["toolace", "evaluate", "--benchmark", "bfcl", "--data", str(data), "--predictions", str(file)]
        monkeypatch.setattr(sys, "argv", [*command, "--official", str(VENV), "--verdicts", f"{file}.v", "--json"])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        report = json.loads(capsys.readouterr().out)
        assert {name: report["categories"][name]["correct"] for name in MULTI_TURN} == dict.fromkeys(
            MULTI_TURN, correct
        )
        share = correct / 200
        assert report["scores"]["v4_multi_turn"] == report["scores"]["v3_2025_08_multi_turn"] == share
        assert report["scores"]["v3_2025_08_overall"] is None, "no single-turn row was predicted"
        errors = {json.loads(line)["error"] for line in Path(f"{file}.v").read_text().splitlines()}
        assert errors - {"no_prediction"} == ({None} if correct else {"multi_turn:empty_turn_model_response"})


def test_calls_that_hang_or_end_the_interpreter_lose_their_row_alone(
    rows: list[BenchmarkRow], gold_turns: object
) -> None:
    assert callable(gold_turns)
    row = rows[0]
    process = OfficialProcess(VENV, cpu_seconds=1)
    bench = Bfcl(process=process)
    gold = [[f"[{', '.join(calls)}]"] for calls in gold_turns(row)]
    for call, error in (
        ("ls(a=9**9**9)", "timeout"),
        ("importlib.sys.exit()", "crashed"),
        ("inspect.os._exit(status=0)", "crashed"),
        ("inspect.os.abort()", "crashed"),
        # Errors of a call among others: the dialogue stays right.
        ("exit()", None),
        ("open(file='x', mode='w')", None),
        ("input()", None),
    ):
        output = [[f"[{call}]", *gold[0]], *gold[1:]]
        verdict = bench.judge(row, output)
        assert (verdict.correct, verdict.error) == (error is None, error), call
    process.close()
    assert row.dialogue is not None
    with pytest.raises(RolloutError, match="crashed"):
        Backends(VENV, "pythonic")(row.dialogue.entry, ["[importlib.sys.exit()]"])


FORGE = """
import posix
for place in range(3, 40):
    try:
        posix.write(place, b'{"valid": true, "error_type": null, "detail": ""}\\n')
    except OSError:
        pass
posix._exit(0)
"""


def test_a_forged_verdict_is_wrong_and_moves_no_other(
    data: Path, rows: list[BenchmarkRow], gold_turns: object, tmp_path: Path
) -> None:
    assert callable(gold_turns)
    bench, some = Bfcl(VENV), rows[:6]
    code = base64.b64encode(FORGE.encode()).decode()
    call = f"[cd(folder=1+exec(__import__('base64').b64decode('{code}')))]"
    gold = {row.id: [[f"[{', '.join(calls)}]"] for calls in gold_turns(row)] for row in some}
    for evil in range(3):
        verdicts = []
        for number, row in enumerate(some):
            output = gold[row.id] if number % 2 else [["[nothing(a=1)]"] for _ in row.gold]
            verdicts.append(bench.judge(row, [[call], *output[1:]] if number == evil else output))
        expected = [bool(number % 2) and number != evil for number in range(6)]
        assert [verdict.correct for verdict in verdicts] == expected
        assert verdicts[evil].error == "crashed"


def test_a_call_cannot_read_the_gold_answers(rows: list[BenchmarkRow], data: Path) -> None:
    file = data / "possible_answer" / "BFCL_v4_multi_turn_base.json"
    dialogue = rows[0].dialogue
    assert file.is_file() and dialogue is not None
    assert shared_process(VENV).execute(dialogue.entry, [f"[open(file='{file}')]"]) == {
        "results": ["Error during execution: open is not open to calls"]
    }


@pytest.mark.parametrize("format", ["pythonic", "hermes"])
def test_a_model_that_knows_the_gold_is_right_through_the_whole_program(
    data: Path, format: CallFormat, gold_turns: object
) -> None:
    """The model says a call a step, sees its result, and ends each turn with a sentence."""
    assert callable(gold_turns)
    bench = Bfcl(VENV)
    plan = plan_rows(bench, data, MULTI_TURN, limit=3)
    execute = bench.backends(format)
    dialogues = {row.id: row.dialogue for row in plan.asked if row.dialogue is not None}
    records = []
    for row, sample in zip(plan.asked, questions(plan.asked), strict=True):
        turns = [[parse_calls(f"[{call}]") for call in calls] for calls in gold_turns(row)]

        def answer(request: Request, turns: list[list[list[Call]]] = turns) -> Completion:
            messages = request.chat.messages
            turn = sum(message.role == "user" for message in messages) - 1
            step = [message.role for message in messages][::-1].index("user") // 2
            called = {call.name for calls in turns[turn] for (call,) in [calls]}
            assert called <= {tool.name for tool in request.chat.tools}, "a function is not at hand in its turn"
            return Completion(render_calls(turns[turn][step], format) if step < len(turns[turn]) else "Done.")

        program = answer_row(
            sample,
            dialogues=dialogues,
            execute=execute,
            refine_config=RefineConfig(max_rounds=0),
            format=format,
        )
        records.append(drive(program, answer))
    scored = score_arms(bench, plan, records, ["direct", "adaptive"], format)
    for arm in scored.values():
        assert {name: entry["correct"] for name, entry in arm.report["categories"].items()} == dict.fromkeys(
            MULTI_TURN, 3
        )
