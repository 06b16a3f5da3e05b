"""Where tiny base models that are not shipped are kept: in the cache, under the hash of what they are made from."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from toolace.data.synthetic import generate
from toolace.engines.models import cache_root
from toolace.training.scratch_config import TinyBaseConfig

_NO_PART = ("name", "output", "work", "compiled", "threads", "evaluate_minutes", "evaluate_rows")
"""Settings that do not change what is learnt."""
_ROWS = 32


def recipe_hash(config: TinyBaseConfig) -> str:
    """12 hex digits, equal where the recipe makes the same model: settings, chat template and corpus.

    Of the corpus the first rows of each profile stand for all.
    """
    settings = config.model_dump(mode="json", exclude=set(_NO_PART))
    profiles: tuple[str, ...] = ("base", "base-easy", "demo")
    if config.define_share:
        profiles += ("base-documented",)
    else:
        settings.pop("define_share")  # as if there was none: recipes are older than it
    text = json.dumps([settings, _corpus(config.seed, profiles)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=8)
def _corpus(seed: int, profiles: tuple[str, ...]) -> str:
    state = hashlib.sha256((files("toolace") / "templates" / "tiny_pythonic.jinja").read_bytes())
    for profile in profiles:
        for sample in generate(_ROWS, seed, profile=profile):
            state.update(sample.model_dump_json().encode())
    return state.hexdigest()


def checkpoint_folder(config: TinyBaseConfig) -> Path:
    """Where the recipe's checkpoint is, or will be."""
    if config.output is not None:
        return Path(config.output)
    return cache_root() / "bases" / f"{config.name}-{recipe_hash(config)}"


def work_folder(config: TinyBaseConfig) -> Path:
    """Where its training keeps its state."""
    if config.work is not None:
        return Path(config.work)
    folder = checkpoint_folder(config)
    return folder.with_name(f"{folder.name}.work")


def cached_base(config: TinyBaseConfig) -> Path | None:
    """The folder of the recipe's checkpoint; None where it is not trained yet."""
    folder = checkpoint_folder(config)
    return folder if (folder / "recipe.json").is_file() and (folder / "config.json").is_file() else None
