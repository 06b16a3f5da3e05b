"""Multi-turn rows of BFCL: the processes of the official checker, with stand-ins for it, and their verdicts."""

from __future__ import annotations

import ast
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_answers import FUNCTION, write_bfcl
from official_stub import write_stub

from toolace.cli.main import main
from toolace.errors import ConfigError
from toolace.evaluation.benchmarks import benchmark_named, bfcl_process
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.bfcl_process import OfficialProcess, find_official
from toolace.evaluation.benchmarks.bfcl_rows import MORE_TOOLS
from toolace.evaluation.benchmarks.running import plan_rows, score_arms
from toolace.evaluation.benchmarks.scoring import score_predictions

ENTRY = {"id": "multi_turn_base_0", "initial_config": {"a": 1}, "involved_classes": []}


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[OfficialProcess]:
    """The real child with a stand-in for the official package; a second of CPU for each request."""
    process = OfficialProcess(tmp_path, command=write_stub(tmp_path / "stub"))
    yield process
    process.close()


def execute(process: OfficialProcess, *calls: str) -> Any:
    found = process.execute(ENTRY, [json.dumps(list(calls))])
    return found.get("results", found)


def test_calls_are_executed_from_the_start_of_a_dialogue(stub: OfficialProcess) -> None:
    assert execute(stub, "config['a']", "1 / 0", "long") == ["1", "Error during execution: division by zero", "False"]
    two = [json.dumps(["count.append(1)"]), json.dumps(["len(count)"])]
    for _ in range(2):  # nothing stays from one request to the next
        assert stub.execute(ENTRY, two) == {"results": ["1"]}
    assert stub.execute(ENTRY, [*two, "no calls"]) == stub.execute(ENTRY, [*two, "[]"]) == {"results": None}
    assert stub.execute(ENTRY, ["no calls", two[1]]) == {"results": ["0"]}
    long = {**ENTRY, "id": "multi_turn_long_context_0"}
    assert stub.execute(long, ['["long"]']) == {"results": ["True"]}


@pytest.mark.parametrize(
    ("call", "failed"),
    [
        ("9 ** 9 ** 9", "timeout"),
        ("sys.exit()", "crashed"),
        ("inspect.os._exit(0)", "crashed"),
        ("inspect.os.abort()", "crashed"),
    ],
)
def test_a_call_that_hangs_or_ends_its_process_loses_itself_alone(
    stub: OfficialProcess, call: str, failed: str
) -> None:
    stub.start()
    child = stub.player._child
    assert stub.execute(ENTRY, [json.dumps([call])])["failed"] == failed
    assert stub.judge(ENTRY, [[call]], [[json.dumps([call])]])["failed"] == failed
    assert execute(stub, "1 + 1") == ["2"] and stub.player._child is child, "the process itself died"


def test_a_call_that_waits_is_ended_by_the_clock(tmp_path: Path) -> None:
    process = OfficialProcess(tmp_path, command=write_stub(tmp_path / "stub", seconds=1))
    process.start()
    child = process.player._child
    found = process.execute(ENTRY, ['["time.sleep(600)"]'])
    assert found == {"failed": "timeout", "detail": "the calls took longer than 1 s"} and process.player._child is child
    process.close()


@pytest.mark.parametrize(
    "call",
    [
        "open({path!r})",
        "open('/proc/self/environ')",
        "open({path!r}, 'w')",
        "inspect.os.open({path!r}, inspect.os.O_CREAT)",
        "inspect.os.remove({path!r})",
        "inspect.os.mkdir({path!r} + 'x')",
        "inspect.os.system('true')",
        "inspect.os.fork()",
        "inspect.os.kill(inspect.os.getppid(), 9)",
        "__import__('subprocess').run(['true'])",
        "__import__('socket').socket()",
    ],
)
def test_a_call_reaches_no_files_processes_or_sockets(stub: OfficialProcess, tmp_path: Path, call: str) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    (result,) = execute(stub, call.format(path=str(kept)))
    assert "is not open to calls" in result
    assert kept.read_text() == "kept" and execute(stub, "2") == ["2"]


