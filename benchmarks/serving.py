"""What does the refining endpoint cost, beside `ray.serve.llm`'s own app on the same engine settings?

    python benchmarks/serving.py                       # builtin:tiny_base, 1, 8 and 32 concurrent clients

All apps run at once on one Ray, each with an engine of its own that idles while another is asked: the library's own
OpenAI app, ours, and ours with each way to make an unchanged round cheap (n-gram drafting, reading the draft in one
prompt pass, both). Closed-loop clients ask them by turns, some requests at a time, so that a machine that slows down
slows all of them. Then each way's greedy answers are compared with those of ours without it, in text and number of
tokens; `--turns 0` does only that. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from toolace.calls import Call, match_calls
from toolace.calls.schema import Sample
from toolace.engines.vllm import CPU_BLOCK_SIZE
from toolace.serving.config import ServeConfig, load_serve_config

FIXED_ROUNDS = 3
MODEL = "bench"


@dataclass(slots=True)
class Load:
    """What a closed loop of clients saw: seconds and response of each request in its place, and those of the whole."""

    seconds: list[float] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    wall: float = 0.0
    errors: int = 0

    def quantile(self, q: float) -> float:
        """A latency quantile, milliseconds."""
        ordered = sorted(self.seconds)
        return round(1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))], 2) if ordered else float("nan")

    def add(self, more: Load) -> None:
        """Put another load behind this one."""
        self.seconds += more.seconds
        self.responses += more.responses
        self.wall += more.wall
        self.errors += more.errors

    @property
    def per_second(self) -> float:
        return round(len(self.seconds) / self.wall, 2)


def requests_of(
    samples: list[Sample], model: str, refinement: dict[str, Any] | None, salt: str = "bench"
) -> list[dict[str, Any]]:
    """The chat bodies of samples; `refinement` None leaves our field out (the library's app). Requests with different
    salts share nothing in the prefix cache."""
    beside = {} if refinement is None else {"refinement": refinement}
    return [
        {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in sample.chat.messages],
            "tools": [tool.openai() for tool in sample.chat.tools],
            "temperature": 0,
            "max_tokens": 96,
            "cache_salt": salt,
            **beside,
        }
        for sample in samples
    ]


async def load(url: str, bodies: list[dict[str, Any]], clients: int) -> Load:
    """Send all bodies over `clients` connections, each the next as soon as its last is answered."""
    import httpx

    seen = Load(seconds=[0.0] * len(bodies), responses=[{}] * len(bodies))
    order = iter(enumerate(bodies))
    async with httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=clients)) as client:

        async def one() -> None:
            for place, body in order:
                began = time.perf_counter()
                response = await client.post(url, json=body)
                seen.seconds[place] = time.perf_counter() - began
                if response.status_code != 200:
                    seen.errors += 1
                seen.responses[place] = response.json()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        seen.wall = time.perf_counter() - began
    return seen


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
def served(port: int, apps: Mapping[str, ServeConfig]) -> Iterator[Callable[[str], str]]:
    """A Ray with an app for each name (`library`: that of `ray.serve.llm`). Yields name -> URL of its chat route."""
    import ray
    from ray import serve

    from toolace.serving.app import build, llm_config

    ray.init(
        address="local",
        num_cpus=4 * len(apps),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 << 20,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    try:
        for name, config in apps.items():
            if name == LIBRARY:
                from ray.serve.llm import build_openai_app

                app = build_openai_app({"llm_configs": [llm_config(config)]})
            else:
                app = build(config)
            serve.run(app, name=name, route_prefix=f"/{name}")
            say(name, "is up")
        yield lambda name: f"http://127.0.0.1:{port}/{name}/v1/chat/completions"
    finally:
        serve.shutdown()
        ray.shutdown()


LIBRARY = "library"
MODES: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "single": {"mode": "off"},
    "adaptive": {"mode": "adaptive", "return_rounds": True},
    "fixed": {"mode": "fixed", "max_rounds": FIXED_ROUNDS},
}
WAYS: dict[str, dict[str, str]] = {
    "none": {},
    "ngram": {"drafting": "ngram"},
    "prompt": {"check": "prompt"},
    "both": {"drafting": "ngram", "check": "prompt"},
}
"""How an unchanged round is made cheap: settings `drafting` and `refinement.check`."""
TURNS = [
    *((LIBRARY, "plain"), ("none", "single"), ("none", "adaptive"), ("none", "fixed")),
    *(("ngram", "single"), ("ngram", "adaptive"), ("prompt", "single"), ("prompt", "adaptive")),
    *(("both", "single"), ("both", "adaptive")),
]


def with_way(config: ServeConfig, way: str) -> ServeConfig:
    """The settings with one of `WAYS`."""
    chosen = WAYS.get(way, {})
    refinement = config.refinement.model_copy(update={"check": chosen.get("check", "generate")})
    return config.model_copy(update={"drafting": chosen.get("drafting", "none"), "refinement": refinement})


Measured = dict[tuple[str, str], Load]
"""By app and mode."""


def measure(url_of: Callable[[str], str], samples: list[Sample], clients: int, options: argparse.Namespace) -> Measured:
    """Ask every app in every mode by turns; the loads of the turns in one."""
    found: Measured = {turn: Load() for turn in TURNS}
    chunk = max(options.chunk, 3 * clients)
    for number in range(options.turns):
        part = samples[number * chunk : (number + 1) * chunk]
        for app, mode in TURNS:
            seen = run(load(url_of(app), requests_of(part, MODEL, MODES[mode], f"{mode} {clients}"), clients))
            found[app, mode].add(seen)
    return found


def run(work: Coroutine[Any, Any, Load]) -> Load:
    return asyncio.run(work)


def summary(samples: list[Sample], measured: Measured, way: str) -> dict[str, Any]:
    """One row of `by_concurrency`."""
    loads = {mode: measured[app, mode] for app, mode in TURNS if app == way}
    adaptive, single = loads["adaptive"], loads["single"]
    told = [(i, response) for i, response in enumerate(adaptive.responses) if "refinement" in response]
    right = [i for i, response in told if first_right(samples[i], response)]
    whole = statistics.median(adaptive.seconds[i] for i in right) if right else float("nan")
    one = statistics.median(single.seconds[i] for i in right) if right else float("nan")
    row: dict[str, Any] = {}
    for mode, seen in loads.items():
        row |= {
            f"{mode}_p50_ms": seen.quantile(0.5),
            f"{mode}_p95_ms": seen.quantile(0.95),
            f"{mode}_per_s": seen.per_second,
        }
    return row | {
        "right_first_p50_ratio": round(whole / one, 3),
        "right_first": len(right),
        "mean_rounds": round(statistics.fmean(r["refinement"]["rounds"] for _, r in told), 3),
        "errors": sum(seen.errors for seen in loads.values()),
    }


def hit_rate(adaptive: Load, block: int = 1) -> float:
    """Cached share of the tokens that the first refine pass could have from the first pass: its prompt and its answer.
    Only whole blocks are kept; with `block` their size, only those count as possible."""
    cached = possible = 0
    for response in adaptive.responses:
        steps = response["refinement"]["steps"]
        if len(steps) > 1:
            cached += steps[1]["cached_tokens"]
            possible += (steps[0]["prompt_tokens"] + steps[0]["tokens"] - 1) // block * block
    return round(cached / possible, 3) if possible else float("nan")


def answers_of(response: dict[str, Any]) -> list[tuple[str, int]]:
    """Every answer of a refined response as it was written, letter for letter, and the tokens of its prompt and itself.

    A draft that was read has them in its prompt; one token more is generated then, which is not used.
    """
    steps = response["refinement"]["steps"]
    return [(s["text"], s["prompt_tokens"] + (0 if s["checked"] else s["tokens"])) for s in steps]


def compare(ours: Load, others: Load) -> tuple[int, int]:
    """How many greedy answers are equal, of how many. A round too many or too few counts as unequal."""
    equal = total = 0
    for one, other in zip(map(answers_of, ours.responses), map(answers_of, others.responses), strict=True):
        total += max(len(one), len(other))
        equal += sum(a == b for a, b in zip(one, other, strict=False))
    return equal, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:tiny_base", help="model directory, hub name or builtin name")
    parser.add_argument("--turns", type=int, default=3, help="turns of each app and mode at each concurrency")
    parser.add_argument("--chunk", type=int, default=40, help="requests a turn, at least three a client")
    parser.add_argument("--equality", type=int, default=950, help="refined requests whose answers are compared")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="numbers of concurrent clients")
    parser.add_argument("--profile", default="demo", help="synthetic profile of the requests")
    parser.add_argument("--port", type=int, default=18431)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="serving setting")
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from toolace.data.synthetic import generate

    base = ["model.max_model_len=1024", f"model_id={MODEL}", f"port={options.port}"]
    base.append("engine.kv_cache_gib=0.5")  # five engines share the machine
    config = load_serve_config(None, [*base, *options.set], {"model.path": options.model})
    rows = generate(2 * max(options.turns * 3 * max(options.clients), options.equality), 77, profile=options.profile)
    samples = [sample for sample in rows if sample.kind != "dependent"]
    compared = requests_of(samples[-options.equality :], MODEL, MODES["adaptive"], "compared")
    names, turns = ((LIBRARY, *WAYS), TURNS) if options.turns else (tuple(WAYS), [])
    with served(options.port, {name: with_way(config, name) for name in names}) as url_of:
        for app, mode in turns:
            run(load(url_of(app), requests_of(samples[-32:], MODEL, MODES[mode]), 8))
        measured = {clients: measure(url_of, samples, clients, options) for clients in options.clients if turns}
        for clients, seen in measured.items():
            say(
                f"{clients} clients",
                {f"{app} {mode}": [x.per_second, x.quantile(0.5)] for (app, mode), x in seen.items()},
            )
        answers = {way: run(load(url_of(way), compared, 32)) for way in WAYS}
    equal = {way: compare(answers["none"], seen) for way, seen in answers.items()}
    read = {
        way: sum(s["checked"] for r in seen.responses for s in r["refinement"]["steps"])
        for way, seen in answers.items()
    }
    if not measured:
        print(json.dumps({"answers_equal": equal, "answers_read": read}))
        return
    exact = [way for way, (same, total) in equal.items() if same == total]
    fewest, most = min(options.clients), max(options.clients)
    best = min(exact, key=lambda way: measured[fewest][way, "adaptive"].quantile(0.5))
    by_way = {way: {str(c): summary(samples, seen, way) for c, seen in measured.items()} for way in WAYS}
    block = config.engine.block_size or CPU_BLOCK_SIZE
    plain = {c: seen[LIBRARY, "plain"] for c, seen in measured.items()}
    off = {c: seen["none", "single"] for c, seen in measured.items()}
    print(
        json.dumps(
            {
                "passthrough_throughput_ratio": round(off[most].per_second / plain[most].per_second, 3),
                "added_p50_ms": round(off[fewest].quantile(0.5) - plain[fewest].quantile(0.5), 2),
                "by_concurrency": by_way[best],
                "prefix_hit_rate": hit_rate(measured[fewest]["none", "adaptive"]),
                "prefix_hit_rate_whole_blocks": hit_rate(measured[fewest]["none", "adaptive"], block),
                "drafting": best,
                "draft_answers_equal": equal[best][0],
                "draft_answers_total": equal[best][1],
                "answers_equal": equal,
                "answers_read": read,
                "by_way": by_way,
                "library": {str(c): {"per_s": x.per_second, "p50_ms": x.quantile(0.5)} for c, x in plain.items()},
            }
        )
    )


def say(what: str, figures: Any) -> None:
    print(f"{what}: {json.dumps(figures)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
