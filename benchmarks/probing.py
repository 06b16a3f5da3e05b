"""Is probing through Ray Data and the worker as fast as vLLM itself, and what does stopping early save?

    python benchmarks/probing.py

On the same prompts, in one run: (1) `vllm.LLM.generate(n=k)` once as vLLM comes and once with the engine in its own
process, of which the faster one counts; (2) the probe program with all k draws; (3) the probe program in mode `exact`.
Generated tokens a second leave out start-up, which is shown apart. vLLM gets the same settings everywhere (dtype,
context, sequences, eager mode) and a warm-up before it is timed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from toolace.calls.schema import Sample
from toolace.config import EngineConfig, ModelConfig, ProbeConfig, RolloutConfig, SelectConfig


def load(options: argparse.Namespace) -> list[Sample]:
    """The pool that is probed: rows of the demo's kind."""
    from toolace.data.synthetic import generate

    return list(generate(options.rows, options.seed, profile="house"))


def raw(options: argparse.Namespace) -> dict[str, float]:
    """`LLM.generate(n=k)` on the rendered prompts; run in a process of its own."""
    began = time.perf_counter()
    from toolace.engines import resolve_model
    from toolace.rollouts.actor import open_codec

    model = model_config(options)
    codec = open_codec(model)
    prompts: list[Any] = [{"prompt_token_ids": list(codec.prompt(sample.chat))} for sample in load(options)]
    from vllm import LLM, SamplingParams

    gpu = options.gpus > 0
    llm = LLM(
        resolve_model(model.path),
        dtype=model.dtype if model.dtype != "auto" or gpu else "float32",
        max_model_len=model.max_model_len,
        max_num_seqs=options.max_num_seqs,
        enforce_eager=not gpu,
        enable_prefix_caching=True,
        **({"gpu_memory_utilization": options.gpu_memory_utilization} if gpu else {"kv_cache_memory_bytes": 2**30}),
    )
    sampling = SamplingParams(
        n=options.k, temperature=1.0, max_tokens=options.max_tokens, stop_token_ids=list(codec.stop_token_ids)
    )
    llm.generate(prompts[:8], sampling, use_tqdm=False)
    llm.reset_prefix_cache()
    started = time.perf_counter()
    outputs = llm.generate(prompts, sampling, use_tqdm=False)
    seconds = time.perf_counter() - started
    tokens = sum(len(answer.token_ids) for output in outputs for answer in output.outputs)
    return {"tokens": tokens, "tokens_per_s": tokens / seconds, "startup_s": started - began}


def ours(options: argparse.Namespace, folder: Path, mode: str) -> tuple[dict[str, float], dict[str, str]]:
    """The probe program over Ray Data; its speed and the label of every row."""
    from toolace.probing import probe
    from toolace.rollouts.dataset import RolloutJob, read_records, run_rollouts

    config = ProbeConfig.model_validate({"k": options.k, "mode": mode, "max_tokens": options.max_tokens})
    program = partial(probe, config=config, select=SelectConfig(), format="pythonic", run_seed=options.seed)
    out = str(folder / mode)
    (counts,) = run_rollouts(
        [RolloutJob(mode, str(folder / "samples"), program, out)],
        model=model_config(options),
        engine=EngineConfig(max_num_seqs=options.max_num_seqs, gpu_memory_utilization=options.gpu_memory_utilization),
        rollout=RolloutConfig(
            shard_rows=options.shard_rows,
            gpus_per_actor=options.gpus,
            min_actors=options.actors,
            max_actors=options.actors,
        ),
    ).values()
    if counts.failed:
        raise SystemExit(f"{counts.failed} rows failed: {counts.examples}")
    records = list(read_records(out))
    found = {
        "tokens": counts.generated_tokens,
        "draws": sum(record["n"] for record in records),
        "tokens_per_s": counts.generated_tokens / counts.seconds,
        "seconds": counts.seconds,
        "startup_s": counts.startup_seconds,
    }
    return found, {record["id"]: record["label"] for record in records}


def model_config(options: argparse.Namespace) -> ModelConfig:
    return ModelConfig.model_validate({"path": options.model, "max_model_len": 1024, "dtype": options.dtype})


def run_raw(layout: str, gpu: bool) -> dict[str, float]:
    """Start `raw` in a fresh process, with vLLM's own process layout or with the engine in that process."""
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"}
    if not gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    if layout == "one_process":
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        if not gpu:  # as the package's own engine has it; on a GPU it compiles
            environment.update(VLLM_CPU_OMP_THREADS_BIND="nobind", TORCHDYNAMO_DISABLE="1")
    command = [sys.executable, __file__, "--step", "raw", *sys.argv[1:]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:tiny_base", help="model directory, hub name or builtin name")
    parser.add_argument("--dtype", default="auto", help="auto: bfloat16 on GPU, float32 on CPU")
    parser.add_argument("--rows", type=int, default=300, help="samples of the demo pool")
    parser.add_argument("--k", type=int, default=8, help="draws a sample")
    parser.add_argument("--max-tokens", type=int, default=96, help="tokens of an answer at the most")
    parser.add_argument("--max-num-seqs", type=int, default=256, help="sequences decoded at the same time")
    parser.add_argument("--shard-rows", type=int, default=64, help="rows of a shard")
    parser.add_argument("--seed", type=int, default=1, help="of the pool and of the draws")
    parser.add_argument("--actors", type=int, default=1, help="engines of ours, which share the cores between them")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of an engine's actor; 0: CPU")
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.4, help="share of a GPU's memory, both sides")
    parser.add_argument("--step", choices=["raw"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "raw":
        print(json.dumps(raw(options)))
        return
    by_layout = {layout: run_raw(layout, options.gpus > 0) for layout in ("as_it_comes", "one_process")}
    for layout, figures in by_layout.items():
        print(f"vllm.LLM.generate, {layout}: {figures}", flush=True)

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from toolace.data.shards import write_shards
    from toolace.storage import Store

    ray.init(address="local", num_cpus=4, num_gpus=options.gpus, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(load(options), Store(str(folder / "samples")), options.shard_rows)
        full, full_labels = ours(options, folder, "full")
        print(f"probe, full: {full}", flush=True)
        exact, exact_labels = ours(options, folder, "exact")
        print(f"probe, exact: {exact}", flush=True)
    ray.shutdown()
    equal = sum(exact_labels[key] == label for key, label in full_labels.items())
    raw_speed = max(figures["tokens_per_s"] for figures in by_layout.values())
    result = {
        "ours_tokens_per_s": round(full["tokens_per_s"], 1),
        "raw_tokens_per_s": round(raw_speed, 1),
        "ratio": round(full["tokens_per_s"] / raw_speed, 3),
        "draws_exact": int(exact["draws"]),
        "draws_full": int(full["draws"]),
        "labels_equal_share": round(equal / len(full_labels), 5),
        "raw_as_it_comes_tokens_per_s": round(by_layout["as_it_comes"]["tokens_per_s"], 1),
        "raw_one_process_tokens_per_s": round(by_layout["one_process"]["tokens_per_s"], 1),
        "ours_startup_s": round(full["startup_s"], 1),
        "raw_startup_s": round(by_layout["as_it_comes"]["startup_s"], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