def test_a_call_has_no_input_no_output_and_little_memory(stub: OfficialProcess) -> None:
    assert execute(stub, "print('{}')", "input()") == ["None", "Error during execution: EOF when reading a line"]
    (result,) = execute(stub, "len('x' * 10**10)")
    assert result.startswith("Error during execution")
    assert execute(stub, "sorted(inspect.os.environ)") == [
        str(sorted(("BFCL_PROJECT_ROOT", "LC_ALL", "PYTHONHASHSEED")))
    ]


def test_verdicts_of_the_child(stub: OfficialProcess) -> None:
    gold = [["1", "2"], []]
    right = {"valid": True, "error_type": None, "detail": ""}
    for output in ([['["1", "2"]'], []], [['["1"]', "prose", '["2"]'], ["prose", "[]"]]):
        assert stub.judge(ENTRY, gold, output) == right
    wrong = stub.judge(ENTRY, gold, [['["1"]'], []])
    assert wrong == {"valid": False, "error_type": "multi_turn:multi_turn_base", "detail": "not the gold"}
    for output in ([], [['["1", "2"]']], [['["1", "2"]'], [], []]):
        assert stub.judge(ENTRY, gold, output)["error_type"] == "multi_turn:force_terminated"
    assert stub.judge(ENTRY, gold, "text")["error_type"] == "multi_turn:inference_error"
    found = stub.judge(ENTRY, [["raise"]], [['["raise"]']])
    assert found["failed"] == "uncheckable" and "no verdict" in found["detail"]


def hostile(code: str, *after: str) -> list[list[str]]:
    """One turn of one step that runs `code`."""
    return [[json.dumps([f"exec({code!r})", *after])]]


FORGE = """
import json, posix
for line in LINES:
    for place in range(40):
        try:
            posix.write(place, line.encode() + b"\\n")
        except OSError:
            pass
posix._exit(0)
"""


@pytest.mark.parametrize(
    ("lines", "failed"),
    [
        (['{"valid": true, "error_type": null, "detail": ""}'] * 3, "crashed"),
        (['{"results": [1]}'], "crashed"),
        (['{"turns": 1}'], "crashed"),
        (['{"turns": [{}]}'], "uncheckable"),
        (['{"turns": [{"steps": [["1"]], "state": []}]}'], "uncheckable"),
        (['{"turns": [{"steps": [["1"]], "state": [["os.system", {}]]}]}'], "uncheckable"),
        (['{"failed": "", "valid": true}'], "crashed"),
        (['{"failed": ["timeout"]}'], "crashed"),
        (["[" * 100_000], "crashed"),
        (['{"turns": [' + "9" * 5000 + "]}"], "crashed"),
        (["0" * 32 + ' {"valid": true}'], "crashed"),
    ],
)
def test_a_call_that_forges_answers_loses_itself_alone(stub: OfficialProcess, lines: list[str], failed: str) -> None:
    stub.start()
    children = stub.player._child, stub.referee._child
    code = FORGE.replace("LINES", repr(lines))
    assert stub.judge(ENTRY, [["1"]], hostile(code))["failed"] == failed
    assert stub.judge(ENTRY, [["1"]], [['["2"]']])["error_type"] == "multi_turn:multi_turn_base"
    assert stub.execute(ENTRY, hostile(code)[0])["failed"] == "crashed"
    assert execute(stub, "1 + 1") == ["2"]
    assert stub.judge(ENTRY, [["1"]], [['["1"]']])["valid"]
    assert children == (stub.player._child, stub.referee._child)


def test_a_call_that_answers_without_end_is_ended(stub: OfficialProcess) -> None:
    code = "import posix\nwhile True: posix.write(3, bytes(65536))"
    assert stub.judge(ENTRY, [["1"]], hostile(code))["failed"] == "memory"
    for depth in range(300, 1100, 50):  # read by three parsers, each with a stack of its own
        nested = '{"turns": ' + "[" * depth + "]" * depth + "}"
        found = stub.judge(ENTRY, [["1"]], hostile(FORGE.replace("LINES", repr([nested]))))
        assert found["failed"] in ("crashed", "uncheckable")
    assert execute(stub, "1 + 1") == ["2"]


