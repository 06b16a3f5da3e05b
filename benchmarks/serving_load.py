"""Does the refining endpoint stay as it is under load: ten minutes of closed-loop clients, errors and memory counted.

    python benchmarks/serving_load.py                  # 10 minutes, 16 clients, builtin:tiny_base

Memory is the resident set of each Serve process (ingress, engine replica, its engine and worker, proxy, controller),
read every ten seconds; the slope is fitted to the second half, when caches and pools are full. Back-pressure is what
the server declares as such: 429 or 503 with its code and Retry-After. Anything else that is no 200 is an error, and so
is a refinement that ended because a pass failed: a replica that died shows as one or the other. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import psutil
from serving import MODEL, MODES, requests_of, served, with_way

from toolace.serving.config import load_serve_config

SAMPLE_S = 10.0
WATCHED = ("ray::ServeReplica", "ray::ProxyActor", "ray::ServeController", "VLLM::EngineCore", "VLLM::Worker")

BACK_PRESSURE = ("429 overloaded", "503 overloaded", "429 rate_limit_exceeded", "429 concurrency_limit_exceeded")
"""Status and code of refusals that ask the client to come back; a 503 of another code has no replica behind it."""


def outcome(status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """What a request came to: `200`, or the status with what tells it from others of its number."""
    if status == 200:
        return "200 failed pass" if (body.get("refinement") or {}).get("stopped") == "error" else "200"
    code = (body.get("error") or {}).get("code")
    return f"{status} {code}" + ("" if status not in (429, 503) or "retry-after" in headers else " without Retry-After")


def resident_mb() -> dict[str, float]:
    """Resident memory of the processes below this one that serve, by role and pid.

    A title goes on with what the process does at the moment (`ray::ServeReplica:app:ingress.handle_request`); the role
    is what stays.
    """
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            title = (process.cmdline() or [""])[0]
            if title.startswith(WATCHED):
                found[f"{title.split('.')[0]} {process.pid}"] = process.memory_info().rss / 2**20
        except psutil.Error:
            continue  # it ended meanwhile
    return found


async def clients(url: str, bodies: list[dict[str, Any]], number: int, seconds: float) -> dict[str, Any]:
    """Closed-loop clients until the time is over; latencies, statuses and memory on the way."""
    import httpx

    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    memory: list[tuple[float, dict[str, float]]] = []
    begin = time.perf_counter()

    async def ask(first: int) -> None:
        async with httpx.AsyncClient(timeout=300) as client:
            place = first
            while time.perf_counter() - begin < seconds:
                began = time.perf_counter()
                try:
                    response = await client.post(url, json=bodies[place % len(bodies)])
                    statuses[outcome(response.status_code, response.headers, response.json())] += 1
                except (httpx.HTTPError, ValueError) as error:  # no answer, or none in JSON
                    statuses[type(error).__name__] += 1
                latencies.append(time.perf_counter() - began)
                place += number

    async def watch() -> None:
        while time.perf_counter() - begin < seconds:
            memory.append((time.perf_counter() - begin, resident_mb()))
            print(f"{memory[-1][0]:.0f} s: {dict(statuses)}", file=sys.stderr, flush=True)
            await asyncio.sleep(SAMPLE_S)

    await asyncio.gather(watch(), *(ask(first) for first in range(number)))
    ordered = sorted(latencies)
    half = [(at, seen) for at, seen in memory if at > seconds / 2]
    names = set.intersection(*(set(seen) for _, seen in half)) if half else set()
    return {
        "seconds": round(time.perf_counter() - begin, 1),
        "clients": number,
        "requests": len(latencies),
        "per_s": round(len(latencies) / seconds, 2),
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 1),
        "p95_ms": round(1000 * ordered[int(0.95 * (len(ordered) - 1))], 1),
        "statuses": dict(statuses),
        "errors": sum(count for status, count in statuses.items() if status not in ("200", *BACK_PRESSURE)),
        "back_pressure": sum(statuses[status] for status in BACK_PRESSURE),
        "memory_mb": {
            name: [round(seen.get(name, 0.0), 1) for _, seen in (memory[0], *half[:1], memory[-1])] for name in names
        },
        "memory_slope_mb_per_min": {name: round(slope([(at, seen[name]) for at, seen in half]), 3) for name in names},
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Least-squares slope, per minute."""
    if len(points) < 2:
        return float("nan")
    return 60 * statistics.linear_regression([at for at, _ in points], [mb for _, mb in points]).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:tiny_base", help="model directory, hub name or builtin name")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=16, help="the knee of the throughput curve")
    parser.add_argument("--way", default="none", help="how rounds are made cheap, as in benchmarks/serving.py")
    parser.add_argument("--port", type=int, default=18432)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="serving setting")
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from toolace.data.synthetic import generate

    base = ["model.max_model_len=1024", f"model_id={MODEL}", f"port={options.port}"]
    config = load_serve_config(None, [*base, *options.set], {"model.path": options.model})
    # More prompts than the prefix cache holds, so that its turnover is part of what is measured.
    bodies = requests_of(list(generate(4000, 78, profile="demo")), MODEL, MODES["adaptive"])
    with served(options.port, {options.way: with_way(config, options.way)}) as url_of:
        result = asyncio.run(clients(url_of(options.way), bodies, options.clients, options.seconds))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
