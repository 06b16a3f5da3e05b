"""`--dry-run`: what a run would do, with row counts and memory, before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

from toolace.config import Config, SyntheticSource, TrainConfig
from toolace.engines.models import resolve_model
from toolace.storage import DONE, Store

ADAM_BYTES = 12
"""Bytes a trained parameter for float32 master weights and two Adam moments."""


def describe_plan(config: Config) -> str:
    """The plan as text. Reads the model's files where they are local, never its weights."""
    lines = [f"run        {config.run_dir}", f"model      {config.model.path} ({_size(config)})"]
    source = config.data.train
    if isinstance(source, SyntheticSource):
        rows: int | None = source.rows
        lines.append(f"data       {source.rows} synthetic rows (profile {source.profile}, seed {source.seed})")
    else:
        rows = source.limit
        lines.append(f"data       {source.path} ({source.format}{f', first {rows} rows' if rows else ''})")
    draws = f"{config.probe.k} draws" if config.probe.mode == "full" else f"at most {config.probe.k} draws"
    pool = f"{rows} samples" if rows else "every sample"
    actors = f"{config.rollout.min_actors} to {config.rollout.max_actors}"
    lines.append(f"probe      {pool}, {draws} each, rule {config.select.rule}; {actors} {config.engine.kind} actors")
    train = config.train
    how = f"LoRA rank {train.lora.rank}" if train.method == "lora" else "all weights"
    length = f"{train.target_tokens} target tokens" if train.target_tokens else f"{train.epochs:g} epochs"
    lines.append(
        f"train      {how}, {length}, batch {train.global_batch}, ZeRO-{train.zero_stage}, {train.workers} workers"
    )
    parameters = _parameters(config)
    if parameters:
        lines.append(
            f"memory     {_training_memory(parameters, train):.2f} GiB a training worker for weights and optimizer"
        )
        lines.append(
            f"           {_bytes(config) * parameters / 2**30:.2f} GiB an engine for weights, KV cache beside it"
        )
    lines.append("stages")
    for name in stage_names(config):
        state = "done" if Store(config.run_dir).exists(f"{name}/{DONE}") else "to do"
        lines.append(f"  {name:<24} {state}")
    return "\n".join(lines)


def stage_names(config: Config) -> list[str]:
    """All stages of a run in their order; a run may stop before its last round."""
    rounds = config.rounds
    evaluations = [f"eval-{split}" for split in config.evaluate.splits]
    names = ["data", *(f"base/{name}" for name in evaluations)]
    if rounds.bootstrap_rows:
        names += [f"bootstrap/{name}" for name in ("corpus", "train", *evaluations)]
    for number in range(1, rounds.max_rounds + 1):
        names += [f"round-{number}/{name}" for name in ("probe", "select", "corpus", "train", *evaluations)]
    if rounds.plain_sft:
        names += [f"plain_sft/{name}" for name in ("corpus", "train", *evaluations)]
    return names


def _parameters(config: Config) -> int | None:
    """Parameters of a local model, from the headers of its safetensors files."""
    folder = Path(resolve_model(config.model.path))
    total = 0
    for file in folder.glob("*.safetensors") if folder.is_dir() else ():
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                count = 1
                for size in tensor["shape"]:
                    count *= size
                total += count
    return total or None


def _size(config: Config) -> str:
    parameters = _parameters(config)
    return f"{parameters / 1e6:,.1f} M parameters" if parameters else "size known when it is loaded"


def _bytes(config: Config) -> int:
    return (
        4
        if config.model.dtype == "float32" or not (config.rollout.gpus_per_actor or config.model.dtype == "bfloat16")
        else 2
    )


def _training_memory(parameters: int, train: TrainConfig) -> float:
    """GiB a worker: weights and gradients in the training precision, optimizer state; ZeRO divides its parts."""
    weight = 2 if train.precision == "bf16" else 4
    share = 1.0 if train.method == "full" else min(1.0, train.lora.rank / 256)
    weights = parameters * weight / (train.workers if train.zero_stage == 3 else 1)
    gradients = parameters * share * weight / (train.workers if train.zero_stage >= 2 else 1)
    optimizer = parameters * share * ADAM_BYTES / (train.workers if train.zero_stage >= 1 else 1)
    return (weights + gradients + optimizer) / 2**30