def test_a_call_has_one_channel_and_sees_neither_gold_nor_token(stub: OfficialProcess) -> None:
    find = "[place for place in range(1000) if inspect.os.path.exists(f'/proc/self/fd/{place}')]"
    assert execute(stub, find) == ["[0, 1, 2, 3]"]
    nowhere = "{inspect.os.readlink(f'/proc/self/fd/{place}') for place in range(3)}"
    assert execute(stub, nowhere) == ["{'/dev/null'}"]
    frames = "sorted({name for frame in inspect.stack() for name in frame.frame.f_locals})"
    (names,) = execute(stub, frames)
    assert "'request'" in names and "'token'" not in names and "'gold'" not in names
    secret = "".join(["zq", "qz"])
    assert stub.judge(ENTRY, [[repr(secret)]], [[json.dumps([repr(secret)])]])["valid"]
    assert not stub.judge(ENTRY, [[repr(secret)]], [['["1"]']])["valid"]
    search = "any(''.join(['zq', 'qz']) in str(o) for o in __import__('gc').get_objects() if type(o) in (dict, list))"
    assert execute(stub, search) == ["False"]


def test_the_state_that_calls_leave_is_judged(stub: OfficialProcess) -> None:
    values = [
        "[1, (2.5, {'k': None}), {3, 4}, 'é', True]",
        "float('inf')",
        "'\\ud800'",
        "{(1, 2): [[]]}",
        "type(box)(7)",
    ]
    for value in values:
        gold = [[f"box.put({value})"], ["1"]]
        assert stub.judge(ENTRY, gold, [[json.dumps(gold[0])], ['["1"]']])["valid"], value
        for other in ("0", "object()", "lambda: 1", "type('Box', (), {'__eq__': lambda self, other: True})()"):
            found = stub.judge(ENTRY, gold, [[json.dumps([f"box.put({other})"])], ['["1"]']])
            assert found["error_type"] == "multi_turn:state", (value, other)
    loop = ["box.put([])", "box.held.append(box.held)", "box.put(0)"]
    assert stub.judge(ENTRY, [loop], [[json.dumps(loop)]])["valid"]
    equal = "setattr(type(box), '__eq__', lambda self, other: True)"  # what calls do to the official code stays theirs
    assert stub.judge(ENTRY, [["box.put(1)", "None"]], hostile(equal, "None"))["error_type"] == "multi_turn:state"


FAKE = """
import json, os, sys, time
print(json.dumps({"ready": VERSION}), flush=True)
while head := sys.stdin.buffer.read(10):
    request = json.loads(sys.stdin.buffer.read(int(head)))
    token = sys.stdin.buffer.read(32).decode()
    what = request["steps"][0]
    if what == "die":
        os._exit(3)
    if what == "hang":
        time.sleep(600)
    if what == "talk":
        print("this is no JSON", flush=True)
    if what == "forge":
        print("0" * 32, json.dumps({"results": ["forged"]}), flush=True)
    print(token, json.dumps({"results": [str(os.getpid())]}), flush=True)
    if what == "forge later":
        print("0" * 32, json.dumps({"results": ["forged"]}), flush=True)
    if what == "die later":
        os._exit(3)
"""


def fake(tmp_path: Path, text: str = FAKE, version: str = bfcl_process.VERSION) -> OfficialProcess:
    """A child of another kind, one that is killed itself."""
    script = tmp_path / "fake.py"
    script.write_text(text.replace("VERSION", repr(version)))
    return OfficialProcess(tmp_path, command=[sys.executable, str(script)])


