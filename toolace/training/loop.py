"""The step loop: framework-free, so it runs in Ray Train, under plain `torchrun`, or alone in one process.

The loss of a step is the sum of the negative log-likelihood over all target tokens of the *global* batch, divided by
their number. DeepSpeed averages gradients over the workers, so each micro-batch's loss is its sum times the number of
workers, divided by the global number of target tokens: the mean of those is exactly the loss wanted. Nothing depends
on how rows are dealt to workers and micro-batches, except for the order in which numbers are added.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolace.engines.weights import check_weight_files
from toolace.errors import EngineError, TrainingError
from toolace.storage import Store
from toolace.training.batches import MicroBatch, Plan, learning_rate, pack_step, plan_steps
from toolace.training.checkpoint import Checkpoints
from toolace.training.dataset import TokenTable
from toolace.training.engine import (
    TrainEngine,
    Worker,
    build_engine,
    close_engine,
    gather_weights,
    start_worker,
    stop_worker,
)
from toolace.training.export import MODEL, export_model
from toolace.training.spec import TrainResult, TrainSpec
from toolace.training.steplog import Record, StepLog, tenth_by_kind
from toolace.training.watchdog import Watchdog

RESULT = "result.json"
CHECKPOINTS = "checkpoints"
CANARIES = 2
"""Prompts in the exported model's canary."""
Reporter = Callable[[Mapping[str, Any]], None]
"""Called on rank 0 after every step with the step's record."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch as tensors. input_ids: (rows, width) int64. labels: (rows, kept) int64, -100 where no loss; they
    belong to the last `kept` predictions of each row. kinds: (target tokens,) int64, what each of the tokens that
    carry loss teaches, in the order of the rows: its place in the table's `taught`."""

    input_ids: Any
    labels: Any
    kinds: Any


def finished(spec: TrainSpec) -> TrainResult | None:
    """The result of a run that is complete, else None. Raises `TrainingError` when it was made from other settings."""
    out = Store(spec.out)
    if not out.exists(RESULT):
        return None
    result = TrainResult.model_validate(out.read_json(RESULT))
    if result.key != spec.key:
        raise TrainingError(
            f"{out.uri} holds a finished training run with other settings. Use another directory, restore the "
            "settings, or delete it to train anew"
        )
    try:
        check_weight_files(out.at(MODEL))
    except EngineError:
        return None  # the model was deleted or damaged since: the training is done anew
    return result


def plan_run(spec: TrainSpec, table: TokenTable) -> Plan:
    """The steps of a run: the same on every worker and after every restart."""
    settings = spec.settings
    return plan_steps(
        table.lengths,
        table.targets,
        global_batch=settings.global_batch,
        seed=spec.seed,
        epochs=settings.epochs,
        target_tokens=settings.target_tokens,
    )


def checkpoints_of(spec: TrainSpec, table: TokenTable, plan: Plan, workers: int) -> Checkpoints:
    """The run's checkpoints, bound to what must not change between them."""
    identity = {"plan": plan.key, "tokens": table.digest, "workers": workers, **spec.made_from()}
    return Checkpoints(Store(spec.out).sub(CHECKPOINTS), identity, spec.settings.keep_checkpoints)


def train(spec: TrainSpec, reporter: Reporter | None = None) -> TrainResult | None:
    """Train, export and publish; continues from the latest checkpoint. Run it in every process of the group.

    Returns the result on rank 0, None on the others; at once where the run is already complete. Raises
    `TrainingError`, on every rank alike, for what another attempt would meet again.
    """
    if (done := finished(spec)) is not None:
        return done
    out = Store(spec.out)
    table = TokenTable.open(Store(spec.tokens))
    plan = plan_run(spec, table)
    worker = start_worker(spec)
    try:
        with Watchdog(spec.settings.no_progress_s) as watchdog:
            checkpoints = checkpoints_of(spec, table, plan, worker.world_size)
            engine = build_engine(spec, worker)
            watchdog.beat()
            try:
                start = checkpoints.load(engine)
                records = run_steps(spec, engine, table, plan, start, checkpoints, reporter, watchdog.beat)
                began = time.monotonic()
                weights = gather_weights(engine)
            finally:
                close_engine(engine)
            if weights is None:
                return None
            watchdog.beat()
            prompts = [table.row(int(row))[: table.starts[row]].tolist() for row in plan.steps[0][:CANARIES]]
            model = export_model(spec, weights, out, prompts)
            result = _result(spec, records, model, worker, plan, time.monotonic() - began)
            out.write_json(RESULT, result.model_dump())
            checkpoints.clear()
            return result
    finally:
        stop_worker(worker)


