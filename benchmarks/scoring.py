"""How many answers a second do the benchmarks' rules judge on one core?

    python benchmarks/scoring.py [--data bfcl=DIR] [--data sealtools=DIR] ...

A benchmark without `--data` gets rows in its official layout, made of the synthetic corpus. Each category is judged on
gold answers and on answers of many kinds made from them, most of them wrong (see KINDS). No answer is judged twice in a
pass, so nothing is won by remembering one. `file` is the way from predictions to verdicts: reading the file, judging,
writing the verdicts; loading the benchmark itself is shown apart. Seconds are CPU seconds of this process.

The last line is one JSON object: `rows_per_second` by benchmark and category, `{"rows", "answers", "gold", "all"}`;
`file` and `load` by benchmark, in rows a second; `slowest`, the category with the lowest figure.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("agreement")))

from answers import gold_calls
from mutations import MUTATIONS
from scoring_rows import make_folders

from toolace.calls.schema import Call
from toolace.evaluation.benchmarks import BENCHMARKS, benchmark_named
from toolace.evaluation.benchmarks.acebench import SPECIALS
from toolace.evaluation.benchmarks.base import Benchmark, BenchmarkRow
from toolace.evaluation.benchmarks.bfcl_rows import CATEGORIES as BFCL
from toolace.evaluation.benchmarks.bfcl_rows import MULTI_TURN
from toolace.evaluation.benchmarks.scoring import read_predictions, score_rows

KINDS = (
    "gold", "wrong_name", "other_function", "dropped_argument", "extra_argument", "number_changed", "number_as_text",
    "float_for_int", "text_changed", "text_upper_case", "text_punctuation", "text_as_list", "list_reversed",
    "object_value_changed", "calls_reversed", "call_twice", "call_dropped", "prose_before", "prose_after_on_a_line",
    "prose_alone", "fence_python", "cut_at_the_end", "json_calls",
)  # fmt: skip
"""What models answer, right and wrong: kinds of `benchmarks/agreement/mutations.py`."""

Case = tuple[BenchmarkRow, str]


def bfcl_like(row: BenchmarkRow, calls: Sequence[Call]) -> BenchmarkRow:
    """A row of any benchmark in BFCL's form, which the mutations are written for."""
    functions = [{"name": tool.name, "parameters": {"properties": {}, **tool.parameters}} for tool in row.chat.tools]
    gold = [{call.name: {key: [_choices(value)] for key, value in call.arguments.items()}} for call in calls]
    return BenchmarkRow(row.id, "other", row.chat, {"function": functions}, gold)


def _choices(value: Any) -> Any:
    return {key: [item] for key, item in value.items()} if isinstance(value, dict) else value


def golden(row: BenchmarkRow) -> Sequence[Call]:
    """The gold calls of a row of a benchmark other than BFCL."""
    gold = row.gold
    if isinstance(gold, Call):
        return [gold]
    if isinstance(gold, tuple) and gold and isinstance(gold[0], Call):
        return gold
    calls: Sequence[Any] = gold.calls
    return calls[0] if calls and isinstance(calls[0], tuple) else calls


def special(row: BenchmarkRow) -> str:
    """The right answer to a row of ACEBench's special categories."""
    texts: dict[str, tuple[str, ...]] = row.gold.texts
    listed = [f"({', '.join(values)}) for the api ({key})" for key, values in texts.items()]
    return {
        "special_incomplete": f"Missing necessary parameters {' and '.join(listed)}",
        "special_error_param": f"There is incorrect value {listed} in the parameters",
        "special_irrelevant": "Due to the limitations of the function, I cannot solve this problem.",
    }[row.category]


def answers(row: BenchmarkRow, kinds: Sequence[str] = KINDS) -> list[str]:
    """The texts for a row, the gold answer first."""
    if row.category in SPECIALS:
        text = special(row)
        return [
            text,
            f"I am sorry. {text}",
            text.lower(),
            text[: len(text) // 2],
            "[search(query='x')]",
            f"{text} [f(a=1)]",
        ]
    like = row if row.category in BFCL else bfcl_like(row, golden(row))
    found = [MUTATIONS[kind](like, gold_calls(like), random.Random(f"{row.id}/{kind}")) for kind in kinds]
    return [text for text in found if text is not None]


def rate(run: Callable[[], int], seconds: float) -> float:
    """Answers a CPU second: the median of several passes that take `seconds` together."""
    rates: list[float] = []
    spent = 0.0
    while spent < seconds or len(rates) < 3:
        begun = time.process_time()
        judged = run()
        took = time.process_time() - begun
        spent += took
        rates.append(judged / max(took, 1e-9))
    return statistics.median(rates)


def judging(bench: Benchmark, cases: Sequence[Case]) -> Callable[[], int]:
    def run() -> int:
        judge = bench.judge
        for row, text in cases:
            judge(row, text)
        return len(cases)

    return run


def loading(bench: Benchmark, folder: Path) -> int:
    return len(bench.load(folder))


def from_file(bench: Benchmark, rows: Sequence[BenchmarkRow], folder: Path, path: Path) -> Callable[[], int]:
    """Predictions (the gold answers) from a file to verdicts in another."""
    lines = [json.dumps({"id": row.id, "output": answers(row, KINDS[:1])[0]}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run() -> int:
        path.with_suffix(".verdicts").write_bytes(score_rows(bench, rows, read_predictions(path), folder).lines())
        return len(rows)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=DIR", help="a benchmark's own files")
    parser.add_argument("--only", choices=list(BENCHMARKS), action="append", help="this benchmark (can be repeated)")
    parser.add_argument("--rows", type=int, default=200, help="made rows a category")
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU seconds for a figure, at the least")
    options = parser.parse_args()
    result: dict[str, Any] = {"clock": "CPU seconds, one core", "rows_per_second": {}, "file": {}, "load": {}}
    with tempfile.TemporaryDirectory() as name:
        folders = make_folders(Path(name), options.rows)
        given = dict(item.split("=", 1) for item in options.data)
        folders |= {key: Path(value) for key, value in given.items()}
        result["data"] = {key: "own" if key in given else "made" for key in folders}
        for benchmark in options.only or folders:
            bench, folder = benchmark_named(benchmark), folders[benchmark]
            rows = [row for row in bench.load(folder) if not row.problem and row.category not in MULTI_TURN]
            figures = result["rows_per_second"][benchmark] = {}
            for category in dict.fromkeys(row.category for row in rows):
                texts = [(row, answers(row)) for row in rows if row.category == category]
                gold = [(row, found[0]) for row, found in texts]
                every = [(row, text) for row, found in texts for text in found]
                figures[category] = {
                    "rows": len(gold),
                    "answers": len(every),
                    "gold": round(rate(judging(bench, gold), options.seconds)),
                    "all": round(rate(judging(bench, every), options.seconds)),
                }
                print(f"{benchmark:<11} {category:<42} {figures[category]}", flush=True)
            way = from_file(bench, rows, folder, Path(name) / "predictions.jsonl")
            result["file"][benchmark] = round(rate(way, options.seconds))
            result["load"][benchmark] = round(rate(partial(loading, bench, folder), 0))
            print(f"{benchmark:<11} file {result['file'][benchmark]:,}, load {result['load'][benchmark]:,}", flush=True)
    lowest = [
        (figure[kind], f"{benchmark}/{category}, {kind}")
        for benchmark, figures in result["rows_per_second"].items()
        for category, figure in figures.items()
        for kind in ("gold", "all")
    ]
    result["slowest"] = dict([min(lowest)[::-1]])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
