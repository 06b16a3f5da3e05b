"""`toolace evaluate`: a model on samples of one's own or on a benchmark; or outputs that exist on a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from toolace.cli import benchmark as benchmarks
from toolace.cli.options import ConfigOption, JsonOption, SetOption
from toolace.cli.stages import ModelOption, stage_settings
from toolace.errors import ConfigError


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
    categories: Annotated[
        str | None, typer.Option("--categories", help="Ask only these categories of the benchmark: a,b")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Ask at most so many rows of each category; no full scores then"),
    ] = None,
    official: Annotated[
        Path | None,
        typer.Option(
            "--official",
            help="Environment of the official BFCL checker, for multi-turn; unset: .agreement/venv, where it is there",
        ),
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Accuracy on samples, directly and with refinement; records in OUT/model/eval-test. With --benchmark the scores of
    a model on a benchmark, in OUT/scores.json; with --predictions too, those of outputs that exist."""
    options: dict[str, object] = {
        "out": out, "model": model, "config": config, "set": set_, "predictions": predictions, "verdicts": verdicts,
        "categories": categories, "limit": limit, "official": official,
    }  # fmt: skip
    check_options(benchmark, options)
    if benchmark is not None and predictions is not None:
        benchmarks.score(benchmark, data, predictions, verdicts, official, json_)
        return
    assert out is not None  # or it was refused
    settings = stage_settings(config, set_, model)
    if benchmark is not None:
        benchmarks.run(settings, benchmark, data, out, categories, limit, official, json_)
        return
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


def check_options(benchmark: str | None, options: Mapping[str, object]) -> None:
    """Refuse options, by their names, that do not go together. Raises `ConfigError`."""
    given = [f"--{name}" for name, value in options.items() if value]
    if benchmark is None:
        ours = ("--predictions", "--verdicts", "--categories", "--limit", "--official")
        if wrong := [name for name in given if name in ours]:
            raise ConfigError(f"{', '.join(wrong)}: for a benchmark only; name it with --benchmark")
        if "--out" not in given:
            raise ConfigError("a directory for the results is needed: --out DIR")
    elif "--predictions" in given:
        if wrong := [name for name in given if name not in ("--predictions", "--verdicts", "--official")]:
            raise ConfigError(
                f"{', '.join(wrong)}: scoring outputs that exist takes no model and no settings; leave it out"
            )
    elif "--out" not in given:
        from toolace.evaluation.benchmarks import benchmark_named

        name = benchmark_named(benchmark).name
        raise ConfigError(
            f"{name} needs --out DIR for the answers and scores of a model (--model), or --predictions FILE with "
            'outputs that exist (JSON lines {"id", "output"})'
        )
    elif "--verdicts" in given:
        raise ConfigError("--verdicts belongs to --predictions: those of a model are in OUT/verdicts-ARM.jsonl")
