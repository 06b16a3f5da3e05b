"""The report of a run: facts, charts, tables and examples put into one HTML file that asks no host for anything."""

from __future__ import annotations

import base64
import hashlib
import time
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from toolace.report import plots, tables
from toolace.report.charts import percent
from toolace.report.examples import choose
from toolace.report.facts import RunFacts, gather, label_of
from toolace.storage import Store

REPORT = "report.html"
ASSETS = "assets"


def write_report(run: Store) -> str:
    """Write `report.html` of a run, finished or not; returns its place.

    Raises `StorageError` where there is no run, or where the report cannot be written. What else is missing or damaged
    is named in the report.
    """
    page = render(gather(run))
    run.write(REPORT, page.encode("utf-8", "backslashreplace"))
    return run.at(REPORT)


def render(facts: RunFacts) -> str:
    """The report as HTML text."""
    script, style = asset("report.js"), asset("report.css")
    examples = choose(facts)
    context: dict[str, Any] = {
        "facts": facts,
        "status": _status(facts),
        "about": _about(facts),
        "points": _points(facts),
        "headline": tables.headline(facts),
        "by_round": plots.by_round(facts),
        "by_tokens": plots.by_tokens(facts),
        "ways": tables.ways(facts),
        "kinds": tables.kinds(facts),
        "mistakes": tables.mistakes(facts),
        "stops": tables.stops(facts),
        "probes": tables.probes(facts),
        "labels": plots.labels(facts),
        "transitions": tables.transitions(facts),
        "drafts": tables.drafts(facts),
        "curves": plots.curves(facts),
        "training": tables.training(facts),
        "data": tables.data(facts),
        "cost": tables.cost(facts),
        "starts": tables.starts(facts),
        "versions": tables.versions(facts),
        "stages": tables.stage_states(facts),
        "examples": examples,
        "examples_json": Markup(examples.json()),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup(style),
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    return fill("report.html", context)


def fill(name: str, context: dict[str, Any]) -> str:
    """A page template of this package with its context."""
    environment = Environment(
        loader=DictLoader({page: asset(f"{page}.jinja") for page in (name, "macros.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(context)


def _status(facts: RunFacts) -> str:
    if facts.summary is not None:
        reasons = {
            "selection_stalled": "the selection no longer grew",
            "plateau": "the accuracy on the dev split no longer grew",
            "max_rounds": "all rounds that were asked for are done",
        }
        stopped = str(facts.summary.get("stopped", ""))
        rounds = len(facts.summary.get("rounds", []))
        return f"Finished after {rounds} {_plural('round', rounds)}: {reasons.get(stopped, stopped)}."
    work = ", ".join(facts.begun)
    done = len(facts.stages)
    return f"Not finished: {done} {_plural('stage', done)} done" + (f", at work or stopped: {work}." if work else ".")


def _about(facts: RunFacts) -> list[tuple[str, str]]:
    config = facts.config
    model, probe, train = (config.get(key, {}) for key in ("model", "probe", "train"))
    source = config.get("data", {}).get("train", {})
    rule = config.get("select", {})
    band = f" ({rule.get('low', 0):g}, {rule.get('high', 1):g})" if rule.get("rule") == "band" else ""
    counts = facts.stages.get("data", {})
    split = ", ".join(
        f"{counts[name]:,} {name}" for name in ("train", "dev", "test") if isinstance(counts.get(name), int)
    )
    last = facts.attempts[-1] if facts.attempts else {}
    found = [
        ("base model", model.get("path", "")),
        ("call format", model.get("format", "")),
        ("data", f"{source.get('path') or source.get('type', '')}{': ' + split if split else ''}"),
        (
            "probing",
            f"{probe.get('k', '?')} draws a sample, {probe.get('mode', '')} mode, rule {rule.get('rule', '?')}{band}",
        ),
        ("training", f"{train.get('method', '?')}, from {config.get('rounds', {}).get('start', '?')}"),
        ("engine", config.get("engine", {}).get("kind", "")),
        ("seed", str(config.get("seed", ""))),
        ("toolace", f"{last.get('toolace', '')} at {(last.get('revision') or 'unknown revision')[:12]}"),
        (
            "started",
            f"{facts.attempts[0].get('time', '')}, {len(facts.attempts)} {_plural('start', len(facts.attempts))}"
            if facts.attempts
            else "",
        ),
    ]
    return [(name, text) for name, text in found if text]


def _points(facts: RunFacts) -> list[str]:
    """The outcome in sentences."""
    split, last = facts.split, facts.last
    if last is None or split not in last.evaluations:
        return []
    scores = last.evaluations[split]
    found = [
        f"{label_of(last.name).capitalize()} answers {percent(scores['direct'])} of {scores['n']:,} {split} rows "
        f"directly and {percent(scores['adaptive'])} with refinement, at {scores['mean_calls']:.2f} calls a query: "
        f"{scores['repairs']:,} repaired, {scores['regressions']:,} regressed."
    ]
    for name, text in (("base", "The base"), ("plain_sft", "Plain SFT on all rows with about as many target tokens")):
        other = facts.model(name)
        if other is not None and other is not last and split in other.evaluations:
            them = other.evaluations[split]
            found.append(
                f"{text} answers {percent(them['direct'])} directly and {percent(them['adaptive'])} with refinement: "
                f"{label_of(last.name)} is {_gap(scores['direct'] - them['direct'])} directly and "
                f"{_gap(scores['adaptive'] - them['adaptive'])} refined."
            )
    return found


def _gap(difference: float) -> str:
    points = round(100 * difference, 1)
    return "level with it" if points == 0 else f"{abs(points):.1f} points {'above' if points > 0 else 'below'} it"


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else noun + "s"


@lru_cache
def asset(name: str) -> str:
    """The text of a file that goes into pages."""
    return (files("toolace.report") / ASSETS / name).read_text(encoding="utf-8")
