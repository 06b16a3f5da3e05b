"""Opening an engine from the settings: resolve the model, start, prove the weights."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from toolace.config import EngineConfig, ModelConfig
from toolace.engines.base import Engine, ModelIdentity
from toolace.engines.canary import check_canary, check_weights
from toolace.engines.hf import HFEngine
from toolace.engines.models import fingerprint, resolve_model
from toolace.engines.scripted import ScriptedEngine
from toolace.engines.vllm import VLLMEngine
from toolace.engines.weights import check_weight_files
from toolace.errors import EngineError

Verified = Literal["canary", "weights", "no"]


def open_engine(model: ModelConfig, engine: EngineConfig, *, threads: int | None = None, script: Any = None) -> Engine:
    """Start the engine that the settings ask for and prove that it serves the model's weights.

    `threads` are the OMP threads of a CPU engine. `script` is what a `scripted` engine answers (see
    `toolace.engines.scripted`). Raises `EngineError` when it cannot start or serves other weights.
    """
    if engine.kind == "scripted":
        if script is None:
            raise EngineError("engine.kind=scripted needs a script. Pass script=, or set engine.kind=vllm")
        return ScriptedEngine(script, max_model_len=model.max_model_len, max_num_seqs=engine.max_num_seqs)
    folder = resolve_model(model.path)
    check_weight_files(folder)
    length = min(model.max_model_len, context_length(folder))
    identity = ModelIdentity(model.path, fingerprint(folder), "no", length)
    dtype = _dtype(model)
    opened: HFEngine | VLLMEngine
    if engine.kind == "hf":
        opened = HFEngine(folder, dtype=dtype, identity=identity, threads=threads)
    else:
        opened = VLLMEngine(folder, engine, dtype=dtype, identity=identity, threads=threads)
    if engine.canary:
        try:
            opened.identity = replace(identity, verified=_prove(opened, folder, dtype, engine))
        except BaseException:
            opened.close()
            raise
    return opened


def _prove(opened: HFEngine | VLLMEngine, folder: str, dtype: str, engine: EngineConfig) -> Verified:
    if check_canary(opened, folder, dtype=dtype):
        return "canary"
    # With tensor parallelism the parameters are in other processes, in pieces.
    if Path(folder).is_dir() and engine.tensor_parallel == 1 and opened.apply(partial(check_weights, model_dir=folder)):
        return "weights"
    return "no"


def context_length(folder: str) -> int:
    """The model's own context length in tokens, where its config says it."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        return int(config["max_position_embeddings"])
    except FileNotFoundError:  # a hub name: the engine reads the config itself
        return sys.maxsize
    except KeyError:
        return sys.maxsize
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(f"{folder}/config.json cannot be read: {error}. Is it a Hugging Face model?") from None


def _dtype(model: ModelConfig) -> str:
    if model.dtype != "auto":
        return model.dtype
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"
