"""How large a model is: from the headers of its files, the hub, or its name. Never reads weights."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolace.engines.models import resolve_model
from toolace.errors import EngineError
from toolace.filesystems import open_filesystem

HUB_TIMEOUT_S = 5.0
_HEADER_BYTES = 100 << 20
"""Largest header that the safetensors format allows."""
_NAMED = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])")
"""`8B`, `0.5B`, `135M`, `8x7B` in a model's name."""


@dataclass(frozen=True)
class ModelSize:
    """The size of a model.

    parameters: None where unknown; origin says where the number is from. kv_values: numbers that one token puts into
    the KV cache, over all layers; None where unknown. linear: the linear layers inside the blocks as (name, inputs,
    outputs), what adapters go on; empty where unknown.
    """

    parameters: int | None
    origin: str
    kv_values: int | None = None
    linear: tuple[tuple[str, int, int], ...] = ()


def measure_model(path: str) -> ModelSize:
    """The size of the model at a path as in `resolve_model`; nothing is copied from object storage.

    A hub name that is neither in the local cache nor can be asked for is judged by its size token. Raises `EngineError`
    where there is no model, its weights are missing or cut off, or the hub has no model of that name.
    """
    from pyarrow import fs

    if "://" in path:
        try:
            filesystem, folder = open_filesystem(path.rstrip("/"))
        except Exception as error:  # pyarrow raises several unrelated types here
            raise EngineError(f"cannot read the model directory {path}: {error}. Check the address") from None
        return _measure_folder(filesystem, folder, path)
    folder = resolve_model(path)
    return _measure_folder(fs.LocalFileSystem(), folder, path) if os.path.isdir(folder) else _measure_hub(path)


def parameters_in_name(name: str) -> int | None:
    """The size token of a model's name as a number of parameters: `8B`, `0.5B`, `135M`, `8x7B` (at the most)."""
    found = _NAMED.search(name.rpartition("/")[2])
    if found is None:
        return None
    experts, number, unit = found.groups()
    return round(int(experts or 1) * float(number) * (1e9 if unit in "Bb" else 1e6))


def _measure_folder(filesystem: Any, folder: str, path: str) -> ModelSize:
    from pyarrow import fs

    try:
        infos = filesystem.get_file_info(fs.FileSelector(folder))
        files = {info.base_name: info for info in infos if info.type == fs.FileType.File}
        if "config.json" not in files:
            raise EngineError(f"no model at {path}: there is no config.json among its {len(files)} files")
        config = _read_json(filesystem, files["config.json"].path)
        names = sorted(name for name in files if name.endswith(".safetensors"))
        if "model.safetensors.index.json" in files:
            index = _read_json(filesystem, files["model.safetensors.index.json"].path)
            names = sorted(set(index.get("weight_map", {}).values()))
        elif "model.safetensors" in names:
            names = ["model.safetensors"]
        if missing := [name for name in names if name not in files]:
            raise EngineError(f"no whole model at {path}: {missing[0]} is missing. Copy or download it again")
        shapes: dict[str, list[int]] = {}
        for name in names:
            shapes |= _read_shapes(filesystem, files[name], path)
    except OSError as error:
        raise EngineError(f"cannot read the model directory {path}: {error}. Check the path and the access") from None
    guess, linear = _by_config(config)
    if shapes:
        spared = ("embed", "lm_head", "wte", "wpe", "norm")
        matrices = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith(".weight")}
        linear = tuple(
            (name, shape[1], shape[0])
            for name, shape in matrices.items()
            if len(shape) == 2 and not any(word in name for word in spared)
        )
        return ModelSize(sum(map(math.prod, shapes.values())), "from its files", _kv_values(config), linear)
    if not any(name.endswith(".bin") for name in files):
        raise EngineError(f"no weights in {path}: it has a config.json, but neither .safetensors nor .bin files")
    return ModelSize(guess, "estimated from its config.json", _kv_values(config), linear)


