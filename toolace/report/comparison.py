"""The page of a comparison, made from its outcome (`comparison.json`) alone: one HTML file that asks no host."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from toolace.report.charts import Bar, Series, column_chart, line_chart, percent
from toolace.report.evolution import IRRELEVANCE, TASK_SCORES
from toolace.report.examples import label_names
from toolace.report.facts import arm_order, label_of, on_path, path_order
from toolace.report.page import asset, fill
from toolace.report.plots import LABEL_COLORS, pass_chart, tokens_chart
from toolace.report.tables import Table
from toolace.storage import Store

PAGE = "comparison.html"
COLORS = ("c0", "c1", "c2", "c3", "c5", "c4")
SHAPES = ("dot", "diamond", "square", "triangle")
Arm = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """The arms of one pool and one base model."""

    id: str
    title: str
    charts: Sequence[Markup]
    by_tokens: Sequence[Markup]
    ways: Table
    classes: Sequence[Markup]
    transitions: Sequence[Table]
    wrong: Table | None
    evolution: Sequence[Table]
    runs: Table


def write_comparison(home: Store, outcome: Mapping[str, Any]) -> str:
    """Write `comparison.html` of an outcome; returns its place. Raises `StorageError` where it cannot be written."""
    home.write(PAGE, render_comparison(home.uri, outcome).encode("utf-8", "backslashreplace"))
    return home.at(PAGE)


def render_comparison(place: str, outcome: Mapping[str, Any]) -> str:
    """The page as HTML text."""
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in outcome["arms"].values():
        groups.setdefault((arm["pool"], arm["model"]), []).append(arm)
    stages = outcome["stages"]
    runs = sum(len(arm["seeds"]) for arm in outcome["arms"].values())
    return fill(
        "comparison.html",
        {
            "name": outcome["name"],
            "status": f"{runs} runs finished, {len(outcome['failed'])} failed; {stages['made']:,} stages made, "
            f"{stages['shared']:,} shared.",
            "failed": list(outcome["failed"].items()),
            "headline": [_headline(pool, model, arms, outcome["reference"]) for (pool, model), arms in groups.items()],
            "groups": [_group(pool, model, arms) for (pool, model), arms in groups.items()],
            "style": Markup(asset("report.css")),
            "place": place,
            "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        },
    )


def _headline(pool: str, model: str, arms: Sequence[Arm], reference: str) -> Table:
    rows = [
        [
            arm["arm"],
            ", ".join(map(str, arm["seeds"])),
            _spread(arm, "direct"),
            _points(arm["difference"]),
            _interval(arm["interval"]),
            _spread(arm, "adaptive"),
            _points(arm["difference_adaptive"]),
            _interval(arm["interval_adaptive"]),
            f"{arm['repairs']:.1f}",
            f"{arm['regressions']:.1f}",
            f"{arm['mean_calls']:.2f}",
            f"{arm['target_tokens']:,.0f}",
        ]
        for arm in arms
    ]
    note = (
        f"Means over the seeds ± standard deviation, {arms[0]['split']} split of {arms[0]['n']:,} rows a seed. Points "
        f"to {reference}: the difference in accuracy; 95 % interval of the paired bootstrap over the rows of all "
        "seeds; it says nothing of what other seeds would give. Repairs, regressions and calls are those of adaptive "
        "refinement; target tokens are those of the last training."
    )
    head = ["arm", "seeds", "direct", f"points to {reference}", "95 % interval", "refined", f"points to {reference}"]
    head += ["95 % interval", "repairs", "regressions", "calls", "target tokens"]
    return Table(f"Pool {pool}, base model {model}", head, rows, text=2, note=note)


def _group(pool: str, model: str, arms: Sequence[Arm]) -> Group:
    classes: list[Markup] = []
    transitions: list[Table] = []
    for arm in arms:
        classes += _classes(arm)
        transitions += _transitions(arm)
    return Group(
        id=re.sub(r"[^A-Za-z0-9_-]", "-", f"g-{pool}-{model}"),
        title=f"{pool}, {model}",
        charts=[chart for chart in (_by_round(arms), _changes(arms)) if chart],
        by_tokens=[chart for arm in arms if (chart := tokens_chart(arm["arm"], arm["ways"], arm["split"]))],
        ways=_ways(arms),
        classes=classes,
        transitions=transitions,
        wrong=_wrong(arms),
        evolution=[table for table in (_sub_tasks(arms), _evolution(arms)) if table],
        runs=_runs(arms),
    )


def _by_round(arms: Sequence[Arm]) -> Markup:
    """Direct accuracy of every arm from the base to its scored model; arms without rounds or stages as lines."""
    paths = [arm for arm in arms if any(on_path(step["model"]) for step in arm["by_round"])]
    names = sorted({step["model"] for arm in paths for step in arm["by_round"]}, key=path_order)
    place = {arm["arm"]: number for number, arm in enumerate(arms)}
    series = [
        Series(
            arm["arm"],
            [(names.index(step["model"]), step["direct"]) for step in arm["by_round"]],
            COLORS[place[arm["arm"]] % len(COLORS)],
            SHAPES[place[arm["arm"]] % len(SHAPES)],
            dashed=place[arm["arm"]] >= len(COLORS),
            titles=[f"{arm['arm']}, {label_of(step['model'])}: {percent(step['direct'])}" for step in arm["by_round"]],
        )
        for arm in paths
    ]
    return line_chart(
        "Accuracy by round, direct",
        series,
        x_label="",
        y_label=f"{arms[0]['split']} split, mean over seeds",
        x_names=[label_of(name) for name in names],
        references=[
            (arm["arm"], arm["direct"], COLORS[place[arm["arm"]] % len(COLORS)]) for arm in arms if arm not in paths
        ],
        percents=True,
    )


def _changes(arms: Sequence[Arm]) -> Markup:
    columns = [
        (arm["arm"], [Bar("repairs", arm["repairs"], "c1"), Bar("regressions", -arm["regressions"], "c3")])
        for arm in arms
    ]
    return column_chart(
        "Repairs and regressions", columns, y_label=f"rows of the {arms[0]['split']} split, mean over seeds"
    )


def _classes(arm: Arm) -> list[Markup]:
    columns = [
        (
            f"round {probe['round']}",
            [Bar(name, probe["labels"][name], LABEL_COLORS.get(name, "c5")) for name in label_names(probe["labels"])],
        )
        for probe in arm["probes"]
    ]
    charts = [column_chart(f"Classes by round: {arm['arm']}", columns, y_label="probed samples, all seeds")]
    for probe in arm["probes"]:
        whole = {int(c): number for c, number in probe["right_draws"].items()}
        title = f"Right draws of {probe['k']}: {arm['arm']}, round {probe['round']}"
        charts.append(pass_chart(title, probe["k"], whole, probe["stopped_early"]))
    return [chart for chart in charts if chart]


def _transitions(arm: Arm) -> list[Table]:
    found = []
    for probe in arm["probes"]:
        moves = probe["transitions"]
        if moves:
            number = probe["round"]
            columns = label_names({new for row in moves.values() for new in row})
            rows = [[old, *(f"{moves[old].get(new, 0):,}" for new in columns)] for old in label_names(moves)]
            head = [f"round {number - 1} ↓   round {number} →", *columns]
            found.append(Table(f"Class transitions: {arm['arm']}, round {number - 1} → round {number}", head, rows))
    return found


def _ways(arms: Sequence[Arm]) -> Table:
    rows = [
        [
            arm["arm"],
            way.replace("_", " "),
            percent(arm["ways"][way]["accuracy"]),
            f"{arm['ways'][way]['repairs']:.1f}",
            f"{arm['ways'][way]['regressions']:.1f}",
            f"{arm['ways'][way]['mean_calls']:.2f}",
            f"{arm['ways'][way]['mean_tokens']:.1f}",
        ]
        for arm in arms
        for way in arm_order(arm["ways"])
    ]
    head = ["arm", "way", "accuracy", "repairs", "regressions", "calls", "tokens"]
    return Table("Every way of answering, means over seeds", head, rows, text=2)


def _wrong(arms: Sequence[Arm]) -> Table | None:
    """How many of the wrong references of the pool were selected, and are in the corpora."""
    rows = [
        [arm["arm"], str(probe["round"]), *(percent(wrong[name]) for name in ("pool", "selected", "corpus"))]
        for arm in arms
        for probe in arm["probes"]
        if (wrong := probe.get("wrong_references"))
    ]
    if not rows:
        return None
    return Table(
        "Share of wrong references",
        ["arm", "round", "in the pool", "among the selected", "among the corpus rows"],
        rows,
        note="Corpus rows count by their sample: fix pairs of samples that were not selected are among them.",
    )


def _sub_tasks(arms: Sequence[Arm]) -> Table | None:
    """What the arms that evolve score beside accuracy."""
    names = {**TASK_SCORES, IRRELEVANCE: IRRELEVANCE}
    rows = [
        [arm["arm"], *(_share(arm["sub_tasks"].get(name)) for name in names)]
        for arm in arms
        if any(value is not None for value in arm.get("sub_tasks", {}).values())
    ]
    if not rows:
        return None
    note = "Means over the seeds; irrelevance: direct accuracy on the rows in which no tool fits."
    return Table("Sub-tasks and irrelevance", ["arm", *names.values()], rows, note=note)


def _evolution(arms: Sequence[Arm]) -> Table | None:
    """What each round of evolution accepted, and how it compares with what was hidden."""
    rows = [
        [
            arm["arm"],
            str(entry["round"]),
            f"{entry['queries']:,}",
            f"{entry['accepted']:,}",
            _share(entry["accepted"] / entry["queries"] if entry["queries"] else None),
            _share(entry["draws"] / entry["draws_full"] if entry["draws_full"] else None),
            *(_share(entry[name]) for name in ("accepted_right", "call_diversity")),
            ", ".join(f"{reason} {number:,}" for reason, number in entry["rejected"].items()),
        ]
        for arm in arms
        for entry in arm.get("evolution", ())
    ]
    if not rows:
        return None
    head = ["arm", "round", "queries", "accepted", "share", "draws of a full vote", "accepted right", "call diversity"]
    return Table(
        "Rounds of evolution",
        [*head, "dropped, by reason"],
        rows,
        note="Queries and draws of all seeds; shares are means over them.",
    )


def _runs(arms: Sequence[Arm]) -> Table:
    rows = [
        [
            arm["arm"],
            str(run["seed"]),
            label_of(run["model"]),
            run["stopped"].replace("_", " "),
            percent(run["direct"]),
            percent(run["adaptive"]),
            str(run["repairs"]),
            str(run["regressions"]),
            f"{run['mean_calls']:.2f}",
        ]
        for arm in arms
        for run in arm["by_seed"]
    ]
    head = ["arm", "seed", "scored", "rounds ended by", "direct", "refined", "repairs", "regressions", "calls"]
    return Table("Every run", head, rows, text=4)


def _spread(arm: Arm, name: str) -> str:
    deviation = arm["spread"][name]
    return percent(arm[name]) if deviation is None else f"{100 * arm[name]:.1f} ± {100 * deviation:.1f} %"


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _interval(value: Sequence[float] | None) -> str:
    return "" if value is None else f"{100 * value[0]:+.1f} to {100 * value[1]:+.1f}"
