"""Which model to serve: a model directory, a hub name, or a training run and one of its rounds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile

from toolace.config import ModelConfig, validate_config
from toolace.engines.models import looks_local
from toolace.errors import ServingError, StorageError
from toolace.settings_file import parse_yaml
from toolace.storage import DONE, Store

WEIGHTS = (".safetensors", ".bin", ".gguf")
"""Ends of the names of files that hold weights."""
OTHERS = ("bootstrap", "plain_sft", "adaption", "decomposed")
"""Trained stages of a run that are no rounds."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model to serve: how to load and talk to it, the name for clients, and the label of its version."""

    model: ModelConfig
    name: str
    label: str


def choose_model(target: str, defaults: ModelConfig | None = None) -> Chosen:
    """Resolve `MODEL_DIR`, a hub name, `builtin:tiny_base`, `RUN` (its newest finished round) or `RUN/ROUND`.

    ROUND is the name of a trained stage: `round-2` or `evolve-2` (or `2`), `bootstrap`, `plain_sft`, `adaption`,
    `decomposed`. A run brings its own format and template; for a directory they come from `defaults`.

    Raises:
        ServingError: a run without a finished round, or an unknown round of it.
    """
    settings = defaults or ModelConfig()
    if target.startswith("builtin:"):
        return Chosen(settings.model_copy(update={"path": target}), target.removeprefix("builtin:"), "")
    trained = choose_trained(target)
    if trained is not None:
        return trained
    place = target.rstrip("/")
    if _has(place, "config.json") or not looks_local(place):
        _require_weights(place)
        parts = [part for part in place.split("/") if part not in ("", ".", "..", "model", "train")]
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", parts[-1]) if parts else "model"
        return Chosen(settings.model_copy(update={"path": _absolute(place)}), name, "")
    raise ServingError(
        f"no model and no run at {target}: neither config.json nor run.json is there. Give a Hugging Face model "
        "directory, a run such as runs/demo (`make demo` makes that one), RUN/round-2, or builtin:tiny_base"
    )


def choose_trained(target: str) -> Chosen | None:
    """As `choose_model` for `RUN` and `RUN/ROUND`; None for a target that is neither."""
    if target.startswith("builtin:"):
        return None
    place = target.rstrip("/")
    if _has(place, "run.json"):
        return _from_run(place, None)
    parent, _, last = place.rpartition("/")
    if parent and not _has(place, "config.json") and _has(parent, "run.json"):
        return _from_run(parent, last)
    return None


def require_on_hub(model: str) -> None:
    """Say at once what an engine would try for minutes: a hub name that cannot be had. Other places pass.

    Without a network, what the hub's cache holds counts. Raises `ServingError`.
    """
    if model.startswith("builtin:") or looks_local(model):
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        hf_hub_download(model, "config.json")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ServingError(
            f"no model at {model}: there is no such directory, and as a name on the hub: {said}. Give a model "
            "directory, a run such as runs/demo (`make demo` makes that one), or builtin:tiny_base"
        ) from None


def _from_run(run: str, stage: str | None) -> Chosen:
    store = Store(run)
    series = (f"{kind}-{{}}" for kind in ("round", "evolve"))
    rounds = [name for one in series for name in takewhile(partial(_trained, store), map(one.format, count(1)))]
    trained = [*rounds, *(name for name in OTHERS if _trained(store, name))]
    if stage is None:
        if not rounds:
            raise ServingError(
                f"run {run} has no finished round yet. Let it train (run the same command again), or name a stage: "
                f"{', '.join(f'{run}/{name}' for name in trained) or 'none is trained'}"
            )
        stage = rounds[-1]
    if stage.isdigit():
        stage = next((name for name in rounds if name.endswith(f"-{stage}")), stage)
    if stage not in trained:
        raise ServingError(f"run {run} has no trained model {stage!r}. There is: {', '.join(trained) or 'none'}")
    origin = f"{run}/config.yaml"
    config = validate_config(parse_yaml(store.read("config.yaml").decode("utf-8", "replace"), origin), origin)
    model = config.model.model_copy(update={"path": _absolute(store.at(f"{stage}/train/model"))})
    return Chosen(model, config.name, stage)


def _trained(store: Store, stage: str) -> bool:
    return store.exists(f"{stage}/train/{DONE}")


def _has(place: str, file: str) -> bool:
    if "://" not in place:
        return os.path.isfile(os.path.join(place, file))
    try:
        return Store(place).exists(file)
    except StorageError:
        return False


def _require_weights(place: str) -> None:
    """Say at once what an engine would take a minute to find out."""
    if os.path.isdir(place) and not any(name.endswith(WEIGHTS) for name in os.listdir(place)):
        raise ServingError(
            f"no weights in {place}: it has a config.json, but no file that ends in {' or '.join(WEIGHTS)}. Is it a "
            "model that was written to its end?"
        )


def _absolute(path: str) -> str:
    return os.path.abspath(path) if "://" not in path and os.path.exists(path) else path
