"""What does the refining endpoint cost, beside `ray.serve.llm`'s own app on the same engine settings?

    python benchmarks/serving.py                       # builtin:tiny_base, 1, 8 and 32 concurrent clients

One run, one model: (1) the library's own OpenAI app; (2) our endpoint, requests without refinement; (3) our endpoint, a
single pass, adaptive and fixed 3 rounds of the same requests; (4) the same with n-gram drafting, and whether its greedy
answers equal those without. Each app is started alone, warmed up, loaded by closed-loop clients, and ended. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from toolace.calls import Call, match_calls
from toolace.calls.schema import Sample
from toolace.serving.config import ServeConfig, load_serve_config

FIXED_ROUNDS = 3


@dataclass(slots=True)
class Load:
    """What a closed loop of clients saw: seconds and response of each request, and the seconds of the whole."""

    seconds: list[float] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    wall: float = 0.0
    errors: int = 0

    def quantile(self, q: float) -> float:
        """A latency quantile, milliseconds."""
        ordered = sorted(self.seconds)
        return round(1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))], 2) if ordered else float("nan")

    @property
    def per_second(self) -> float:
        return round(len(self.seconds) / self.wall, 2)

    def mean(self, read: Callable[[dict[str, Any]], float]) -> float:
        return round(statistics.fmean(map(read, self.responses)), 3)


def requests_of(samples: list[Sample], model: str, refinement: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The chat bodies of samples; `refinement` None leaves our field out (the library's app)."""
    beside = {} if refinement is None else {"refinement": refinement}
    return [
        {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in sample.chat.messages],
            "tools": [tool.openai() for tool in sample.chat.tools],
            "temperature": 0,
            "max_tokens": 96,
            **beside,
        }
        for sample in samples
    ]


async def load(url: str, bodies: list[dict[str, Any]], clients: int) -> Load:
    """Send all bodies over `clients` connections, each the next as soon as its last is answered."""
    import httpx

    seen = Load(responses=[{}] * len(bodies))
    order = iter(enumerate(bodies))
    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=clients)) as client:

        async def one() -> None:
            for place, body in order:
                began = time.perf_counter()
                response = await client.post(url, json=body)
                seen.seconds.append(time.perf_counter() - began)
                if response.status_code != 200:
                    seen.errors += 1
                seen.responses[place] = response.json()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        seen.wall = time.perf_counter() - began
    return seen


