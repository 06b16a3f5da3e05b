"""Scoring predictions that exist: what is read, counted, refused and written; and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import API_REQUEST, ace_row, api_bank_row, write_ace, write_json

from toolace.cli.main import main
from toolace.errors import ConfigError, DataError, StorageError
from toolace.evaluation.benchmarks import BENCHMARKS, benchmark_named
from toolace.evaluation.benchmarks.places import write_to
from toolace.evaluation.benchmarks.scoring import read_predictions, score_predictions

IDS = [f"BookTable.jsonl/{number}" for number in range(3)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three rows of level 1, the last one faulty."""
    rows = [api_bank_row(0), api_bank_row(1), api_bank_row(2, "no request")]
    return write_json(tmp_path / "data" / "level-1-api.json", rows).parent


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., Path]:
    """A file of predictions from (id, output) pairs or raw lines."""

    def given(*entries: Any) -> Path:
        path = tmp_path / "predictions.jsonl"
        lines = [
            entry if isinstance(entry, str) else json.dumps(dict(zip(("id", "output"), entry, strict=True)))
            for entry in entries
        ]
        path.write_text("\n".join(lines))
        return path

    return given


def test_every_row_gets_a_verdict_and_a_bad_row_is_in_the_denominator(
    data: Path, given: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "verdicts.jsonl"
    predictions = given((IDS[1], "?"), "", (IDS[0], API_REQUEST))
    found = score_predictions(benchmark_named("apibank"), data, predictions, out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"id": IDS[0], "category": "level-1", "correct": True, "error": None},
        {"id": IDS[1], "category": "level-1", "correct": False, "error": "no_call"},
        {"id": IDS[2], "category": "level-1", "correct": False, "error": "bad_row"},
    ]
    report = found.to_json()
    assert report["benchmark"] == "apibank" and report["missing"] == 0
    assert report["categories"] == {"level-1": {"n": 3, "correct": 1}}
    assert report["scores"]["level-1/exact_match"] == pytest.approx(1 / 3)
    assert report["scores"]["level-1/name_recall"] == pytest.approx(1 / 3), "and in that of recall"
    assert [row.id for row in found.bad_rows()] == [IDS[2]] and "row 2" in found.bad_rows()[0].detail


@pytest.mark.parametrize(
    ("output", "error"),
    [({"output": []}, "not_text"), ({"output": [["a"], ["b"]]}, "not_text"),
     ({"output": API_REQUEST, "unanswered": "the engine died"}, "unanswered")],
)  # fmt: skip
def test_what_is_no_answer_misses_all_of_its_gold(
    data: Path, given: Callable[..., Path], output: dict[str, Any], error: str
) -> None:
    """Whatever a failed row's output holds, and whatever form a wrong one has, its gold stays in the denominators."""
    predictions = given((IDS[0], API_REQUEST), json.dumps({"id": IDS[1], **output}))
    found = score_predictions(benchmark_named("apibank"), data, predictions)
    assert [verdict.error for verdict in found.verdicts] == [None, error, "bad_row"]
    scores = found.to_json()["scores"]
    assert scores["level-1/exact_match"] == scores["level-1/name_recall"] == pytest.approx(1 / 3)
    assert scores["level-1/name_precision"] == 0.5, "no answer is one predicted call that is wrong"
    assert 0 < scores["level-1/argument_recall"] < 0.5


