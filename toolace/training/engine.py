"""The DeepSpeed engine of one worker: process group, model, adapters, optimizer, and the weights out of it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from toolace.engines.models import resolve_model
from toolace.errors import ConfigError, TrainingError
from toolace.training.spec import TrainSpec

Weights = dict[str, Any]
"""Trained parameters by name, as CPU tensors."""


@dataclass(frozen=True)
class Worker:
    """One process of the training: its place in the group and its device ("cpu" or "cuda:0").

    `owns_group`: the process group was made here, so it is closed here; under Ray it is Ray's.
    """

    rank: int
    world_size: int
    device: str
    owns_group: bool


@dataclass
class TrainEngine:
    """What the step loop drives.

    skips_logits: the model can leave out logits that carry no loss. plain: ZeRO stage 0, where DeepSpeed is data
    parallelism over an ordinary optimizer, and the loop does the clipping and, for bf16, the autocast.
    """

    ds: Any
    worker: Worker
    skips_logits: bool
    plain: bool
    zero3_context: Any = None


def start_worker(spec: TrainSpec) -> Worker:
    """Join the process group named by the environment (torchrun or Ray set it), or be a group of one.

    Sets the number of CPU threads and the device. Must run before anything imports deepspeed, whose choice of
    accelerator is made at import.
    """
    if spec.kind == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    import torch
    import torch.distributed as dist

    backend = "nccl" if spec.kind == "cuda" else "gloo"
    local_rank = int(os.environ.setdefault("LOCAL_RANK", "0"))
    if spec.kind == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("train.gpus_per_worker is set, but this worker sees no GPU. Set it to 0 to use CPUs")
        # A worker sees all GPUs of its node's workers, or only its own: both are in local order.
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    owns_group = not dist.is_initialized()
    if owns_group:
        if "RANK" in os.environ and "MASTER_ADDR" in os.environ:
            dist.init_process_group(backend)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(spec.settings.threads_per_worker or max(1, len(os.sched_getaffinity(0)) // local_size))
    device = f"cuda:{torch.cuda.current_device()}" if spec.kind == "cuda" else "cpu"
    return Worker(dist.get_rank(), dist.get_world_size(), device, owns_group)


def deepspeed_config(spec: TrainSpec, parameters: int) -> dict[str, Any]:
    """DeepSpeed settings. `parameters`: trainable parameters, which bound the communication buckets.

    One "gradient accumulation step" on paper: the loop itself says which micro-batch ends a step, because their
    number varies, and weighs the loss by the global batch, so DeepSpeed must not average over micro-batches.
    """
    settings = spec.settings
    plain = settings.zero_stage == 0
    bucket = max(1024, min(50_000_000, parameters))
    zero: dict[str, Any] = {"stage": settings.zero_stage, "overlap_comm": spec.kind == "cuda"}
    if settings.zero_stage > 0:
        zero |= {"contiguous_gradients": True, "reduce_bucket_size": bucket, "allgather_bucket_size": bucket}
    if settings.zero_stage == 3:
        # Small parameters stay whole on every worker; "small" is relative, so that small models are partitioned too.
        zero |= {
            "stage3_param_persistence_threshold": min(100_000, parameters // 1000),
            "stage3_prefetch_bucket_size": bucket,
            "stage3_max_live_parameters": 1_000_000_000,
        }
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        # Stage 0 clips without telling the norm, and in bf16 would accumulate gradients in bf16: the loop does both
        # better there. The other stages keep float32 master weights and accumulate in float32.
        "gradient_clipping": 0.0 if plain else settings.grad_clip,
        "zero_optimization": zero,
        "steps_per_print": None,
    }
    if settings.precision == "bf16" and not plain:
        config |= {"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}}
    return config


def load_base(spec: TrainSpec, *, master: bool = False) -> Any:
    """The model to start from, in the precision of training, with SDPA attention. Raises `TrainingError`.

    `master`: in the precision of the weights that the optimizer updates directly, which stage 0 needs.
    """
    import torch
    from transformers import AutoModelForCausalLM

    bf16 = spec.settings.precision == "bf16" and not (master and spec.settings.method == "full")
    dtype = torch.bfloat16 if bf16 else torch.float32
    try:
        return AutoModelForCausalLM.from_pretrained(resolve_model(spec.model), dtype=dtype, attn_implementation="sdpa")
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot load the model {spec.model} for training: {error}") from error


def add_adapters(spec: TrainSpec, model: Any, *, master: bool = False) -> Any:
    """The model with fresh LoRA adapters, everything else frozen; unchanged for full training.

    `master`: adapters in float32 whatever the model is in."""
    if spec.settings.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    lora = spec.settings.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config, autocast_adapter_dtype=master)
    except ValueError as error:
        raise TrainingError(f"train.lora does not fit {spec.model}: {error}") from error


def build_engine(spec: TrainSpec, worker: Worker) -> TrainEngine:
    """Model, adapters and optimizer in a DeepSpeed engine. The same weights on every worker, by `spec.seed`."""
    import inspect
    import logging

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    import deepspeed
    import torch

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # On CPU DeepSpeed would compile a shared-memory operator at start: a minute, and a failure where there is no
    # compiler. Marked as not compatible it is left out, and gloo does the work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    torch.manual_seed(spec.seed)
    settings = spec.settings
    zero3: Any = None
    if settings.zero_stage == 3:
        from transformers.integrations import HfDeepSpeedConfig

        # While this object lives, from_pretrained partitions parameters as it loads them.
        zero3 = HfDeepSpeedConfig(deepspeed_config(spec, 50_000_000))
    plain = settings.zero_stage == 0
    model = load_base(spec, master=plain)
    skips = "logits_to_keep" in inspect.signature(model.forward).parameters
    model.config.use_cache = False
    model = add_adapters(spec, model, master=plain)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if settings.zero_stage != 3:
        model.to(worker.device)
    model.train()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise TrainingError(f"no trainable parameter in {spec.model} with train.lora.targets={settings.lora.targets!r}")
    # ZeRO-3 leaves an empty tensor behind each parameter that it partitions, with the true size beside it.
    count = sum(getattr(parameter, "ds_numel", parameter.numel()) for _, parameter in named)
    # Biases and norms are not decayed (Loshchilov & Hutter 2019 decay weights of layers; the usual split by name,
    # since a partitioned parameter has lost its shape).
    exempt = [name.endswith("bias") or "norm" in name for name, _ in named]
    groups = []
    for decay, spared in ((settings.weight_decay, False), (0.0, True)):
        members = [parameter for (_, parameter), no in zip(named, exempt, strict=True) if no == spared]
        if members:
            groups.append({"params": members, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, lr=settings.lr)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=deepspeed_config(spec, count))
    return TrainEngine(engine, worker, skips, plain, zero3)


def gather_weights(engine: TrainEngine) -> Weights | None:
    """The trained parameters on rank 0, None elsewhere. Every rank must call it: partitioned ones are collected.

    Raises `TrainingError` when a collected parameter is empty (what a missed collection of ZeRO-3 looks like).
    """
    import deepspeed

    first = engine.worker.rank == 0
    weights: Weights = {}
    for name, parameter in engine.ds.module.named_parameters():
        if not parameter.requires_grad:
            continue
        with deepspeed.zero.GatheredParameters([parameter], enabled=engine.zero3_context is not None):
            if first:
                weights[name] = parameter.detach().to("cpu", copy=True)
    empty = [name for name, value in weights.items() if value.numel() == 0 or ("lora_" in name and value.ndim < 2)]
    if empty:
        raise TrainingError(f"{len(empty)} trained parameters came out empty, such as {empty[0]}; nothing is exported")
    return weights if first else None


def close_engine(engine: TrainEngine) -> None:
    """Free the engine, so that this process can load other models."""
    if engine.zero3_context is not None:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        engine.zero3_context = None
    engine.ds.destroy()
    engine.ds = None


def stop_worker(worker: Worker) -> None:
    """Leave the process group, where `start_worker` made it."""
    if worker.owns_group:
        import deepspeed

        if deepspeed.comm.is_initialized():
            deepspeed.comm.destroy_process_group()
        else:
            import torch.distributed as dist

            dist.destroy_process_group()
