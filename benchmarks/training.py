"""How fast is the step loop? Target tokens/s beside a bare PyTorch loop on the same batches, in one run.

    python benchmarks/training.py [--model builtin:tiny_base] [--steps 30] [--set zero_stage=2 precision=bf16] [--ray]

Three loops take turns, one step each, so that all meet the same state of the machine:
  ours    the loop of `toolace.training` on a DeepSpeed engine
  bare    the same micro-batches and the same loss with `backward`, clipping and AdamW, nothing else
  padded  the bare loop on the same rows in shuffled order, a fixed number of rows a micro-batch, each padded to its
          longest row
`--ray` adds a run through Ray Train, start-up apart. The corpus is that of the demo: direct rows, and refinement rows
for a part of the samples. Attention and logits are made in the same way in all. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from toolace.config import TrainConfig
from toolace.corpus import CorpusRow, direct_row
from toolace.storage import Store
from toolace.training.batches import MicroBatch, Plan, pack_step, padding_share
from toolace.training.dataset import TokenTable, tokenise
from toolace.training.engine import build_engine, close_engine, load_base, start_worker, stop_worker
from toolace.training.loop import collate, plan_run, take_step, target_logits
from toolace.training.spec import TrainSpec

WARM_UP = 3
"""Steps of each loop before the clock starts."""


def corpus(samples: int) -> Iterator[CorpusRow]:
    """Direct rows of generated samples, and a refinement row with a damaged draft for every third."""
    from toolace.data.synthetic import generate
    from toolace.data.synthetic_damage import corrupt
    from toolace.rendering import refine_turn

    rng = random.Random(0)
    for number, sample in enumerate(generate(samples, 1, profile="house")):
        yield direct_row(sample)
        if number % 3 == 0:
            chat = refine_turn(sample.chat, corrupt(sample, rng))
            yield CorpusRow(id=f"{sample.id}/fix", sample_id=sample.id, kind="fix", chat=chat, target=sample.reference)


class Bare:
    """A plain PyTorch training loop, as short as it gets."""

    def __init__(self, spec: TrainSpec, table: TokenTable, device: str) -> None:
        import torch

        self.model = load_base(spec, master=True).to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=spec.settings.lr, weight_decay=0.0)
        self.bf16 = spec.settings.precision == "bf16"
        self.table, self.device = table, device

    def step(self, batches: list[MicroBatch], target_tokens: int) -> None:
        """One optimizer step."""
        import torch

        for micro in batches:
            batch = collate(self.table, micro, self.device)
            with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16):
                logits = target_logits(self.model, batch, True)
                labels = batch.labels[batch.labels != -100]
                loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / target_tokens
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def fixed_batches(table: TokenTable, rows: Any, size: int, seed: int) -> list[MicroBatch]:
    """A step's rows in shuffled order, `size` rows a micro-batch."""
    order = np.random.default_rng(seed).permutation(rows)
    parts = [order[first : first + size] for first in range(0, len(order), size)]
    return [MicroBatch(tuple(int(row) for row in part), int(table.lengths[part].max())) for part in parts]