def test_a_part_of_the_predictions_gives_no_score(data: Path, given: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "verdicts.jsonl"
    found = score_predictions(benchmark_named("apibank"), data, given((IDS[0], API_REQUEST)), out)
    report = found.to_json()
    assert report["missing"] == 1 and set(report["scores"].values()) == {None}
    assert report["categories"] == {"level-1": {"n": 3, "correct": 1}}
    assert [json.loads(line)["error"] for line in out.read_text().splitlines()] == [None, "no_prediction", "bad_row"]


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (((IDS[0], "a"), (IDS[0], "a")), "predictions.jsonl:2: the id 'BookTable.jsonl/0' was given before"),
        (((IDS[0], "a"), ("other", "a")), "1 id(s)"),
        (((IDS[0], "a"), '{"id": "x", "outp'), "predictions.jsonl:2: not JSON"),
        (('["x"]',), "predictions.jsonl:1"),
        (((3, "a"),), "predictions.jsonl:1"),
        (('{"id": "x"}',), "predictions.jsonl:1"),
        (((IDS[0], None),), "predictions.jsonl:1: the output of"),
        (((IDS[0], ["a"]),), "predictions.jsonl:1: the output of"),
        (((IDS[0], [["a", 1]]),), "predictions.jsonl:1: the output of"),
    ],
)
def test_predictions_that_cannot_be_trusted_are_refused(
    data: Path, given: Callable[..., Path], tmp_path: Path, entries: tuple[Any, ...], named: str
) -> None:
    out = tmp_path / "verdicts.jsonl"
    out.write_text("before")
    with pytest.raises(DataError) as refused:
        score_predictions(benchmark_named("apibank"), data, given(*entries), out)
    assert named in str(refused.value)
    assert out.read_text() == "before" and not list(tmp_path.glob(".*.tmp"))


def test_steps_of_turns_are_read(given: Callable[..., Path]) -> None:
    assert [found.output for found in read_predictions(given(("m", [["a", "b"], []])))] == [[["a", "b"], []]]


@pytest.mark.parametrize(
    "place", ["predictions.jsonl", "linked", "symbolic", "data/level-1-api.json", "data/new/verdicts", "linked-data"]
)
def test_verdicts_do_not_go_over_what_is_read(
    data: Path, given: Callable[..., Path], tmp_path: Path, place: str
) -> None:
    predictions, rows = given((IDS[0], "a")), data / "level-1-api.json"
    (tmp_path / "linked").hardlink_to(predictions)
    (tmp_path / "symbolic").symlink_to(predictions)
    (tmp_path / "linked-data").hardlink_to(rows)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"verdicts would destroy it|nothing is written there"):
        score_predictions(benchmark_named("apibank"), data, predictions, tmp_path / place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_verdicts_go_over_verdicts(data: Path, given: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "verdicts").write_text("of before")
    (tmp_path / "again").hardlink_to(tmp_path / "verdicts")
    score_predictions(benchmark_named("apibank"), data, given((IDS[0], "a")), tmp_path / "verdicts")
    assert len((tmp_path / "verdicts").read_text().splitlines()) == 3


def test_verdicts_go_through_links_and_pipes_which_stay(data: Path, given: Callable[..., Path], tmp_path: Path) -> None:
    benchmark, predictions = benchmark_named("apibank"), given((IDS[0], "a"))
    link, target, pipe = tmp_path / "link", tmp_path / "there" / "target", tmp_path / "pipe"
    target.parent.mkdir()
    link.symlink_to(target)
    lines = score_predictions(benchmark, data, predictions, link).lines()
    assert link.is_symlink() and target.read_bytes() == lines
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        score_predictions(benchmark, data, predictions, pipe)
        assert read.result(timeout=60) == lines and pipe.is_fifo()


def test_verdicts_on_standard_output_come_before_the_scores(
    data: Path, given: Callable[..., Path], tmp_path: Path
) -> None:
    predictions = given((IDS[0], "a"))
    lines = score_predictions(benchmark_named("apibank"), data, predictions).lines()
    command = [sys.executable, "-m", "toolace", "evaluate", "--benchmark", "apibank", "--data", str(data)]
    (tmp_path / "out").write_text("of before\n")
    with (tmp_path / "out").open("ab") as out:
        options = ("--predictions", str(predictions), "--verdicts", "/dev/stdout", "--json")
        subprocess.run([*command, *options], stdout=out, check=True)
    head, *said, scores = (tmp_path / "out").read_bytes().splitlines(keepends=True)
    assert head == b"of before\n" and b"".join(said) == lines and json.loads(scores)["missing"] == 1


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}", "a link"])
def test_what_the_process_has_open_is_written_where_it_stands(name: str, tmp_path: Path) -> None:
    opened = os.open(tmp_path / "opened", os.O_WRONLY | os.O_CREAT)
    (tmp_path / "link").symlink_to(f"/dev/fd/{opened}")
    place = tmp_path / "link" if name == "a link" else Path(name.format(opened))
    os.write(opened, b"before\n")
    write_to(place, b"verdicts\n")
    os.write(opened, b"after\n")
    os.close(opened)
    assert (tmp_path / "opened").read_bytes() == b"before\nverdicts\nafter\n"
    for gone in (place, Path("/dev/fd", "9" * 30)):
        with pytest.raises(StorageError, match="Give another place"):
            write_to(gone, b"verdicts\n")


