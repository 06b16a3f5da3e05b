"""The two ways of `toolace evaluate --benchmark`: outputs that exist, and a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from toolace.config import Config

_SHOWN = 5
"""Rows of a kind named on stderr; a file names all."""


def official_environment(benchmark: str, given: Path | None) -> Path | None:
    """The environment of the official checker: the one given, else for bfcl the one in this directory, if any."""
    from toolace.evaluation.benchmarks.bfcl_process import find_official

    return find_official(given) if given is not None or benchmark == "bfcl" else None


def score(
    benchmark: str, data: str, predictions: Path, verdicts: Path | None, official: Path | None, json_: bool
) -> None:
    """Print the scores of outputs that exist."""
    from toolace.evaluation.benchmarks import benchmark_named
    from toolace.evaluation.benchmarks.scoring import score_predictions

    rules = benchmark_named(benchmark, official_environment(benchmark, official))
    found = score_predictions(rules, Path(data), predictions, verdicts)
    named_in = f"{verdicts}, as bad_row" if verdicts is not None else "the file of --verdicts FILE, as bad_row"
    _name_faulty([row.detail for row in found.bad_rows()], named_in)
    if skipped := found.not_scored():
        typer.echo(f"{len(skipped)} row(s) not scored:\n  {skipped[0].detail}", err=True)
    if found.missing:
        typer.echo(f"{found.missing} row(s) without a prediction: scores that they belong to are left out", err=True)
    _name_left_out(found.left_out)
    report = found.to_json()
    if json_:
        typer.echo(json.dumps(report))
        return
    for name, counts in report["categories"].items():
        typer.echo(f"{name:<40} {counts['correct']:>6} of {counts['n']:>6} correct")
    for name, value in report["scores"].items():
        typer.echo(f"{name:<40} {_share(value):>12}")


def run(
    config: Config,
    benchmark: str,
    data: str,
    out: str,
    categories: str | None,
    limit: int | None,
    official: Path | None,
    json_: bool,
) -> None:
    """Run a model on a benchmark and print the scores of every arm."""
    from toolace.rounds.benchmark import run_benchmark

    chosen = [name.strip() for name in categories.split(",") if name.strip()] if categories is not None else None
    place = official_environment(benchmark, official)
    report = run_benchmark(config, benchmark, Path(data), out, categories=chosen, limit=limit, official=place)
    scores = f"{out}/scores.json"
    _name_faulty(report["faulty"].values(), f"{scores}, under faulty")
    if failed := report["unanswered"]:
        reasons = [f"{row}: {why}" for row, why in failed.items()]
        _name(f"{len(failed)} row(s) without an answer, counted as wrong", reasons, f"{scores}, under unanswered")
    if skipped := report["not_scored"]:
        named = ", ".join(f"{count} of {name}" for name, count in skipped.items())
        typer.echo(
            f"not asked and not scored: {named}. They need the official checker: make it with `make agreement-env` and "
            "run this beside it, or name it with --official DIR (docs/benchmarks.md)",
            err=True,
        )
    if missing := next(iter(report["arms"].values()))["missing"]:
        typer.echo(f"{missing} row(s) were not chosen: scores that they belong to are left out", err=True)
    _name_left_out(report["left_out"])
    if json_:
        typer.echo(json.dumps(report))
        return
    _print_arms(report)


def _print_arms(report: dict[str, Any]) -> None:
    arms: dict[str, dict[str, Any]] = report["arms"]
    width = max(14, *(len(name) + 2 for name in arms))

    def line(title: str, cells: Iterable[object]) -> None:
        typer.echo(f"{title:<40}" + "".join(f"{cell!s:>{width}}" for cell in cells))

    typer.echo(f"{report['asked']} of {report['rows']} rows asked")
    line("", arms)
    first = next(iter(arms.values()))
    for name, counts in first["categories"].items():
        line(name, (f"{arm['categories'][name]['correct']} of {counts['judged']}" for arm in arms.values()))
    for name in first["scores"]:
        line(name, (_share(arm["scores"][name]) for arm in arms.values()))
    for key, title in {"mean_calls": "calls/query", "mean_tokens": "generated tokens/query"}.items():
        line(title, ("-" if arm[key] is None else f"{arm[key]:.2f}" for arm in arms.values()))
    for key, title in {"repairs": "repaired", "regressions": "broken"}.items():
        line(title, (arm[key] for arm in arms.values()))


def _share(value: float | None) -> str:
    return "incomplete" if value is None else f"{value:.2%}"


def _name_faulty(details: Iterable[str], named_in: str) -> None:
    if found := list(details):
        _name(f"{len(found)} faulty row(s) of the benchmark, counted as wrong", found, named_in)


def _name_left_out(left_out: Sequence[str]) -> None:
    if left_out:
        typer.echo("\n  ".join(["not run, and so left out of the scores:", *left_out]), err=True)


def _name(what: str, details: Sequence[str], named_in: str) -> None:
    """The first rows of a kind, and where all are named."""
    lines = [f"{what}:", *details[:_SHOWN]]
    if len(details) > _SHOWN:
        lines.append(f"and {len(details) - _SHOWN} more; all are named in {named_in}")
    typer.echo("\n  ".join(lines), err=True)