def compare(spec: TrainSpec, table: TokenTable, plan: Plan, steps: int) -> dict[str, Any]:
    """Target tokens/s of the three loops over the same steps, and the padding of both layouts."""
    worker = start_worker(spec)
    engine = build_engine(spec, worker)
    bare, padded = Bare(spec, table, worker.device), Bare(spec, table, worker.device)
    layouts = [pack_step(rows, table.lengths, spec.settings.token_budget, 1)[0] for rows in plan.steps]
    mean_rows = max(1, round(np.mean([len(micro.rows) for layout in layouts for micro in layout])))
    wall = dict.fromkeys(("ours", "bare", "padded"), 0.0)
    cpu = dict(wall)
    tokens = real = computed = 0

    def timed(name: str, counted: bool, work: Callable[[], Any]) -> None:
        _synchronize(worker.device)
        before, before_cpu = time.perf_counter(), time.process_time()
        work()
        _synchronize(worker.device)
        if counted:
            wall[name] += time.perf_counter() - before
            cpu[name] += time.process_time() - before_cpu

    for step in range(steps + WARM_UP):
        counted = step >= WARM_UP
        at = step % len(plan)
        rows = plan.steps[at]
        targets = int(table.targets[rows].sum())
        fixed = fixed_batches(table, rows, mean_rows, step)
        turns: list[tuple[str, Callable[[], Any]]] = [
            ("ours", partial(take_step, spec, engine, table, plan, at)),
            ("bare", partial(bare.step, layouts[at], targets)),
            ("padded", partial(padded.step, fixed, targets)),
        ]
        for name, work in turns[step % 3 :] + turns[: step % 3]:
            timed(name, counted, work)
        if counted:
            tokens += targets
            real += int(table.lengths[rows].sum())
            computed += sum(micro.tokens for micro in fixed)
    close_engine(engine)
    stop_worker(worker)
    return {
        "ours_target_tokens_per_s": round(tokens / wall["ours"], 1),
        "bare_target_tokens_per_s": round(tokens / wall["bare"], 1),
        "ratio": round(wall["bare"] / wall["ours"], 3),
        "ratio_cpu_time": round(cpu["bare"] / cpu["ours"], 3),
        "fixed_size_target_tokens_per_s": round(tokens / wall["padded"], 1),
        "padding_share": round(padding_share(plan, table.lengths, spec.settings.token_budget), 4),
        "fixed_size_padding_share": round(1 - real / computed, 4),
        "fixed_size_rows": mean_rows,
    }


def through_ray(spec: TrainSpec, out: Path, steps: int) -> dict[str, float]:
    """A whole run on Ray Train: target tokens/s within the steps, and all the rest of the time."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from toolace.training.launch import run_training

    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    settings = spec.settings.model_copy(update={"target_tokens": None})
    rows = len(TokenTable.open(Store(spec.tokens)).ids)
    settings = settings.model_copy(update={"epochs": steps * settings.global_batch / rows})
    began = time.perf_counter()
    result = run_training(spec.model_copy(update={"out": str(out), "settings": settings}))
    total = time.perf_counter() - began
    ray.shutdown()
    return {
        "ray_target_tokens_per_s": round(result.target_tokens / result.seconds, 1),
        "ray_other_seconds": round(total - result.seconds, 1),
    }


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def main() -> None:
    """Run the benchmark and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:tiny_base")
    parser.add_argument("--template", help="a project chat template, for a model whose own has no tools")
    parser.add_argument("--samples", type=int, default=1500, help="generated samples in the corpus")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each loop")
    parser.add_argument("--ray", action="store_true", help="also run through Ray Train")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the section `train`")
    arguments = parser.parse_args()
    from toolace.engines.models import resolve_model
    from toolace.rendering import Renderer

    settings: dict[str, Any] = {"method": "full", "precision": "fp32", "zero_stage": 0, "token_budget": 2048}
    for text in arguments.set:
        key, _, value = text.partition("=")
        settings[key] = yaml.safe_load(value)
    with tempfile.TemporaryDirectory() as folder:
        tokens = Store(str(Path(folder) / "tokens"))
        renderer = Renderer.from_pretrained(
            resolve_model(arguments.model), format="pythonic", template=arguments.template
        )
        counts = tokenise(corpus(arguments.samples), renderer.example, tokens, max_length=1024)
        print("corpus", counts, flush=True)
        spec = TrainSpec(
            model=arguments.model, tokens=tokens.uri, out=f"{folder}/out", settings=TrainConfig(**settings)
        )
        table = TokenTable.open(tokens)
        found = compare(spec, table, plan_run(spec, table), arguments.steps)
        if arguments.ray:
            found |= through_ray(spec, Path(folder) / "ray", arguments.steps)
    print(json.dumps({**found, "settings": settings, "threads": spec.settings.threads_per_worker}))


if __name__ == "__main__":
    main()