def test_verdicts_on_standard_error_leave_what_was_said_there(tmp_path: Path) -> None:
    code = "import os, pathlib, sys; from toolace.evaluation.benchmarks.places import write_to\n"
    code += "os.write(2, b'said\\n'); write_to(pathlib.Path('/dev/stderr'), b'verdicts\\n'); os.write(2, b'more\\n')"
    with (tmp_path / "said").open("wb") as said:
        subprocess.run([sys.executable, "-c", code], stderr=said, check=True)
    assert (tmp_path / "said").read_bytes() == b"said\nverdicts\nmore\n"


def test_a_file_in_a_directory_of_devices_is_a_file(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        old, kept, new = (Path(folder, name) for name in ("old", "kept", "new/verdicts"))
        old.write_bytes(b"of before")
        kept.hardlink_to(old)
        for place in (old, new):
            write_to(place, b"verdicts")
            assert place.read_bytes() == b"verdicts"
        assert kept.read_bytes() == b"of before", "the file was replaced as a whole, not written over"
    write_to(Path("/dev/null"), b"verdicts")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(("place", "reason"), [("round", "levels of symbolic links"), ("n" * 300, "name too long")])
def test_a_place_that_cannot_be_is_refused_before_anything_is_read(
    data: Path, given: Callable[..., Path], tmp_path: Path, place: str, reason: str
) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(ConfigError, match=f"(?i){reason}.*Give another place"):
        score_predictions(benchmark_named("apibank"), data, given((IDS[0], "a")), tmp_path / place)
    assert (tmp_path / "round").is_symlink()
    for name in BENCHMARKS:
        with pytest.raises(DataError, match=r"there is no folder|no BFCL files"):
            score_predictions(benchmark_named(name), tmp_path / "round", given((IDS[0], "a")), tmp_path / "verdicts")


def test_verdicts_keep_who_may_read_them(data: Path, given: Callable[..., Path], tmp_path: Path) -> None:
    private, link = tmp_path / "verdicts", tmp_path / "link"
    private.touch(mode=0o600)
    link.symlink_to(private)
    for place in (private, link):
        score_predictions(benchmark_named("apibank"), data, given((IDS[0], "a")), place)
        assert private.stat().st_mode & 0o777 == 0o600 and private.read_bytes()


def test_what_the_folder_lacks_is_said_to_programs_too(data: Path, given: Callable[..., Path], tmp_path: Path) -> None:
    category = "special_irrelevant"
    write_ace(tmp_path / "ace", category, [ace_row("n_0")], {"n_0": ""})
    found = score_predictions(benchmark_named("acebench"), tmp_path / "ace", given(("n_0", "a")))
    assert found.to_json()["left_out"] == [f"{category}: 1 rows are here, the benchmark has 50"]
    whole = score_predictions(benchmark_named("apibank"), data, given((IDS[0], "a")))
    assert set(whole.to_json()) == {"benchmark", "categories", "scores", "missing"}


def test_equal_ids_in_two_files_are_refused(data: Path, given: Callable[..., Path]) -> None:
    write_json(data / "level-2-api.json", [api_bank_row(0)])
    with pytest.raises(DataError, match=f"two rows in .* have the id '{IDS[0]}'"):
        score_predictions(benchmark_named("apibank"), data, given((IDS[0], "a")))


def test_an_unknown_benchmark_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'bfc'.*acebench, apibank"):
        benchmark_named("bfc")


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "bfcl"])
def test_benchmarks_go_by_their_names(name: str) -> None:
    assert benchmark_named(name).name == name


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`toolace evaluate` in this process: exit code, stdout, stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["toolace", "evaluate", *args])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