@pytest.mark.parametrize(
    ("what", "failed"), [("die", "crashed"), ("hang", "timeout"), ("talk", "crashed"), ("forge", "crashed")]
)
def test_a_dead_child_is_started_again_and_one_row_is_lost(tmp_path: Path, what: str, failed: str) -> None:
    process = fake(tmp_path)
    first = process.execute(ENTRY, ["x"])["results"]
    assert process.execute(ENTRY, ["x"])["results"] == first
    patience, process.player.patience = process.player.patience, 1 if what == "hang" else process.player.patience
    assert process.execute(ENTRY, [what])["failed"] == failed
    process.player.patience = patience
    again = process.execute(ENTRY, ["x"])["results"]
    assert again != first and process.execute(ENTRY, ["x"])["results"] == again
    process.close()


def test_an_answer_that_nobody_asked_for_is_given_to_no_row(tmp_path: Path) -> None:
    process = fake(tmp_path)
    first = process.execute(ENTRY, ["forge later"])["results"]
    time.sleep(0.2)
    again = process.execute(ENTRY, ["x"])["results"]
    assert again not in (first, ["forged"]) and process.execute(ENTRY, ["x"])["results"] == again
    process.close()


def test_a_child_that_died_between_rows_loses_none(tmp_path: Path) -> None:
    process = fake(tmp_path)
    process.execute(ENTRY, ["die later"])
    assert process.player._child is not None
    process.player._child.process.wait(10)
    assert "results" in process.execute(ENTRY, ["x"])
    process.close()


