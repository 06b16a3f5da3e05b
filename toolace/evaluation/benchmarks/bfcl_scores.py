"""The leaderboard's scores, the formulas of its versions each under its own name and never mixed.

- `v4_*`: bfcl-eval 2026.3.23. `non_live`: the mean of simple (the mean of Python, Java and JavaScript), multiple,
  parallel and parallel multiple; `live`: all rows of the four live AST categories; `irrelevance`: the mean of both;
  `multi_turn`: the mean of four; `overall`: 10 % non-live, 10 % live, 10 % irrelevance, 30 % multi-turn, 40 % agentic.
- `v3_2025_08_*`: the last v3 rule, of August 2025. `non_live`: the mean of the four above and irrelevance; `live`: all
  rows of the six live categories; `overall`: the mean of non-live, live and multi-turn.
- `local_single_turn`: the mean of non-live and live by the v3 rule, for where multi-turn is not run. It is nobody's
  published number.

A score is None unless every row of every category in it was judged: the leaderboard counts a category that was not run
as 0, which looks like a result. `not_run` says what is missing. Irrelevance is right for any text without a readable
call, so a model that writes nonsense gets 1: read it beside relevance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean

from toolace.evaluation.benchmarks.base import RowVerdict
from toolace.evaluation.benchmarks.bfcl_rows import CATEGORIES, LIVE, MULTI_TURN
from toolace.evaluation.benchmarks.scoring import NOT_SCORED

AGENTIC = ("web_search", "memory")
"""Parts of v4's overall score that are never run here: they need the web and an embedding model."""

_SIMPLE = ("simple_python", "simple_java", "simple_javascript")
_AST = (*_SIMPLE, "multiple", "parallel", "parallel_multiple")
_LIVE_V3 = (*LIVE, "live_irrelevance", "live_relevance")

_Right = Mapping[str, int]
_Formula = Callable[[_Right, Mapping[str, int]], float]


def _mean(*categories: str) -> _Formula:
    return lambda right, sizes: fmean(right[name] / sizes[name] for name in categories)


def _pooled(*categories: str) -> _Formula:
    return lambda right, sizes: sum(right[name] for name in categories) / sum(sizes[name] for name in categories)


_simple, _multi_turn = _mean(*_SIMPLE), _mean(*MULTI_TURN)


def _ast(right: _Right, sizes: Mapping[str, int]) -> list[float]:
    return [
        _simple(right, sizes),
        *(right[name] / sizes[name] for name in ("multiple", "parallel", "parallel_multiple")),
    ]


def _v3_non_live(right: _Right, sizes: Mapping[str, int]) -> float:
    return fmean([*_ast(right, sizes), right["irrelevance"] / sizes["irrelevance"]])


_v3_live = _pooled(*_LIVE_V3)

FORMULAS: dict[str, tuple[tuple[str, ...], _Formula]] = {
    "v4_non_live": (_AST, lambda right, sizes: fmean(_ast(right, sizes))),
    "v4_live": (LIVE, _pooled(*LIVE)),
    "v4_irrelevance": (("irrelevance", "live_irrelevance"), _mean("irrelevance", "live_irrelevance")),
    "v4_relevance": (("live_relevance",), _mean("live_relevance")),
    "v4_multi_turn": (MULTI_TURN, _multi_turn),
    "v4_overall": (
        (*_AST, *_LIVE_V3[:5], "irrelevance", *MULTI_TURN, *AGENTIC),
        lambda right, sizes: (
            0.1 * fmean(_ast(right, sizes))
            + 0.1 * _pooled(*LIVE)(right, sizes)
            + 0.1 * _mean("irrelevance", "live_irrelevance")(right, sizes)
            + 0.3 * _multi_turn(right, sizes)
            + 0.4 * _mean(*AGENTIC)(right, sizes)
        ),
    ),
    "v3_2025_08_non_live": ((*_AST, "irrelevance"), _v3_non_live),
    "v3_2025_08_live": (_LIVE_V3, _v3_live),
    "v3_2025_08_multi_turn": (MULTI_TURN, _multi_turn),
    "v3_2025_08_overall": (
        (*_AST, "irrelevance", *_LIVE_V3, *MULTI_TURN),
        lambda right, sizes: fmean([_v3_non_live(right, sizes), _v3_live(right, sizes), _multi_turn(right, sizes)]),
    ),
    "local_single_turn": (
        (*_AST, "irrelevance", *_LIVE_V3),
        lambda right, sizes: fmean([_v3_non_live(right, sizes), _v3_live(right, sizes)]),
    ),
}
"""Score -> (the categories it needs, how it is made of right answers and sizes)."""


def scores(verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, float | None]:
    """Every category's accuracy and every formula's value, 0..1, None where a row is missing or not judged.

    `sizes`: category -> number of rows, those with problems included; they count as wrong.
    """
    complete, right = _count(verdicts, sizes)
    out: dict[str, float | None] = {}
    for category in CATEGORIES:
        out[category] = right[category] / sizes[category] if category in complete else None
    for name, (needed, formula) in FORMULAS.items():
        out[name] = formula(right, sizes) if complete.issuperset(needed) else None
    return out


def not_run(verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Score that is None -> its categories that are absent, partly judged or not scored."""
    complete, _ = _count(verdicts, sizes)
    missing = {
        name: [category for category in needed if category not in complete] for name, (needed, _) in FORMULAS.items()
    }
    return {name: categories for name, categories in missing.items() if categories}


def _count(verdicts: Iterable[RowVerdict], sizes: Mapping[str, int]) -> tuple[set[str], Counter[str]]:
    """(the categories of which every row was judged, right answers by category)."""
    judged: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for verdict in verdicts:
        if verdict.error != NOT_SCORED:
            judged[verdict.category] += 1
            right[verdict.category] += verdict.correct
    return {category for category, size in sizes.items() if size and judged[category] == size}, right