def test_the_command_prints_what_programs_rely_on(
    run: Any, data: Path, given: Callable[..., Path], tmp_path: Path
) -> None:
    predictions, verdicts = given((IDS[0], API_REQUEST), (IDS[1], "?")), tmp_path / "verdicts.jsonl"
    named = ("--benchmark", "apibank", "--data", str(data), "--predictions", str(predictions))
    code, out, err = run(*named, "--verdicts", str(verdicts), "--json")
    report = json.loads(out)
    assert code == 0 and set(report) == {"benchmark", "categories", "scores", "missing"}
    assert report["categories"] == {"level-1": {"n": 3, "correct": 1}} and report["missing"] == 0
    assert len(verdicts.read_text().splitlines()) == 3
    assert "1 faulty row(s)" in err and IDS[2] in err
    code, out, err = run(*named)
    assert code == 0 and "level-1/exact_match" in out and "33.33%" in out
    predictions.write_text("")
    code, out, err = run(*named)
    assert code == 0 and "incomplete" in out and "%" not in out and "2 row(s) without a prediction" in err


def test_of_many_faulty_rows_some_are_named_and_it_is_said_where_all_are(run: Any, tmp_path: Path) -> None:
    rows = [api_bank_row(number, "no request") for number in range(8)]
    data = write_json(tmp_path / "data" / "level-1-api.json", rows).parent
    predictions, verdicts = tmp_path / "none.jsonl", tmp_path / "verdicts.jsonl"
    predictions.write_text("")
    command = ("--benchmark", "apibank", "--data", str(data), "--predictions", str(predictions))
    for more in ((), ("--verdicts", str(verdicts))):
        _, _, err = run(*command, *more)
        assert err.count("row ") == 5 and "8 faulty row(s)" in err
        assert "and 3 more; all are named in " in err and (str(verdicts) if more else "--verdicts FILE") in err
    assert [json.loads(line)["error"] for line in verdicts.read_text().splitlines()] == ["bad_row"] * 8


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--benchmark", "apibank"), "--out"),
        (("--benchmark", "apibank", "--model", "m"), "--predictions"),
        (("--benchmark", "nix"), "'nix'"),
        (("--benchmark", "apibank", "--predictions", "none.jsonl"), "none.jsonl"),
        (("--benchmark", "apibank", "--predictions", "none.jsonl", "--model", "m"), "--model"),
        (("--benchmark", "sealtools", "--predictions", "none.jsonl"), "test_in_domain.json"),
        (("--predictions", "none.jsonl"), "--benchmark"),
    ],
)
def test_bad_input_is_one_clear_error(run: Any, data: Path, args: tuple[str, ...], named: str) -> None:
    code, out, err = run("--data", str(data), *args)
    assert code == 1 and not out
    assert err.startswith("error: ") and named in err and "Traceback" not in err


def test_without_a_benchmark_a_place_for_the_results_is_wanted(run: Any, data: Path) -> None:
    code, _, err = run("--data", str(data))
    assert code == 1 and "--out" in err


def test_scoring_and_its_help_load_nothing_heavy(data: Path, given: Callable[..., Path]) -> None:
    heavy = ("torch", "ray", "vllm", "transformers", "deepspeed", "pandas")
    predictions = given((IDS[0], API_REQUEST))
    scored = ["--benchmark", "apibank", "--data", str(data), "--predictions", str(predictions)]
    for args in (["--help"], scored):
        code = (
            f"import sys, contextlib, io\nsys.argv = ['toolace', 'evaluate', *{args!r}]\n"
            "from toolace.cli.main import main\n"
            "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out: main()\n"
            f"print(bool(out.getvalue()), [name for name in {heavy!r} if name in sys.modules])"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "True []"