def _measure_hub(name: str) -> ModelSize:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    from pyarrow import fs

    try:
        cached = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise EngineError(f"no model {name!r}: neither a directory nor a hub name ({error})") from None
    if isinstance(cached, str):
        with contextlib.suppress(EngineError):  # only some of its files are in the cache
            return _measure_folder(fs.LocalFileSystem(), os.path.dirname(cached), name)
    hub = HfApi()
    try:
        found = hub.model_info(name, timeout=HUB_TIMEOUT_S, expand=["safetensors"]).safetensors
        total, origin = (found.total, "from the hub") if found else (None, "")
    except RepositoryNotFoundError as error:
        if not isinstance(error, GatedRepoError):
            raise EngineError(
                f"the hub has no model {name!r} that you may read, and there is no such directory. Check the name, or "
                "log in (`hf auth login`)"
            ) from None
        total, origin = None, ""
    except Exception:  # no network, a proxy that refuses, offline mode: errors of several unrelated types
        total, origin = None, "the hub cannot be reached"
    config: Mapping[str, Any] = {}
    if not origin.endswith("reached"):
        with contextlib.suppress(Exception):  # a gated model tells its size and no more
            config = json.loads(Path(hub.hf_hub_download(name, "config.json")).read_text(encoding="utf-8"))
    if total is None:
        total = parameters_in_name(name)
        why = "estimated from its name" if total else "its name does not tell"
        origin = f"{why}; {origin}" if origin else why
    return ModelSize(total, origin, _kv_values(config), _by_config(config)[1])


def _read_json(filesystem: Any, file: str) -> dict[str, Any]:
    with filesystem.open_input_stream(file) as stream:
        try:
            value = json.loads(stream.read())
        except (ValueError, RecursionError) as error:
            raise EngineError(f"{file} is not JSON ({error}). Copy or download the model again") from None
    if not isinstance(value, dict):
        raise EngineError(f"{file} holds a {type(value).__name__}, not an object. Copy or download the model again")
    return value


def _read_shapes(filesystem: Any, info: Any, path: str) -> dict[str, list[int]]:
    """The shapes of the tensors in a safetensors file, from its header."""
    with filesystem.open_input_file(info.path) as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            if not 0 < length <= min(_HEADER_BYTES, info.size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {info.size}")
            header = json.loads(stream.read(length))
            tensors = {name: value for name, value in header.items() if name != "__metadata__"}
            shapes = {name: [int(size) for size in value["shape"]] for name, value in tensors.items()}
            end = 8 + length + max((value["data_offsets"][1] for value in tensors.values()), default=0)
            if end != info.size:
                raise ValueError(f"{end} bytes by its header, {info.size} in fact")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EngineError(
                f"the weights {info.base_name} of {path} are damaged or cut off ({error}). Copy or download them again"
            ) from None
    return shapes


def _kv_values(config: Mapping[str, Any]) -> int | None:
    config = config.get("text_config") or config
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    if not layers or not heads or not config.get("hidden_size") or "kv_lora_rank" in config:
        return None
    width = config.get("head_dim") or config["hidden_size"] // heads
    return int(2 * layers * (config.get("num_key_value_heads") or heads) * width)


def _by_config(config: Mapping[str, Any]) -> tuple[int | None, tuple[tuple[str, int, int], ...]]:
    """Parameters and linear layers of a decoder with gated MLPs, biases and norms left out."""
    config = config.get("text_config") or config
    needed = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size", "vocab_size")
    if not all(isinstance(config.get(name), int) for name in needed):
        return None, ()
    layers, heads, hidden, inner, words = (config[name] for name in needed)
    width = config.get("head_dim") or hidden // heads
    query, key = heads * width, (config.get("num_key_value_heads") or heads) * width
    experts = config.get("num_local_experts") or config.get("num_experts") or 1
    inner = config.get("moe_intermediate_size") or inner if experts > 1 else inner
    block = [("q_proj", hidden, query), ("k_proj", hidden, key), ("v_proj", hidden, key), ("o_proj", query, hidden)]
    block += experts * [("gate_proj", hidden, inner), ("up_proj", hidden, inner), ("down_proj", inner, hidden)]
    linear = tuple((f"layers.{layer}.{name}", a, b) for layer in range(layers) for name, a, b in block)
    embeddings = words * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return embeddings + sum(a * b for _, a, b in linear), linear
