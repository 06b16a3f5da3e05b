"""`summary.json` of ToolACE-DEV: its stages and rounds with their scores, and the same as a table for people."""

from __future__ import annotations

import io
from typing import Any

from toolace.corpus import SUBTASKS
from toolace.rounds.context import Run
from toolace.rounds.evolve_corpora import ADAPTION, DECOMPOSED, round_name
from toolace.rounds.summary import evaluations_of

TASK_SCORES = ("definition_valid", "definition_match", "tools_valid", "relevance")
IRRELEVANCE = "irrelevance"
"""The kind of samples in which no tool fits."""


def build_summary(run: Run, rounds: int, stopped: str) -> dict[str, Any]:
    """The summary of a run from the counts of its stages.

    `base`, and `scores` of each of `stages`, hold the scores on the test split, and those on each split under `dev`
    and `test`; `rounds` has one entry a trained round, `untrained` the one whose queries were asked and not trained on.
    """
    summary: dict[str, Any] = {"name": run.config.name, "seed": run.config.seed, "stopped": stopped}
    summary["base"] = _headline(run, "base")
    summary["stages"] = [
        {"name": name, "scores": _headline(run, name), "train": _train(run, name)}
        for name in (ADAPTION, DECOMPOSED)
        if f"{name}/train" in run.counts
    ]
    summary["rounds"] = [_round(run, number) for number in range(1, rounds + 1)]
    if f"{round_name(rounds + 1)}/evolve" in run.counts:
        summary["untrained"] = _evolved(run, rounds + 1)
    return summary


def last_model(summary: dict[str, Any]) -> str | None:
    """The directory of the model that a run ends with."""
    return round_name(len(summary["rounds"])) if summary["rounds"] else DECOMPOSED


def summary_table(summary: dict[str, Any]) -> str:
    """The stages side by side as text, on the test split where there is one."""
    from rich.console import Console
    from rich.table import Table

    columns = ["model", "accepted", "draws", "rows", "target tokens", "direct", "refined", "irrelev."]
    columns += ["definitions", "tools", "relevance", "diversity"]
    table = Table(title=f"{summary['name']}: test split", title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    table.add_row("base", *[""] * 4, *_cells(summary["base"]), "")
    for stage in summary["stages"]:
        table.add_row(stage["name"], "", "", *_trained(stage["train"]), *_cells(stage["scores"]), "")
    for entry in summary["rounds"]:
        accepted = f"{entry['accepted']:,} of {entry['queries']:,}"
        draws = _percent(entry["draws"] / entry["draws_full"] if entry["draws_full"] else None)
        scores = entry.get("test") or entry.get("dev") or {}
        told = (*_trained(entry["train"]), *_cells(scores), _percent(entry["call_diversity"]))
        table.add_row(round_name(entry["round"]), accepted, draws, *told)
    out = io.StringIO()
    Console(file=out, width=140).print(table)
    return out.getvalue().rstrip()


def _headline(run: Run, model: str) -> dict[str, Any]:
    found = _scores(run, model)
    return {**found.get("test", next(iter(found.values()), {})), **found}


def _scores(run: Run, model: str) -> dict[str, dict[str, Any]]:
    """Scores by split: those of every run, accuracy where no tool fits, and of the sub-tasks on the test split."""
    tasks = run.counts.get(f"{model}/tasks-test", {}).get("scores", {})
    found = {}
    for split, counts in evaluations_of(run, model).items():
        asked = tasks if split == "test" else {}
        scores = counts["scores"]
        found[split] = {
            **scores,
            IRRELEVANCE: scores["by_kind"].get(IRRELEVANCE, {}).get("direct"),
            **{name: asked.get(name) for name in TASK_SCORES},
            **({"tasks": asked} if asked else {}),
        }
    return found


def _train(run: Run, model: str) -> dict[str, Any]:
    corpus, trained = run.counts[f"{model}/corpus"], run.counts[f"{model}/train"]
    return {
        **{f"rows_{kind}": corpus[kind] for kind in SUBTASKS},
        **({"replay": corpus["replay"]} if "replay" in corpus else {}),
        "target_tokens": trained["target_tokens"],
        "seconds": trained["seconds"],
        **({"loss_by_kind": trained["last_loss_by_kind"]} if "last_loss_by_kind" in trained else {}),
    }


def _evolved(run: Run, number: int) -> dict[str, Any]:
    counts = run.counts[f"{round_name(number)}/evolve"]
    names = ("queries", "accepted", "rejected", "draws", "draws_full", "call_diversity", "tool_diversity")
    entry = {"round": number, **{name: counts[name] for name in names}}
    entry["errors"] = sum(counts["errors"].values())
    return entry | {name: counts[name] for name in ("judged", "accepted_right", "relevance")}


def _round(run: Run, number: int) -> dict[str, Any]:
    name = round_name(number)
    return {**_evolved(run, number), "train": _train(run, name), **_scores(run, name)}


def _trained(train: dict[str, Any]) -> tuple[str, str]:
    return f"{sum(train[f'rows_{kind}'] for kind in SUBTASKS):,}", f"{train['target_tokens']:,}"


def _cells(scores: dict[str, Any]) -> tuple[str, ...]:
    names = ("direct", "adaptive", IRRELEVANCE, "definition_valid", "tools_valid", "relevance")
    return tuple(_percent(scores.get(name)) for name in names)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
