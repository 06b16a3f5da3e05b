"""Tables and charts of a run that evolves (ToolACE-DEV): its stages side by side, and what became of the queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from toolace.corpus import SUBTASKS
from toolace.report.charts import Bar, Series, column_chart, line_chart, percent
from toolace.report.facts import RunFacts
from toolace.report.tables import Table

IRRELEVANCE = "irrelevance"
"""The kind of samples in which no tool fits."""
ROWS: dict[str, str] = {**{kind: f"{kind} rows" for kind in SUBTASKS}, "replay": "of these replayed"}
TOOL_REASONS = (
    "no_query", "tools_truncated", "tools_unparseable", "no_tools", "too_many_tools", "duplicate_name", "bad_name",
    "no_description", "bad_schema",
)  # fmt: skip
VOTE_REASONS = ("no_majority", "tie")
FATES = {"accepted": "c1", "tools dropped": "c4", "no majority": "c3", "answer dropped": "c2", "failed": "c5"}
"""What becomes of a query, and its colour."""
MEANING = {
    "no_query": "the dialogue has no user turn",
    "tools_truncated": "the candidate tools were cut at the token limit",
    "tools_unparseable": "the candidate tools are no JSON definitions",
    "no_tools": "the list of candidate tools is empty",
    "too_many_tools": "more candidate tools than allowed",
    "duplicate_name": "two candidate tools have one name",
    "bad_name": "a tool's name cannot be called",
    "no_description": "a tool has no description",
    "bad_schema": "a tool's parameters are no usable schema",
    "no_majority": "no answer has enough votes",
    "tie": "two answers have the most votes",
    "bad_format": "the answer cannot be parsed",
    "no_call": "the answer calls nothing",
    "unknown_tool": "the answer calls a tool that is not among the candidates",
    "missing_required": "a required parameter is missing",
    "unknown_param": "a parameter that the tool does not have",
    "wrong_type": "a value of the wrong type",
}
TASK_SCORES = {
    "definition_valid": "definitions valid",
    "definition_match": "definitions right",
    "tools_valid": "tools valid",
    "relevance": "relevance",
}
TASK_SHAPES = {
    "definition_valid": ("c0", "dot"),
    "definition_match": ("c5", "square"),
    "tools_valid": ("c2", "triangle"),
    "relevance": ("c1", "diamond"),
}


def stages_headline(facts: RunFacts) -> Table | None:
    """The stages side by side on the headline split, with their scores of the sub-tasks."""
    split = facts.split
    models = [m for m in facts.models if split in m.evaluations or m.train or m.corpus or m.tasks]
    if not models:
        return None
    learnt = {key: what for key, what in ROWS.items() if any(model.corpus.get(key) for model in models)}
    rows = []
    for model in models:
        scores = model.evaluations.get(split)
        cells = [model.label, *(_int(model.corpus.get(key)) for key in learnt), _int(model.train.get("target_tokens"))]
        if scores is None:
            cells += ["not evaluated yet", "", ""]
        else:
            cells += [percent(scores["direct"]), percent(scores["adaptive"]), _share(irrelevance(scores))]
        cells += [_share(model.tasks.get(name)) for name in TASK_SCORES]
        rows.append([*cells, _share(model.evolved.get("call_diversity"))])
    n = next((m.evaluations[split]["n"] for m in models if split in m.evaluations), None)
    failed = {m.label: m.evaluations[split]["errors"] for m in models if split in m.evaluations}
    note = (
        "Accuracy is the share of rows whose calls match the reference, greedy decoding; refined: adaptive "
        "self-refinement; irrelevance: rows in which no tool fits, answered without a call. Sub-tasks, on the test "
        "split: definitions valid and right are written from a tool's description, tools valid and relevance are made "
        "for a query; relevant are those over which the hidden answer can be called. Call diversity: distinct answers "
        "a query that the round accepted."
    )
    if any(failed.values()):
        note += " Failed rows count as wrong: " + ", ".join(f"{name}: {bad:,}" for name, bad in failed.items() if bad)
    head = ["model", *learnt.values(), "target tokens", "direct", "refined", IRRELEVANCE, *TASK_SCORES.values()]
    return Table(
        f"{split.capitalize()} split" + (f", {n:,} rows" if n else ""), [*head, "call diversity"], rows, note=note
    )


def rounds_table(facts: RunFacts) -> Table | None:
    """What each round did with its queries."""
    rows = []
    for model in facts.evolutions:
        found = model.evolved
        queries, accepted, full = found["queries"], found["accepted"], found["draws_full"]
        rows.append(
            [
                model.label,
                _int(queries),
                _int(accepted),
                _share(accepted / queries if queries else None),
                _int(sum(found["rejected"].values())),
                _int(failed_queries(found)),
                _int(found["draws"]),
                _int(full),
                _share(1 - found["draws"] / full if full else None),
                *(_share(found.get(name)) for name in ("accepted_right", "relevance", "call_diversity")),
                _share(found.get("tool_diversity")),
            ]
        )
    if not rows:
        return None
    head = ["", "queries", "accepted", "share", "dropped", "failed", "draws made", "draws of a full vote", "saved"]
    head += ["accepted right", "accepted relevant", "call diversity", "tool diversity"]
    note = (
        "Accepted right and relevant, against what was hidden and for this report only: the answer matches the hidden "
        "reference; its calls can be made over the model's own tools. Call diversity: distinct answers an accepted "
        "query; tool diversity: distinct tool names a call; both 100 % where no two are the same."
    )
    return Table("Rounds of evolution", head, rows, note=note)


def reasons_table(facts: RunFacts) -> Table | None:
    """Queries that gave no rows, by reason and round."""
    rounds = facts.evolutions
    found = {reason for model in rounds for reason in model.evolved["rejected"]}
    names = [name for name in MEANING if name in found] + sorted(found - MEANING.keys())
    rows = [[_meant(name), *(_int(model.evolved["rejected"].get(name, 0)) for model in rounds)] for name in names]
    if any(map(failed_queries, (model.evolved for model in rounds))):
        rows.append(["failed: no answer", *(_int(failed_queries(model.evolved)) for model in rounds)])
    if not rows:
        return None
    return Table("Queries dropped by reason", ["reason", *(model.label for model in rounds)], rows)


def tasks_table(facts: RunFacts) -> Table | None:
    """The sub-tasks on the test split."""
    models = [model for model in facts.models if model.tasks]
    shares = {
        "definition_valid": "definitions valid",
        "definition_name": "name right",
        "definition_parameters": "parameter names right",
        "definition_match": "name and schema right",
        "tools_valid": "tools valid",
        "relevance": "relevant",
    }
    known = {name: what for name, what in shares.items() if any(name in model.tasks for model in models)}
    rows = [
        [
            model.label,
            *(_int(model.tasks.get(name)) for name in ("definitions", "queries", "errors")),
            *(_share(model.tasks.get(name)) for name in known),
        ]
        for model in models
    ]
    if not rows:
        return None
    head = ["model", "definitions asked", "queries asked", "failed", *known.values()]
    return Table("Sub-tasks, test split", head, rows)


def task_reasons_table(facts: RunFacts) -> Table | None:
    """Answers to the sub-tasks that are no usable tools, by why."""
    models = [model for model in facts.models if model.tasks]
    names = sorted({name for model in models for name in model.tasks.get("reasons", {})})
    if not names:
        return None
    rows = [[name, *(_int(model.tasks.get("reasons", {}).get(name, 0)) for model in models)] for name in names]
    return Table("Sub-tasks: answers that are no usable tools", ["reason", *(model.label for model in models)], rows)


def evolution_charts(facts: RunFacts) -> list[Markup]:
    """Queries by what became of them, shares by round, and draws."""
    rounds = facts.evolutions
    names = [model.label for model in rounds]
    fates = [
        (model.label, [Bar(name, value, FATES[name]) for name, value in fate_counts(model.evolved).items()])
        for model in rounds
    ]
    lines = (
        ("accepted", "c0", "dot", lambda found: _part(found["accepted"], found["queries"])),
        ("accepted right", "c1", "diamond", lambda found: found.get("accepted_right")),
        ("accepted relevant", "c2", "triangle", lambda found: found.get("relevance")),
        ("call diversity", "c3", "square", lambda found: found.get("call_diversity")),
    )
    shares = [
        _series(name, ((i, model.label, value(model.evolved)) for i, model in enumerate(rounds)), color, shape)
        for name, color, shape, value in lines
    ]
    draws = [
        (
            model.label,
            [
                Bar("made", model.evolved["draws"], "c0"),
                Bar("saved", model.evolved["draws_full"] - model.evolved["draws"], "c4"),
            ],
        )
        for model in rounds
    ]
    charts = [
        column_chart("Queries by what became of them", fates, y_label="queries"),
        line_chart("Accepted answers by round", shares, x_label="", y_label="share", x_names=names, percents=True),
        column_chart("Draws", draws, y_label="answers drawn for the votes"),
    ]
    return [chart for chart in charts if chart]


def tasks_chart(facts: RunFacts) -> Markup:
    """Scores of the sub-tasks by model."""
    models = [model for model in facts.models if model.tasks]
    series = [
        _series(what, ((i, model.label, model.tasks.get(name)) for i, model in enumerate(models)), *TASK_SHAPES[name])
        for name, what in TASK_SCORES.items()
    ]
    names = [model.label for model in models]
    return line_chart("Sub-tasks by stage", series, x_label="", y_label="test split", x_names=names, percents=True)


def irrelevance(scores: Mapping[str, Any]) -> float | None:
    """Direct accuracy on the rows in which no tool fits; None where there are none."""
    found: float | None = scores["by_kind"].get(IRRELEVANCE, {}).get("direct")
    return found


def fate_counts(found: Mapping[str, Any]) -> dict[str, int]:
    """The queries of a round by what became of them, the names of `FATES`; they add up to all."""
    fates = dict.fromkeys(FATES, 0)
    fates["accepted"], fates["failed"] = found["accepted"], failed_queries(found)
    for reason, number in found["rejected"].items():
        of = "tools dropped" if reason in TOOL_REASONS else "no majority" if reason in VOTE_REASONS else ""
        fates[of or "answer dropped"] += number
    return fates


def failed_queries(found: Mapping[str, Any]) -> int:
    """Queries of a round whose row failed."""
    return sum(found.get("errors", {}).values())


def _series(name: str, values: Iterable[tuple[int, str, float | None]], color: str, shape: str) -> Series:
    found = [(i, label, value) for i, label, value in values if value is not None]
    titles = [f"{label}, {name}: {percent(value)}" for _, label, value in found]
    return Series(name, [(i, value) for i, _, value in found], color, shape, titles=titles)


def _meant(reason: str) -> str:
    return f"{reason}: {MEANING[reason]}" if reason in MEANING else reason


def _part(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _int(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
