"""The training stage: a corpus becomes a model directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from toolace.config import TrainConfig
from toolace.corpus import RowKind, read_corpus
from toolace.engines.models import resolve_model
from toolace.rounds.cluster import cluster
from toolace.rounds.context import ModelRef, Run
from toolace.storage import Stage
from toolace.training.spec import TrainSpec


def train_place(run: Run, name: str, start: ModelRef, corpus: Stage, settings: TrainConfig) -> Stage:
    """Where a training is: `<name>/train`."""
    config = run.config
    return run.stage(
        f"{name}/train",
        {
            "start": start.key,
            "corpus": corpus.key,
            "max_length": settings.max_length,  # longer rows are left out when the corpus is tokenised
            "train": TrainSpec(model=start.key, tokens=corpus.key, out="", settings=settings).made_from(),
            "format": config.model.format,
            "template": config.model.template,
            "seed": config.seed,
        },
    )


def trained_model(name: str, stage: Stage) -> ModelRef:
    """The model that a training stage makes."""
    return ModelRef(name, stage.store.at("model"), stage.key)


def train_stage(run: Run, name: str, start: ModelRef, corpus: Stage, settings: TrainConfig) -> ModelRef:
    """Train `start` on a corpus. The stage is `<name>/train`, the Hugging Face directory `<name>/train/model`."""
    config = run.config
    stage = train_place(run, name, start, corpus, settings)
    counts = stage.done()
    if counts is None:
        with run.timed(f"{name}: train on {_rows(run, corpus)}", stage) as clock, cluster(config.cluster):
            counts = _train(run, start, corpus, settings, stage)
        counts = stage.publish({**counts, "stage_seconds": clock["seconds"]})
        run.progress.end(
            f"{counts['steps']} steps, {counts['target_tokens']:,} target tokens, "
            f"loss {counts['first_loss']:.3f} -> {counts['last_loss']:.3f}"
        )
    run.remember(stage, counts)
    return trained_model(name, stage)


def _train(run: Run, start: ModelRef, corpus: Stage, settings: TrainConfig, stage: Stage) -> dict[str, Any]:
    from toolace.rendering import Renderer
    from toolace.training.dataset import tokenise
    from toolace.training.launch import run_training

    model = run.config.model
    renderer = Renderer.from_pretrained(resolve_model(start.path), format=model.format, template=model.template)
    tokens = stage.store.sub("tokens")
    found = tokenise(read_corpus(corpus.store), renderer.example, tokens, max_length=settings.max_length)
    spec = TrainSpec(
        model=start.path,
        tokens=tokens.uri,
        out=stage.store.uri,
        settings=settings,
        seed=run.config.seed,
        chat_template=renderer.template,
    )

    def show(record: Mapping[str, Any]) -> None:
        note = f"loss {record['loss']:.3f}, {record['target_tokens_per_s']:,.0f} target tokens/s"
        run.progress.update(record["step"] + 1, record["of"], "steps", note)
        run.tracking.steps_made(stage)

    result = run_training(spec, show)
    return {**result.model_dump(exclude={"model"}), "corpus": found}


def _rows(run: Run, corpus: Stage) -> str:
    counts = run.counts.get(corpus.name, {})
    rows = sum(counts.get(kind, 0) for kind in get_args(RowKind))
    return f"{rows} rows" if rows else corpus.store.uri
