"""Memory that engines and training workers will need, estimated from the size of the model and the settings."""

from __future__ import annotations

import re

from toolace.config import Config, TrainConfig
from toolace.engines.size import ModelSize

GIB = 2**30
ADAM_BYTES = 8
"""Two float32 moments a trained parameter."""
MASTER_BYTES = 4
"""DeepSpeed's float32 copy of a trained parameter, under ZeRO 1 to 3."""
GRADIENT_BYTES = 4
"""Gradients are accumulated in float32 (see `toolace.training.engine.deepspeed_config`)."""


def engine_memory(config: Config, size: ModelSize) -> str:
    """What one engine takes: weights and KV cache, a GPU's share of them under tensor parallelism."""
    engine, model, gpus = config.engine, config.model, config.rollout.gpus_per_actor
    if engine.kind == "scripted":
        return "an engine: scripted, no model in memory"
    value = 4 if model.dtype == "float32" or (model.dtype == "auto" and not gpus) else 2
    parts = engine.tensor_parallel
    each = "a GPU of an engine" if parts > 1 else "an engine"
    weights = f"{size.parameters * value / parts / GIB:,.2f} GiB" if size.parameters else "not known"
    text = f"{each}: weights {weights}"
    if engine.kind != "vllm":
        return f"{text}, KV cache as the sequences grow"
    token = size.kv_values * value / parts if size.kv_values else None
    most = engine.max_num_seqs * model.max_model_len
    if not gpus:
        room = f", room for {engine.kv_cache_gib * GIB / token:,.0f} tokens" if token else ""
        total = ""
        if size.parameters:
            total = f" = {size.parameters * value / parts / GIB + engine.kv_cache_gib:,.2f} GiB"
        return f"{text} + KV cache {engine.kv_cache_gib:g} GiB (engine.kv_cache_gib{room}){total}"
    rest = f"what is left of {engine.gpu_memory_utilization:.0%} of the GPU"
    if token is None:
        return f"{text} + KV cache {rest} (bytes a token not known: no config.json at hand)"
    return (
        f"{text} + KV cache {rest}: {token * model.max_model_len / GIB:,.2f} GiB for one sequence of "
        f"{model.max_model_len} tokens, {token * most / GIB:,.1f} GiB for {engine.max_num_seqs} of them"
    )


def training_memory(train: TrainConfig, size: ModelSize) -> str:
    """What one training worker takes for weights, gradients and optimizer; activations come on top.

    Stage 1 divides the optimizer among the workers, stage 2 also gradients, stage 3 also weights (Rajbhandari et al.
    2020, ZeRO). Under LoRA only the adapters have gradients and optimizer states.
    """
    if not size.parameters:
        return "a training worker: not known, as the size of the model is not"
    stage, workers = train.zero_stage, train.workers
    trained = size.parameters if train.method == "full" else adapter_parameters(train, size)
    value = 2 if train.settled().precision == "bf16" else 4
    if stage == 0:  # the optimizer works on float32 weights directly
        frozen = 0 if train.method == "full" else size.parameters * value
        weights, gradients, optimizer = frozen + trained * 4.0, trained * 4.0, float(trained * ADAM_BYTES)
    else:
        added = 0 if train.method == "full" else trained
        weights = (size.parameters + added) * value / (workers if stage == 3 else 1)
        gradients = trained * GRADIENT_BYTES / (workers if stage >= 2 else 1)
        optimizer = trained * (MASTER_BYTES + ADAM_BYTES) / workers
    total = (weights + gradients + optimizer) / GIB
    adapters = "" if train.method == "full" else f" of {trained / 1e6:,.1f} M adapter parameters"
    return (
        f"a training worker: weights {weights / GIB:,.2f} + gradients {gradients / GIB:,.2f} + optimizer "
        f"{optimizer / GIB:,.2f}{adapters} = {total:,.2f} GiB; activations of {train.token_budget} tokens on top"
    )


def adapter_parameters(train: TrainConfig, size: ModelSize) -> int:
    """Parameters of the LoRA adapters: rank * (inputs + outputs) for each layer they go on (Hu et al. 2021).

    Without the layers: of those of a usual decoder of that size, whose width is about 128 times its depth.
    """
    lora = train.lora
    if size.linear:
        return sum(lora.rank * (a + b) for name, a, b in size.linear if _is_target(name, lora.targets))
    # N = 12 d^2 l and d = 128 l give the width d; 18 d rank parameters a block of 12 d^2.
    width = 128 * ((size.parameters or 0) / (12 * 128**2)) ** (1 / 3)
    return round((size.parameters or 0) * 1.5 * lora.rank / width) if width else 0


def _is_target(name: str, targets: str | list[str]) -> bool:
    """Whether adapters go on a layer, by the rules of peft: `all-linear`, a pattern of whole names, or last parts."""
    if targets == "all-linear":
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)
