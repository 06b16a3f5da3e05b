"""`toolace probe`, `select`, `train`: single stages on files of one's own."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from toolace.cli.options import ConfigOption, JsonOption, SetOption
from toolace.config import Config, load_config

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Model directory, hub name, builtin:NAME, run, or RUN/ROUND; unset: model.path"),
]
DataOption = Annotated[str, typer.Option("--data", help="File or glob that `toolace data check` reads, or shards")]
OutOption = Annotated[str, typer.Option("--out", help="Directory for the results; the same one again continues")]


def stage_settings(config: Any, overrides: list[str] | None, model: str | None) -> Config:
    """The settings of a single stage: file, overrides, model.

    A run or a round of one brings the call format and chat template that it was trained with.
    """
    if not model:
        return load_config(config, overrides or [])
    from toolace.serving.models import choose_trained

    values: dict[str, Any] = {"model.path": model}
    if (trained := choose_trained(model)) is not None:
        named = {override.partition("=")[0].strip() for override in overrides or []}
        brought = {f"model.{name}": getattr(trained.model, name) for name in ("format", "template")}
        values = {"model.path": trained.model.path, **{k: v for k, v in brought.items() if k not in named}}
    return load_config(config, overrides or [], values)


def probe(
    data: DataOption, out: OutOption, model: ModelOption = None, config: ConfigOption = None, set_: SetOption = None
) -> None:
    """Ask a model k times about every sample; records in OUT/round-1/probe."""
    settings = stage_settings(config, set_, model)
    from toolace.rounds.standalone import probe_samples

    typer.echo(json.dumps(probe_samples(settings, data, out)))


def select(
    probe: Annotated[str, typer.Option("--probe", help="Probe directory, such as runs/demo/round-1/probe")],
    previous: Annotated[str | None, typer.Option("--previous", help="Last round's probe, for transitions")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Select the samples that suit the model: ids on stdout, counts on stderr (or all of it as JSON)."""
    settings = load_config(config, set_ or [])
    from toolace.rounds.standalone import select_records

    selection = select_records(settings, probe, previous)
    if json_:
        typer.echo(selection.model_dump_json())
        return
    for sample_id in selection.ids:
        typer.echo(sample_id)
    typer.echo(f"{len(selection.ids)} of {selection.probed} selected: {selection.counts}", err=True)


def train(
    corpus: Annotated[str, typer.Option("--corpus", help="Corpus directory, such as runs/demo/round-1/corpus")],
    out: OutOption,
    model: ModelOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Fine-tune a model on a corpus; the exported model is in OUT/model/train/model."""
    settings = stage_settings(config, set_, model)
    from toolace.rounds.standalone import train_corpus

    typer.echo(json.dumps(train_corpus(settings, corpus, out)))
