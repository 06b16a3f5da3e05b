"""`toolace evaluate`: a model on samples of one's own; or outputs that exist on a benchmark, scored without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from toolace.cli.options import ConfigOption, JsonOption, SetOption
from toolace.cli.stages import ModelOption, stage_settings
from toolace.errors import ConfigError

_SHOWN = 5
"""Faulty rows named on stderr; the verdicts name all."""


def evaluate(
    data: Annotated[
        str, typer.Option("--data", help="File or glob of samples; with --benchmark, the benchmark's folder")
    ],
    out: Annotated[
        str | None, typer.Option("--out", help="Directory for the results; the same one again continues")
    ] = None,
    model: ModelOption = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="bfcl, acebench, apibank, toolalpaca or sealtools")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help='Outputs to score: JSON lines {"id", "output"}')
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", help="Where verdicts go, as JSON lines; unset: nowhere")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Accuracy on samples, directly and with refinement; records in OUT/model/eval-test. Or, with --benchmark and
    --predictions, the scores of outputs that exist."""
    if benchmark is not None:
        unused = {"--out": out, "--model": model, "--config": config, "--set": set_}
        _score(benchmark, data, predictions, verdicts, json_, [name for name, value in unused.items() if value])
        return
    if predictions is not None or verdicts is not None:
        raise ConfigError("--predictions and --verdicts belong to a benchmark: name it with --benchmark")
    if out is None:
        raise typer.BadParameter("a directory for the results is needed", param_hint="'--out'")
    settings = stage_settings(config, set_, model)
    from toolace.rounds.standalone import evaluate_samples

    scores = evaluate_samples(settings, data, out)
    if json_:
        typer.echo(json.dumps(scores))
        return
    typer.echo(f"{scores['n']} samples, {scores['errors']} errors")
    for name, arm in scores["arms"].items():
        typer.echo(
            f"{name:<12} {arm['accuracy']:7.1%}   {arm['mean_calls']:.2f} calls/query   "
            f"{arm['repairs']} repaired, {arm['regressions']} broken"
        )


def _score(
    benchmark: str, data: str, predictions: Path | None, verdicts: Path | None, json_: bool, unused: list[str]
) -> None:
    from toolace.evaluation.benchmarks import benchmark_named
    from toolace.evaluation.benchmarks.scoring import score_predictions

    chosen = benchmark_named(benchmark)
    if predictions is None:
        raise ConfigError(
            f"generation for benchmarks is not available yet, so {benchmark} cannot run a model. Give outputs that "
            'exist with --predictions FILE (JSON lines {"id", "output"}) to have them scored'
        )
    if unused:
        raise ConfigError(
            f"{', '.join(unused)}: scoring outputs that exist takes no model and no settings; leave it out"
        )
    found = score_predictions(chosen, Path(data), predictions, verdicts)
    if bad := found.bad_rows():
        typer.echo(f"{len(bad)} faulty row(s) of the benchmark, counted as wrong:", err=True)
        for row in bad[:_SHOWN]:
            typer.echo(f"  {row.detail}", err=True)
    if found.missing:
        typer.echo(f"{found.missing} row(s) without a prediction: scores that they belong to are left out", err=True)
    report = found.to_json()
    if json_:
        typer.echo(json.dumps(report))
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    for name, counts in report["categories"].items():
        typer.echo(f"{name:<40} {counts['correct']:>6} of {counts['n']:>6} correct")
    for name, score in report["scores"].items():
        typer.echo(f"{name:<40} {'incomplete' if score is None else f'{score:.2%}':>12}")
