"""`toolace data`: look at data, make synthetic samples."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from toolace.cli.options import JsonOption

app = typer.Typer(help="Look at data files, make synthetic samples.", no_args_is_help=True)

FormatOption = Annotated[str, typer.Option("--format", help="Source format; auto: found out from the first rows")]


@app.command()
def check(
    file: Annotated[str, typer.Argument(help="A path, glob, s3://, gs:// or hf:// location")],
    format_: FormatOption = "auto",
    model: Annotated[str | None, typer.Option("--model", help="Count tokens with this model's tokenizer")] = None,
    json_: JsonOption = False,
) -> None:
    """Count rows, samples and what was quarantined, by reason; token lengths; duplicate queries.

    The exit code is 1 where no sample can be used."""
    from toolace.data import check_file
    from toolace.data.checking import NOT_RENDERED

    length = None
    if model is not None:
        from toolace.engines.models import resolve_model
        from toolace.rendering import Renderer

        renderer = Renderer.from_pretrained(resolve_model(model), format="pythonic")
        length = lambda sample: len(renderer.example(sample.chat, sample.reference).input_ids)  # noqa: E731
    found = check_file(file, format=format_, length=length).to_json()  # type: ignore[arg-type]
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False))
        _refuse_empty(found)
        return
    for key, value in found.items():
        if key != "examples" and isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, count in value.items():
                typer.echo(f"  {name:<28} {count}")
        elif key != "examples":
            typer.echo(f"{key:<26} {value}")
    for reason, rows in found["examples"].items():
        kind = "that cannot be rendered" if reason == NOT_RENDERED else f"in quarantine for {reason}"
        typer.echo(f"first rows {kind}:")
        for bad in rows:
            typer.echo(f"  {bad['path']}:{bad['row']}  {bad['detail']}")
    _refuse_empty(found)


def _refuse_empty(found: dict[str, Any]) -> None:
    """Exit code 1 for a file without one sample that can be used."""
    if found["samples"] == found["not_rendered"]:
        typer.echo(f"error: no usable sample among {found['rows']} rows of {found['path']}", err=True)
        raise typer.Exit(1)


@app.command()
def generate(
    out: Annotated[str, typer.Argument(help="Directory for the samples")],
    rows: Annotated[int, typer.Option(min=1, help="How many samples")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 0,
    profile: Annotated[str, typer.Option(help="Mix of kinds and phrasings")] = "house",
    split: Annotated[str, typer.Option(help="train, dev or test: each has tools of its own")] = "train",
) -> None:
    """Write synthetic samples as parquet shards."""
    from toolace.data.shards import write_shards
    from toolace.data.synthetic import generate as make
    from toolace.storage import Store

    samples = make(rows, seed, profile=profile, split=split)  # type: ignore[arg-type]
    index = write_shards(samples, Store(out), shard_rows=256)
    typer.echo(json.dumps({"rows": index.rows, "shards": len(index.shards)}))