def run_steps(
    spec: TrainSpec,
    engine: TrainEngine,
    table: TokenTable,
    plan: Plan,
    start: int,
    checkpoints: Checkpoints,
    reporter: Reporter | None = None,
    beat: Callable[[], None] = lambda: None,
) -> list[Record]:
    """Take the optimizer steps from `start` to the end of the plan. Returns all records of the run on rank 0.

    `beat` is called after each step and each checkpoint, on every rank."""
    if engine.worker.rank != 0:
        for step in range(start, len(plan)):
            take_step(spec, engine, table, plan, step)
            beat()
            if _checkpoint_due(spec, plan, step):
                checkpoints.save(engine, step + 1)
                beat()
        return []
    with StepLog(Store(spec.out), start) as log:
        for step in range(start, len(plan)):
            record = take_step(spec, engine, table, plan, step)
            log.write(record)
            beat()
            if reporter is not None:
                reporter(record)
            if _checkpoint_due(spec, plan, step):
                log.flush()
                checkpoints.save(engine, step + 1)
                beat()
        return log.records()


def take_step(spec: TrainSpec, engine: TrainEngine, table: TokenTable, plan: Plan, step: int) -> Record:
    """One optimizer step over one global batch. Every rank must call it; all get the same record."""
    import torch
    import torch.distributed as dist

    began = time.monotonic()
    worker, settings = engine.worker, spec.settings
    rows = plan.steps[step]
    layout = pack_step(rows, table.lengths, settings.token_budget, worker.world_size)
    target_tokens = int(table.targets[rows].sum())
    taught = table.taught
    # Dropout draws from a stream of its own for every step and rank: a resumed run draws what the other would have.
    torch.manual_seed(int(np.random.SeedSequence([spec.seed, step, worker.rank]).generate_state(1)[0]))
    scale = worker.world_size / target_tokens
    # [negative log-likelihood, rows consumed, sum of the CRC-32 of their ids, negative log-likelihood by kind]; exact
    # in float64 up to 2^21 rows.
    seen = torch.zeros(3 + len(taught), dtype=torch.float64, device=worker.device)
    mine = layout[worker.rank]
    autocast = engine.plain and settings.precision == "bf16"
    for number, micro in enumerate(mine):
        batch = collate(table, micro, worker.device)
        engine.ds.set_gradient_accumulation_boundary(number == len(mine) - 1)
        with torch.autocast(worker.device.split(":")[0], torch.bfloat16, enabled=autocast):
            total, each = loss_sum(target_logits(engine.ds, batch, engine.skips_logits), batch)
        engine.ds.backward(total * (scale if micro.rows else 0.0))
        if micro.rows:
            seen[0] += total.detach().double()
            seen[3:] += sum_by_kind(each, batch.kinds, len(taught))
            seen[1] += len(micro.rows)
            seen[2] += sum(zlib.crc32(table.ids[row].encode()) for row in micro.rows)
    lr = learning_rate(
        step, len(plan), peak=settings.lr, warmup_ratio=settings.warmup_ratio, schedule=settings.schedule
    )
    for group in engine.ds.optimizer.param_groups:
        group["lr"] = lr
    norm: Any = None
    if engine.plain:
        norm = torch.nn.utils.clip_grad_norm_(
            [parameter for parameter in engine.ds.module.parameters() if parameter.requires_grad], settings.grad_clip
        )
    engine.ds.step()
    dist.all_reduce(seen)
    nll, consumed, ids, *by_kind = seen.tolist()
    loss = nll / target_tokens
    tokens_by_kind = np.bincount(table.codes[rows], weights=table.targets[rows], minlength=len(taught))
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is {loss} at step {step} (learning rate {lr:.3g}). Lower train.lr, raise train.warmup_ratio, or "
            "use train.precision=fp32"
        )
    if int(consumed) != len(rows):
        raise TrainingError(f"step {step} consumed {int(consumed)} rows, not {len(rows)}")
    seconds = time.monotonic() - began
    return {
        "step": step,
        "of": len(plan),
        "loss": loss,
        "loss_by_kind": {
            kind: kind_nll / tokens
            for kind, kind_nll, tokens in zip(taught, by_kind, tokens_by_kind.tolist(), strict=True)
            if tokens
        },
        "lr": lr,
        "grad_norm": float(norm if norm is not None else engine.ds.get_global_grad_norm() or 0.0),
        "rows": len(rows),
        "rows_key": f"{int(ids):x}",
        "tokens": int(table.lengths[rows].sum()),
        "target_tokens": target_tokens,
        "padded_tokens": sum(micro.tokens for rank in layout for micro in rank),
        "seconds": round(seconds, 4),
        "target_tokens_per_s": round(target_tokens / seconds, 1),
    }


