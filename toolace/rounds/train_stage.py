"""The training stage: a corpus becomes a model directory."""

from __future__ import annotations

from toolace.config import TrainConfig
from toolace.engines.models import resolve_model
from toolace.rounds.context import ModelRef, Run
from toolace.storage import Stage


def train_stage(run: Run, name: str, start: ModelRef, corpus: Stage, settings: TrainConfig) -> ModelRef:
    """Train `start` on a corpus; the model is in `<name>/model` afterwards."""
    config = run.config
    stage = run.stage(
        f"{name}/train",
        {
            "start": start.key,
            "corpus": corpus.key,
            "train": settings.model_dump(),
            "format": config.model.format,
            "template": config.model.template,
            "seed": config.seed,
        },
    )
    trained = ModelRef(name, run.store.at(f"{name}/model"), stage.key)
    counts = stage.done()
    if counts is None:
        raise SystemError(resolve_model(start.path))
    run.remember(stage, counts)
    return trained