def test_an_environment_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"bfcl-eval 1.0, not .*agreement-env"):
        fake(tmp_path, version="1.0").start()
    with pytest.raises(ConfigError, match="a sad end"):
        fake(tmp_path, "raise SystemExit('a sad end')").start()
    with pytest.raises(ConfigError, match=r"bin.python is missing.*agreement-env"):
        find_official(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_official() is None
    python = tmp_path / ".agreement" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert find_official() is None, "an installation that was broken off"
    (python.parents[1] / ".installed").touch()
    assert find_official() == python.parents[1] == find_official(Path(".agreement/venv"))
    with pytest.raises(ConfigError, match="cannot be used"):  # this Python has no bfcl-eval
        OfficialProcess(python.parents[1]).start()
    with pytest.raises(ConfigError, match="apibank has no part"):
        benchmark_named("apibank", tmp_path)


def test_the_child_imports_the_standard_library_alone() -> None:
    source = Path(bfcl_process.__file__).with_name("bfcl_child.py").read_text()
    found = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert found <= sys.stdlib_module_names


def write_dialogues(folder: Path) -> Path:
    """The small folder, its multi-turn row in three turns; the tool `held` appears with the second."""
    write_bfcl(folder, faulty=False)
    turns = [[{"role": "user", "content": "one"}], [], [{"role": "user", "content": "three"}]]
    row = {"id": "multi_turn_base_0", "question": turns, "initial_config": {"k": 1}, "involved_classes": ["MathAPI"]}
    (folder / "BFCL_v4_multi_turn_base.json").write_text(json.dumps(row | {"missed_function": {"1": ["held"]}}) + "\n")
    gold = {"id": "multi_turn_base_0", "ground_truth": [["1"], [], ["2", "3"]]}
    (folder / "possible_answer" / "BFCL_v4_multi_turn_base.json").write_text(json.dumps(gold) + "\n")
    docs = [FUNCTION, {**FUNCTION, "name": "held"}]
    (folder / "multi_turn_func_doc" / "math_api.json").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    return folder


def test_rows_bring_their_dialogue(tmp_path: Path, stub: OfficialProcess) -> None:
    data = write_dialogues(tmp_path / "data")
    row = Bfcl(process=stub).load(data)[-1]
    assert row.dialogue is not None and row.problem is None and row.not_asked is None
    assert [tool.name for tool in row.chat.tools] == ["f"] and [m.content for m in row.chat.messages] == ["one"]
    assert [[m.content for m in turn] for turn in row.dialogue.turns] == [[MORE_TOOLS], ["three"]]
    assert {turn: [tool.name for tool in tools] for turn, tools in row.dialogue.held.items()} == {1: ["held"]}
    assert row.dialogue.entry == {"id": row.id, "initial_config": {"k": 1}, "involved_classes": ["MathAPI"]}
    assert Bfcl().load(data)[-1].not_asked is not None
    file, questions = data / "possible_answer" / "BFCL_v4_multi_turn_base.json", data / "BFCL_v4_multi_turn_base.json"
    for gold, problem in (([["1"]], "3 turn(s), and answers for 1"), (["1", "2", "3"], "list of calls")):
        file.write_text(json.dumps({"id": "x", "ground_truth": gold}))
        assert problem in str(Bfcl().load(data)[-1].problem)
    good = json.loads(questions.read_text())
    for change, problem in (
        ({"involved_classes": [{}]}, "`involved_classes`"),
        ({"initial_config": 1}, "`initial_config`"),
        ({"missed_function": {"1": "held"}}, "`missed_function`"),
        ({"missed_function": {}}, "turn 1 has no message"),
        ({"question": [good["question"][0], 7]}, "`question`"),
    ):
        questions.write_text(json.dumps(good | change))
        assert problem in str(Bfcl().load(data)[-1].problem)


def test_predictions_are_scored_by_the_child(tmp_path: Path, stub: OfficialProcess) -> None:
    data, file = write_dialogues(tmp_path / "data"), tmp_path / "p.jsonl"
    bench = Bfcl(process=stub)
    for output, error in (
        ([['["1"]'], [], ['["2"]', '["3"]']], None),
        ([['["1"]'], [], ['["2"]']], "multi_turn:multi_turn_base"),
        ([['["1"]'], []], "multi_turn:force_terminated"),
        ("", "multi_turn:inference_error"),
        ([['["sys.exit()"]'], [], []], "crashed"),
    ):
        file.write_text(json.dumps({"id": "multi_turn_base_0", "output": output}) + "\n")
        found = score_predictions(bench, data, file)
        assert (found.verdicts[-1].correct, found.verdicts[-1].error) == (error is None, error)
        assert found.scores["multi_turn_base"] == float(error is None) and not found.not_scored()


def test_the_command_says_what_is_not_scored_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = write_dialogues(tmp_path / "data"), tmp_path / "p.jsonl"
    monkeypatch.chdir(tmp_path)
    file.write_text(json.dumps({"id": "multi_turn_base_0", "output": []}) + "\n")
    args = ["toolace", "evaluate", "--benchmark", "bfcl", "--data", str(data), "--predictions", str(file)]
    for more, code, said in (
        ([], 0, r"1 row(s) not scored"),
        (["--official", "none"], 1, "no environment in none"),
    ):
        monkeypatch.setattr(sys, "argv", [*args, *more])
        with pytest.raises(SystemExit) as stopped:
            main()
        err = capsys.readouterr().err
        assert int(stopped.value.code or 0) == code
        assert said in err and "make agreement-env" in err and "--official" in err


def test_answers_of_dialogues_are_scored(tmp_path: Path, stub: OfficialProcess) -> None:
    data = write_dialogues(tmp_path / "data")
    bench = Bfcl(process=stub)
    plan = plan_rows(bench, data, ["multi_turn_base"])
    assert [row.id for row in plan.asked] == ["multi_turn_base_0"]
    arm = {"text": "", "rounds": 0, "stopped": "direct", "model_calls": 1, "scored": 0, "tokens": 1, "prompt_tokens": 1}
    turns = [['["1"]', "prose"], ["prose"], ['["2", "3"]']]
    record = {
        "id": "multi_turn_base_0",
        "kind": "",
        "chain": [],
        "asked": 1,
        "arms": {"direct": {**arm, "turns": turns}},
    }
    scored = score_arms(bench, plan, [record], ["direct"], "pythonic")["direct"]
    assert scored.report["scores"]["multi_turn_base"] == 1.0
    assert scored.report["categories"] == {"multi_turn_base": {"n": 1, "judged": 1, "correct": 1}}
    assert json.loads(scored.predictions) == {"id": "multi_turn_base_0", "output": turns, "raw": turns}
    failed = score_arms(bench, plan, [{"id": "multi_turn_base_0", "error": "too long"}], ["direct"], "pythonic")
    assert failed["direct"].found.verdicts[-1].error == "unanswered"