def message_of(response: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
    """Content and calls, to compare answers."""
    message = response["choices"][0]["message"]
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
    return message.get("content"), calls


def first_right(sample: Sample, response: dict[str, Any]) -> bool:
    """Whether the first pass of a refined response already was the reference."""
    step = response["refinement"]["steps"][0]
    calls = [
        Call(name=c["function"]["name"], arguments=json.loads(c["function"]["arguments"])) for c in step["tool_calls"]
    ]
    if not sample.reference.calls:
        return not calls and (step["content"] or "").strip() == sample.reference.content.strip()
    return bool(match_calls(calls, sample.reference.calls).correct)


@contextmanager
def served(config: ServeConfig, *, library: bool) -> Iterator[str]:
    """A Ray with one app on it: ours, or the library's on the same engine. Yields the base URL."""
    import ray
    from ray import serve

    from toolace.serving.app import build, llm_config

    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
    serve.start(http_options={"host": "127.0.0.1", "port": config.port}, proxy_location="HeadOnly")
    try:
        if library:
            from ray.serve.llm import build_openai_app

            serve.run(build_openai_app({"llm_configs": [llm_config(config)]}), name="library", route_prefix="/")
        else:
            serve.run(build(config), name="toolace", route_prefix="/")
        yield f"http://127.0.0.1:{config.port}/v1/chat/completions"
    finally:
        serve.shutdown()
        ray.shutdown()


def measure(url: str, samples: list[Sample], model: str, options: argparse.Namespace) -> dict[str, dict[str, Load]]:
    """Loads by mode and number of clients."""
    modes: dict[str, dict[str, Any]] = {
        "single": {"mode": "off"},
        "adaptive": {"mode": "adaptive", "return_rounds": True},
        "fixed": {"mode": "fixed", "max_rounds": FIXED_ROUNDS},
    }
    run: Callable[[Awaitable[Load]], Load] = lambda work: asyncio.run(_await(work))  # noqa: E731
    run(load(url, requests_of(samples[:64], model, modes["adaptive"]), 8))
    return {
        str(clients): {name: run(load(url, requests_of(samples, model, mode), clients)) for name, mode in modes.items()}
        for clients in options.clients
    }


async def _await(work: Awaitable[Load]) -> Load:
    return await work


def summary(samples: list[Sample], loads: dict[str, Load]) -> dict[str, Any]:
    """One row of `by_concurrency`."""
    single, adaptive, fixed = (loads[name] for name in ("single", "adaptive", "fixed"))
    right = [i for i, (s, r) in enumerate(zip(samples, adaptive.responses, strict=True)) if first_right(s, r)]
    ratio = None
    if right:
        told = [adaptive.responses[i]["refinement"]["steps"] for i in right]
        whole = statistics.median(sum(step["ms"] for step in steps) for steps in told)
        first = statistics.median(steps[0]["ms"] for steps in told)
        ratio = round(whole / first, 3)
    return {
        "single_p50_ms": single.quantile(0.5),
        "single_p95_ms": single.quantile(0.95),
        "adaptive_p50_ms": adaptive.quantile(0.5),
        "adaptive_p95_ms": adaptive.quantile(0.95),
        "fixed3_p50_ms": fixed.quantile(0.5),
        "fixed3_p95_ms": fixed.quantile(0.95),
        "right_first_p50_ratio": ratio,
        "right_first": len(right),
        "mean_rounds": adaptive.mean(lambda r: r["refinement"]["rounds"]),
        "single_per_s": single.per_second,
        "adaptive_per_s": adaptive.per_second,
        "fixed3_per_s": fixed.per_second,
        "errors": single.errors + adaptive.errors + fixed.errors,
    }


def hit_rate(loads: dict[str, Load]) -> float:
    """Cached share of the tokens that the refine passes could have from the first pass: its prompt and its answer."""
    cached = possible = 0
    for response in loads["adaptive"].responses:
        steps = response["refinement"]["steps"]
        cached += sum(step["cached_tokens"] for step in steps[1:])
        possible += sum(step["prompt_tokens"] + step["tokens"] - 1 for step in steps[:-1])
    return round(cached / possible, 3) if possible else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:tiny_base", help="model directory, hub name or builtin name")
    parser.add_argument("--requests", type=int, default=400, help="requests of each mode and concurrency")
    parser.add_argument("--equality", type=int, default=2000, help="greedy answers compared between draftings")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="numbers of concurrent clients")
    parser.add_argument("--profile", default="demo", help="synthetic profile of the requests")
    parser.add_argument("--port", type=int, default=18431)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="serving setting")
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from toolace.data.synthetic import generate

    base = [f"model.path={options.model}", "model.max_model_len=1024", "model_id=bench", f"port={options.port}"]
    config = load_serve_config(None, [*base, *options.set])
    rows = generate(2 * max(options.requests, options.equality), 77, profile=options.profile)
    samples = [sample for sample in rows if sample.kind != "dependent"]
    bodies = samples[: options.requests]
    compared = requests_of(samples[: options.equality], "bench", {"mode": "off"})
    both: dict[str, list[dict[str, Any]]] = {}
    measured: dict[str, dict[str, dict[str, Load]]] = {}

    with served(config, library=True) as url:
        asyncio.run(load(url, requests_of(samples[:64], "bench", None), 8))
        library = {c: asyncio.run(load(url, requests_of(bodies, "bench", None), c)) for c in options.clients}
    say("ray.serve.llm's own app", {c: [seen.per_second, seen.quantile(0.5)] for c, seen in library.items()})
    for drafting in ("none", "ngram"):
        with served(config.model_copy(update={"drafting": drafting}), library=False) as url:
            measured[drafting] = measure(url, bodies, "bench", options)
            both[drafting] = asyncio.run(load(url, compared, 32)).responses
        say(f"drafting {drafting}", {c: summary(bodies, loads) for c, loads in measured[drafting].items()})
    equal = sum(message_of(a) == message_of(b) for a, b in zip(both["none"], both["ngram"], strict=True))
    most, fewest = str(max(options.clients)), min(options.clients)
    ratio = measured["none"][most]["single"].per_second / library[int(most)].per_second
    best = "ngram" if equal == len(compared) else "none"
    result = {
        "passthrough_throughput_ratio": round(ratio, 3),
        "added_p50_ms": round(measured["none"][str(fewest)]["single"].quantile(0.5) - library[fewest].quantile(0.5), 2),
        "by_concurrency": {c: summary(bodies, loads) for c, loads in measured[best].items()},
        "prefix_hit_rate": hit_rate(measured["none"][str(fewest)]),
        "drafting": best,
        "draft_answers_equal": equal,
        "draft_answers_total": len(compared),
        "by_drafting": {name: {c: summary(bodies, x) for c, x in loads.items()} for name, loads in measured.items()},
        "library": {str(c): {"per_s": x.per_second, "p50_ms": x.quantile(0.5)} for c, x in library.items()},
    }
    print(json.dumps(result))


def say(what: str, figures: Any) -> None:
    print(f"{what}: {json.dumps(figures)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
