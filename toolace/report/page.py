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

from toolace.report import evolution, plots, tables, words
from toolace.report.examples import choose
from toolace.report.facts import RunFacts, gather
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
        "status": words.status(facts),
        "about": words.about(facts),
        "points": words.points(facts),
        "headline": evolution.stages_headline(facts) if facts.evolves else tables.headline(facts),
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
        "evolved": evolution.rounds_table(facts),
        "evolution_charts": evolution.evolution_charts(facts),
        "reasons": evolution.reasons_table(facts),
        "tasks": evolution.tasks_table(facts),
        "task_reasons": evolution.task_reasons_table(facts),
        "tasks_chart": evolution.tasks_chart(facts),
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


@lru_cache
def asset(name: str) -> str:
    """The text of a file that goes into pages."""
    return (files("toolace.report") / ASSETS / name).read_text(encoding="utf-8")
