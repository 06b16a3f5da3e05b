"""The charts of a report, made from the facts of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from markupsafe import Markup

from toolace.corpus import RowKind
from toolace.report.charts import Bar, Point, Series, column_chart, line_chart, percent, thin
from toolace.report.examples import label_names
from toolace.report.facts import UNREADABLE, ModelFacts, RunFacts, arm_order, label_of, path_order
from toolace.report.records import read_rows
from toolace.storage import Store
from toolace.training.steplog import BY_KIND
from toolace.training.steplog import curves as step_curves

LABEL_COLORS = {"unsolved": "c4", "below": "c4", "inside": "c1", "solved": "c1", "above": "c2", "error": "c3"}
MODEL_COLORS = {"base": "c4", "bootstrap": "c3", "plain_sft": "c2", "adaption": "c4", "decomposed": "c2"}
MARGIN_COLORS = ("c2", "c5", "c3")
ROUND_COLORS = ("c1", "c0", "c5", "c3")


def by_round(facts: RunFacts) -> list[Markup]:
    """Accuracy by round, direct and refined, with base and plain SFT as lines; and repairs beside regressions."""
    split = facts.split
    models = [m for m in facts.models if split in m.evaluations]
    path = [m for m in models if m.number is not None or m.name in ("bootstrap", "adaption", "decomposed")]
    path.sort(key=lambda m: path_order(m.name))
    references = [
        (f"{m.label}, {name}", m.evaluations[split][arm], color)
        for m, arm, name, color in (
            (facts.model("base"), "direct", "direct", "c4"),
            (facts.model("plain_sft"), "direct", "direct", "c2"),
            (facts.model("plain_sft"), "adaptive", "refined", "c5"),
        )
        if m is not None and split in m.evaluations
    ]
    if not path:
        path = [m for m in models if m.name == "base"]
    series = [
        Series(
            name,
            [(i, m.evaluations[split][arm]) for i, m in enumerate(path)],
            color,
            shape,
            titles=[f"{m.label}, {name}: {percent(m.evaluations[split][arm])}" for m in path],
        )
        for arm, name, color, shape in (("direct", "direct", "c0", "dot"), ("adaptive", "refined", "c1", "diamond"))
    ]
    accuracy = line_chart(
        "Accuracy by stage" if facts.evolves else "Accuracy by round",
        series,
        x_label="",
        y_label=f"{split} split",
        x_names=[m.label for m in path],
        references=references,
        percents=True,
    )
    columns = [
        (
            m.label,
            [
                Bar("repairs", m.evaluations[split]["repairs"], "c1"),
                Bar("regressions", -m.evaluations[split]["regressions"], "c3"),
            ],
        )
        for m in models
    ]
    changed = column_chart("Repairs and regressions", columns, y_label=f"rows of the {split} split")
    return [chart for chart in (accuracy, changed) if chart]


def by_tokens(facts: RunFacts) -> list[Markup]:
    """Accuracy against generated tokens, a chart a model."""
    split = facts.split
    return [
        chart
        for model in facts.models
        if split in model.evaluations
        and (chart := tokens_chart(model.label, model.evaluations[split]["arms"], split)) is not None
    ]


def tokens_chart(label: str, arms: Mapping[str, Mapping[str, Any]], split: str) -> Markup | None:
    """Accuracy against generated tokens of the ways of answering (dumps of `ArmScores` by name)."""

    def at(name: str) -> Point:
        return arms[name]["mean_tokens"], arms[name]["accuracy"]

    def title(name: str) -> str:
        return f"{name.replace('_', ' ')}: {percent(arms[name]['accuracy'])}, {arms[name]['mean_tokens']:.1f} tokens"

    fixed = [name for name in arm_order(arms) if name.startswith("fixed_")]
    margins = [name for name in arm_order(arms) if name.startswith("margin_")]
    series = []
    if fixed:
        path = ["direct", *fixed]
        name = f"fixed {', '.join(name[6:] for name in fixed)} rounds"
        series.append(Series(name, [*map(at, path)], "c4", "square", titles=[*map(title, path)]))
    series.append(Series("direct", [at("direct")], "c0", "dot", line=False, titles=[title("direct")]))
    series.append(Series("refined", [at("adaptive")], "c1", "diamond", line=False, titles=[title("adaptive")]))
    for number, name in enumerate(margins):
        color = MARGIN_COLORS[number % len(MARGIN_COLORS)]
        series.append(Series(name.replace("_", " "), [at(name)], color, "triangle", line=False, titles=[title(name)]))
    return line_chart(
        f"Accuracy against tokens: {label}",
        series,
        x_label="generated tokens a query",
        y_label=f"{split} split",
        percents=True,
    )


def labels(facts: RunFacts) -> list[Markup]:
    """Classes by round, and pass rates where all draws were made."""
    columns = []
    for number in facts.rounds:
        counts = facts.stages.get(f"round-{number}/select", {}).get("labels", {})
        if counts:
            bars = [Bar(name, counts[name], LABEL_COLORS.get(name, "c5")) for name in label_names(counts)]
            columns.append((f"round {number}", bars))
    charts = [column_chart("Classes by round", columns, y_label="probed samples")]
    for number in facts.rounds:
        if f"round-{number}/probe" in facts.stages:
            try:
                charts.append(_pass_rates(facts, number))
            except UNREADABLE as error:
                facts.notes.append(f"pass rates of round {number} are missing: {error}")
    return [chart for chart in charts if chart]


def _pass_rates(facts: RunFacts, number: int) -> Markup:
    k, whole, stopped = pass_counts(facts.store.sub(f"round-{number}/probe"))
    return pass_chart(f"Right draws of {k}: round {number}", k, whole, stopped)


def pass_counts(probe: Store) -> tuple[int, Counter[int], Counter[str]]:
    """Draws planned a sample; samples by right draws, where all were made; the other samples by class."""
    whole: Counter[int] = Counter()
    stopped: Counter[str] = Counter()
    k = 1
    for _, _, record in read_rows(probe):
        if record is not None:
            k = max(k, record["k"])
            if record["n"] == record["k"]:
                whole[record["c"]] += 1
            else:
                stopped[record["label"]] += 1
    return k, whole, stopped


def pass_chart(title: str, k: int, whole: Mapping[int, float], stopped: Mapping[str, float]) -> Markup:
    """A histogram of right draws, with the samples whose probe stopped early beside it, by class."""
    columns = [(str(c), [Bar("all draws made", whole.get(c, 0), "c0")]) for c in range(k + 1)]
    columns += [
        (f"stop, {name}", [Bar("stopped early, by class", stopped[name], "c4")]) for name in label_names(stopped)
    ]
    return column_chart(title, columns, y_label="samples", x_label=f"right draws among {k}")


def curves(facts: RunFacts) -> list[Markup]:
    """Loss, loss by what a row teaches where there are several such kinds, and learning rate of every training."""
    trained = [model for model in facts.models if model.steps]
    kinds = sorted({kind for model in trained for step in model.steps for kind in step.get(BY_KIND, ())}, key=_place)
    names = {"loss": "Training loss"}
    if len(kinds) > 1:
        names |= {f"{BY_KIND}/{kind}": f"Training loss: {kind} rows" for kind in kinds}
    names["lr"] = "Learning rate"
    charts = (_curve(name, title, trained) for name, title in names.items())
    return [chart for chart in charts if chart]


def _curve(name: str, title: str, models: Sequence[ModelFacts]) -> Markup:
    """One of the curves of the step logs, a line a training that has it."""
    series = []
    for model in models:
        logged = ((step["step"] + 1, step_curves(step)) for step in model.steps)
        points = [(step, values[name]) for step, values in logged if name in values]
        if points:
            color = MODEL_COLORS.get(model.name) or ROUND_COLORS[((model.number or 1) - 1) % len(ROUND_COLORS)]
            shape = None if len(points) > 1 else "dot"
            dashed = (model.number or 0) > len(ROUND_COLORS)
            series.append(Series(label_of(model.name), thin(points), color, shape, dashed=dashed))
    unit = "" if name == "lr" else "nats a target token"
    return line_chart(title, series, x_label="optimizer step", y_label=unit)


def _place(kind: str) -> int:
    """Where a kind of row stands among others."""
    return get_args(RowKind).index(kind) if kind in get_args(RowKind) else len(get_args(RowKind))