def collate(table: TokenTable, micro: MicroBatch, device: str) -> Batch:
    """Rows as tensors, padded on the right. An empty micro-batch becomes one row of two tokens without loss.

    No attention mask: with causal attention a token never sees the padding after it, and what the padding itself
    computes carries no loss. So attention can use its fast causal kernels.
    """
    import torch

    if not micro.rows:
        ids = torch.zeros((1, 2), dtype=torch.long, device=device)
        none = torch.full((1, 1), -100, dtype=torch.long, device=device)
        return Batch(ids, none, torch.zeros(0, dtype=torch.long, device=device))
    width = micro.width
    rows = np.array(micro.rows)
    first = int(table.starts[rows].min())
    ids_array = np.zeros((len(rows), width), dtype=np.int64)
    labels = np.full((len(rows), width - first), -100, dtype=np.int64)
    for number, row in enumerate(micro.rows):
        tokens, start = table.row(row), int(table.starts[row])
        ids_array[number, : len(tokens)] = tokens
        labels[number, start - first : len(tokens) - first] = tokens[start:]
    kinds = np.repeat(table.codes[rows], table.targets[rows])
    return Batch(*(torch.from_numpy(array).to(device) for array in (ids_array, labels, kinds)))


def target_logits(model: Any, batch: Batch, skips_logits: bool) -> Any:
    """The logits that predict the batch's target tokens: (target tokens, vocabulary), float32.

    Logits are made only for the positions that predict the last `kept` tokens, where the model can leave out others.
    """
    kept = batch.labels.shape[1]
    if skips_logits:
        logits = model(input_ids=batch.input_ids, use_cache=False, logits_to_keep=kept + 1).logits
    else:
        logits = model(input_ids=batch.input_ids, use_cache=False).logits[:, -(kept + 1) :]
    return logits[:, :-1][batch.labels != -100].float()


def loss_sum(logits: Any, batch: Batch) -> tuple[Any, Any]:
    """The summed negative log-likelihood of the batch's target tokens, nats, as a float32 scalar, and that of each
    token apart, detached: (target tokens,) float32. Without a target token the sum is 0 and still reaches every
    parameter, as collectives expect.
    """
    from torch.nn.functional import log_softmax, nll_loss

    labels = batch.labels[batch.labels != -100]
    log_probs = log_softmax(logits, dim=-1)  # the two halves of cross_entropy: the tokens' own losses come free
    each = -log_probs.detach().gather(1, labels[:, None])[:, 0]
    return nll_loss(log_probs, labels, reduction="sum"), each


def sum_by_kind(each: Any, kinds: Any, count: int) -> Any:
    """The losses of tokens added up by kind: (count,) float64. In the same order every time, also on a GPU."""
    import torch

    mine = kinds == torch.arange(count, device=kinds.device)[:, None]
    return torch.where(mine, each.double(), 0.0).sum(1)


def _checkpoint_due(spec: TrainSpec, plan: Plan, step: int) -> bool:
    """After the last step the export follows at once, so a checkpoint there would only cost time."""
    return (step + 1) % spec.settings.checkpoint_steps == 0 and step + 1 < len(plan)


def _result(
    spec: TrainSpec, records: list[Record], model: str, worker: Worker, plan: Plan, export_s: float
) -> TrainResult:
    tokens = sum(record["tokens"] for record in records)
    return TrainResult(
        model=model,
        steps=len(records),
        rows=sum(record["rows"] for record in records),
        epochs=len(plan) / plan.steps_per_epoch,
        target_tokens=sum(record["target_tokens"] for record in records),
        tokens=tokens,
        padding_share=1 - tokens / sum(record["padded_tokens"] for record in records),
        first_loss=records[0]["loss"],
        last_loss=records[-1]["loss"],
        first_loss_by_kind=tenth_by_kind(records),
        last_loss_by_kind=tenth_by_kind(records[::-1]),
        seconds=round(sum(record["seconds"] for record in records) + export_s, 3),
        workers=worker.world_size,
        precision=spec.settings.precision,
        key=spec.key,
    )
