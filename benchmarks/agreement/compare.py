"""Our verdicts beside the official ones, row by row: `make agreement`.

    python benchmarks/agreement/compare.py --official .agreement/venv --data DIR [--every N] [--only CATEGORY]

For each row of each BFCL category at hand, the gold answer and its mutations are judged by both sides. The categories
come from DIR and, for those that it lacks, from the data in the official package. Prints the speed of our side and, as
its last line, JSON: `rows`, `agree` (validity and error kind are equal), both also `by_category` and `by_mutation`,
`disagreements` (the first of them), `faulty_gold` (rows whose gold, as written here, the official checker rejects) and
`official_crashes` (answers at which the official checker raises: it has no verdict, so they are not among the rows).

Multi-turn rows are judged on our side by the package's own process in the same environment (the official checker and
backends behind decoding and limits), on the other by the official `eval_runner`. Their kinds begin with `turns_`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import dialogues
from mutations import MUTATIONS, outputs

from toolace.errors import DataError
from toolace.evaluation.benchmarks.base import BenchmarkRow, Output, RowVerdict
from toolace.evaluation.benchmarks.bfcl import Bfcl
from toolace.evaluation.benchmarks.bfcl_rows import MULTI_TURN, find_files, read_category

Case = tuple[BenchmarkRow, str, Output]  # the row, the kind of mutation, the text or the steps of each turn


def official_data(venv: Path) -> Path:
    """The data folder of the package in the official environment."""
    found = sorted(venv.glob("lib/python3*/site-packages/bfcl_eval/data"))
    if not found:
        raise DataError(f"no bfcl_eval in {venv}: make it with `make agreement-env`")
    return found[0]


def collect(folders: Iterable[Path], every: int, only: frozenset[str] = frozenset()) -> dict[Path, list[Case]]:
    """The cases of each folder, of every `every`-th row; a category is taken from the first folder that has it."""
    cases: dict[Path, list[Case]] = {}
    seen: set[str] = set()
    for folder in folders:
        for category, path in find_files(folder).items():
            if category in seen or (only and category not in only):
                continue
            seen.add(category)
            for row in read_category(category, path)[::every]:
                if row.problem is not None:
                    raise DataError(row.problem)
                kinds: Iterable[tuple[str, Output]] = outputs(row) if row.dialogue is None else dialogues.outputs(row)
                cases.setdefault(folder, []).extend((row, kind, output) for kind, output in kinds)
    return cases


def official_verdicts(venv: Path, folder: Path, cases: list[Case], limit: float = 3600) -> list[dict[str, Any]]:
    """The official verdicts, from a process in the official environment."""
    lines = "\n".join(json.dumps({"id": row.id, "category": row.category, "output": text}) for row, _, text in cases)
    script = Path(__file__).with_name("official.py")
    command = [str(venv / "bin" / "python"), str(script), str(folder)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=limit, check=False)
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(verdicts) != len(cases):
        raise DataError(f"the official side gave {len(verdicts)} of {len(cases)} verdicts: {done.stderr[-800:]}")
    return verdicts


def compare(venv: Path, folders: Iterable[Path], every: int = 1, only: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The agreement's counts; see the top of this file."""
    bench = Bfcl(venv)
    rows: Counter[tuple[str, str]] = Counter()
    agree: Counter[tuple[str, str]] = Counter()
    faulty, crashes, differences = [], [], []
    spent, judged = 0.0, 0
    for folder, cases in collect(folders, every, only).items():
        ours = []
        for multi_turn, group in groupby(cases, lambda case: case[0].category in MULTI_TURN):
            start = time.perf_counter()
            found = [bench.judge(row, text) for row, _, text in group]
            ours += found
            if not multi_turn:
                spent += time.perf_counter() - start
                judged += len(found)
        for (row, kind, text), mine, theirs in zip(cases, ours, official_verdicts(venv, folder, cases), strict=True):
            if "crash" in theirs:
                crashes.append({"id": row.id, "mutation": kind, "raises": theirs["crash"], "ours": mine.error})
                continue
            key = (row.category, kind)
            rows[key] += 1
            if kind in ("gold", "turns_gold") and not theirs["valid"] and row.gold is not None:
                faulty.append({"id": row.id, "error": theirs["error_type"]})
            if _same(mine, theirs):
                agree[key] += 1
            else:
                difference = {"id": row.id, "mutation": kind, "official": theirs, "ours": [mine.correct, mine.error]}
                differences.append(difference | {"text": text})
    if judged:
        print(f"{judged:,} single-turn answers judged by us in {spent:.2f} s: {judged / spent:,.0f} a second")
    return {
        "rows": rows.total(),
        "agree": agree.total(),
        "by_category": _counts(rows, agree, 0),
        "by_mutation": _counts(rows, agree, 1),
        "disagreements": differences,
        "faulty_gold": faulty,
        "official_crashes": crashes,
    }


def _same(mine: RowVerdict, theirs: dict[str, Any]) -> bool:
    return (mine.correct, mine.error) == (theirs["valid"], theirs["error_type"])


def _counts(rows: Counter[tuple[str, str]], agree: Counter[tuple[str, str]], part: int) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for key, number in rows.items():
        entry = counts.setdefault(key[part], {"rows": 0, "agree": 0})
        entry["rows"] += number
        entry["agree"] += agree[key]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, metavar="VENV", help="bfcl-eval's environment")
    parser.add_argument("--data", type=Path, help="a folder with BFCL files; else those of the official package")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take each N-th row only")
    parser.add_argument("--only", action="append", default=[], metavar="CATEGORY", help="compare this category only")
    parser.add_argument("--list", type=Path, metavar="FILE", help="write every disagreement and crash there")
    arguments = parser.parse_args()
    try:
        folders = [folder for folder in (arguments.data, official_data(arguments.official)) if folder]
        result = compare(arguments.official, folders, arguments.every, frozenset(arguments.only))
    except DataError as error:
        sys.exit(str(error))
    if arguments.list:
        arguments.list.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    kinds = len(MUTATIONS) + len(dialogues.MUTATIONS)
    print(f"{kinds} kinds of answers; {len(result['official_crashes'])} at which the official checker raises")
    result["disagreements"] = result["disagreements"][:10]
    result["official_crashes"] = len(result["official_crashes"])
    print(json.dumps(result))
    if result["agree"] < result["rows"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
