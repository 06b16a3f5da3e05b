"""`summary.json`: the run's outcome for programs, and the same as a table for people."""

from __future__ import annotations

import io
from typing import Any

from toolace.errors import StorageError
from toolace.rounds.context import Run
from toolace.storage import Store

SUMMARY = "summary.json"
HEADLINE = ("n", "direct", "adaptive", "mean_calls", "repairs", "regressions", "errors", "mean_tokens")


def build_summary(run: Run, rounds: int, stopped: str) -> dict[str, Any]:
    """The summary of a run from the counts of its stages.

    `base`, `bootstrap` and `plain_sft` hold the scores on the test split, and those on each split under `dev` and
    `test`; `rounds` has one entry a trained round.
    """
    entries = []
    for number in range(1, rounds + 1):
        name = f"round-{number}"
        probe, corpus, trained = (run.counts[f"{name}/{part}"] for part in ("probe", "corpus", "train"))
        evaluations = evaluations_of(run, name)
        # Probing and evaluation share one engine start: its seconds are counted once, in the round that it ends.
        seconds = trained["seconds"] + max((e["seconds"] for e in evaluations.values()), default=0.0)
        if number == 1 and "seconds" in probe:
            seconds += probe["seconds"]
        entries.append(
            {
                "round": number,
                "probed": probe["rows"],
                "solved": probe["solved"],
                "selected": corpus["direct"],
                "draws": probe["draws"],
                "draws_full": probe["draws_full"],
                "train": {
                    "rows_direct": corpus["direct"],
                    "rows_keep": corpus["keep"],
                    "rows_fix": corpus["fix"],
                    "target_tokens": trained["target_tokens"],
                    "seconds": trained["seconds"],
                },
                **{split: scores["scores"] for split, scores in evaluations.items()},
                "seconds": round(seconds, 2),
            }
        )
    summary: dict[str, Any] = {"name": run.config.name, "seed": run.config.seed, "stopped": stopped}
    for name in ("base", "bootstrap", "plain_sft"):
        found = {split: entry["scores"] for split, entry in evaluations_of(run, name).items()}
        if found:
            summary[name] = {**found.get("test", next(iter(found.values()))), **found}
            if f"{name}/train" in run.counts:
                trained = run.counts[f"{name}/train"]
                summary[name]["train"] = {
                    "rows_direct": run.counts[f"{name}/corpus"]["direct"],
                    "target_tokens": trained["target_tokens"],
                    "seconds": trained["seconds"],
                }
    return {**summary, "rounds": entries}


def evaluations_of(run: Run, model: str) -> dict[str, dict[str, Any]]:
    """Counts of a model's evaluations by split."""
    names = {split: f"{model}/eval-{split}" for split in ("dev", "test")}
    return {split: run.counts[name] for split, name in names.items() if name in run.counts}


def read_summary(run: Store) -> dict[str, Any]:
    """The summary of a finished run; raises `StorageError` for a directory without one."""
    if not run.exists(SUMMARY):
        raise StorageError(
            f"no {SUMMARY} in {run.uri}: this is not a run directory. Give one, such as runs/demo"
            if not run.exists("config.yaml")
            else f"no {SUMMARY} in {run.uri}: the run has not finished. Start it again, and it goes on: `toolace run "
            f"--config {run.at('config.yaml')}`, or `toolace evolve` where that began the run"
        )
    summary = run.read_json(SUMMARY)
    if not isinstance(summary, dict) or "name" not in summary or not isinstance(summary.get("rounds"), list):
        raise StorageError(f"{run.at(SUMMARY)} is damaged (it holds {str(summary)[:80]}). {run.remake(SUMMARY)}")
    return summary


def summary_table(summary: dict[str, Any]) -> str:
    """The headline table as text: accuracy on the test split, directly and with adaptive refinement."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['name']}: test split", title_justify="left")
    for column in ("model", "selected", "target tokens", "direct", "refined", "repairs", "breaks", "calls/query"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, label in (("base", "base"), ("bootstrap", "bootstrap"), ("plain_sft", "plain SFT, all rows")):
        if name in summary:
            trained = summary[name].get("train", {})
            table.add_row(
                label,
                _number(trained.get("rows_direct")),
                _number(trained.get("target_tokens")),
                *_cells(summary[name]),
            )
    for entry in summary["rounds"]:
        train = entry["train"]
        scores = entry.get("test") or entry.get("dev")
        row = (f"round {entry['round']}", _number(entry["selected"]), _number(train["target_tokens"]))
        table.add_row(*row, *(_cells(scores) if scores else ()))
    out = io.StringIO()
    Console(file=out, width=110).print(table)
    return out.getvalue().rstrip()


def _cells(scores: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{scores['direct']:.1%}",
        f"{scores['adaptive']:.1%}",
        str(scores["repairs"]),
        str(scores["regressions"]),
        f"{scores['mean_calls']:.2f}",
    )


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
