"""Metrics of the ingress, for Prometheus: what came, what refinement did and what it cost.

Two ways out with the same names: `GET /metrics` of one ingress replica (`toolace_...`), and, where Ray runs, the
metrics port of its nodes, which sees all replicas (`ray_toolace_...`). Both add `_total` to the names of counters.
Labels have few values each; no key name, model text or path is one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from toolace.refinement.program import Stopped

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Media type of `Metrics.render`."""

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Bucket bounds of latencies, seconds."""

ROUNDS = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 10.5)
"""Bucket bounds of refinement rounds; halves, because Ray wants bounds above 0 and rounds are whole."""

STOP_REASONS = (*get_args(Stopped), "deadline", "error")
LAST_ROUND = 6
"""Rounds from here on share the label `6+`. Round 0 is the first answer."""

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "toolace_requests": ("Requests answered, by status; open paths are not counted", ("status",)),
    "toolace_refinement_stopped": ("Refined requests, by the reason to stop", ("reason",)),
    "toolace_round_prompt_tokens": ("Tokens read, by refinement round", ("round",)),
    "toolace_round_generated_tokens": ("Tokens generated, by refinement round", ("round",)),
    "toolace_repairs": ("Refined requests whose final answer is not their first", ()),
    "toolace_replica_retries": ("Passes sent again because their replica died", ()),
}
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "toolace_request_seconds": ("Time from the request to the end of its answer", (), LATENCY_S),
    "toolace_round_seconds": ("Time of a pass over the engine, by refinement round", ("round",), LATENCY_S),
    "toolace_refinement_rounds": ("Refinement rounds of refined requests", (), ROUNDS),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "toolace_requests_in_flight": ("Requests being answered; open paths are not counted", ()),
}


class Metrics:
    """Counters and histograms of one ingress replica.

    Args:
        ray_metrics: Also record into `ray.serve.metrics`; only inside a Ray process.
    """

    def __init__(self, *, ray_metrics: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {}
        self._mirrored: dict[str, Any] = {}
        self._in_flight = 0
        for name, (text, labels) in COUNTERS.items():
            self._metrics[name] = Counter(name, text, labels, registry=self.registry)
        for name, (text, labels, bounds) in HISTOGRAMS.items():
            self._metrics[name] = Histogram(name, text, labels, buckets=bounds, registry=self.registry)
        for name, (text, labels) in GAUGES.items():
            self._metrics[name] = Gauge(name, text, labels, registry=self.registry)
        if ray_metrics:
            ray: Any = importlib.import_module("ray.serve.metrics")
            for name, (text, labels) in COUNTERS.items():
                self._mirrored[name] = ray.Counter(name, description=text, tag_keys=labels)
            for name, (text, labels, bounds) in HISTOGRAMS.items():
                self._mirrored[name] = ray.Histogram(name, description=text, boundaries=list(bounds), tag_keys=labels)
            for name, (text, labels) in GAUGES.items():
                self._mirrored[name] = ray.Gauge(name, description=text, tag_keys=labels)

    @property
    def in_flight(self) -> int:
        """Requests that have started and not finished."""
        return self._in_flight

    def render(self) -> bytes:
        """The text for `GET /metrics`, of media type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def started(self) -> None:
        """A request came; `finished` must follow."""
        self._in_flight += 1
        self._set("toolace_requests_in_flight", self._in_flight)

    def finished(self, status: int, seconds: float) -> None:
        """A request that `started` ended with this status (499: the client went away first)."""
        self._in_flight -= 1
        self._set("toolace_requests_in_flight", self._in_flight)
        self._count("toolace_requests", 1, status=str(status) if 100 <= status <= 599 else "other")
        self._observe("toolace_request_seconds", seconds)

    def refined(self, *, rounds: int, stopped: str, changed: bool, passes: Iterable[tuple[int, int, float]]) -> None:
        """A refined request ended.

        Args:
            rounds: Refinement passes made.
            stopped: Why it ended; a reason outside `STOP_REASONS` counts as `other`.
            changed: Whether the final answer differs from the first.
            passes: Prompt tokens, generated tokens and seconds of each pass over the engine, the first answer first.
        """
        self._observe("toolace_refinement_rounds", rounds)
        self._count("toolace_refinement_stopped", 1, reason=stopped if stopped in STOP_REASONS else "other")
        if changed:
            self._count("toolace_repairs", 1)
        for number, (prompt_tokens, generated_tokens, seconds) in enumerate(passes):
            label = str(number) if number < LAST_ROUND else f"{LAST_ROUND}+"
            self._count("toolace_round_prompt_tokens", prompt_tokens, round=label)
            self._count("toolace_round_generated_tokens", generated_tokens, round=label)
            self._observe("toolace_round_seconds", seconds, round=label)

    def retried(self) -> None:
        """A pass was sent again because its replica died."""
        self._count("toolace_replica_retries", 1)

    def _count(self, name: str, amount: float, **labels: str) -> None:
        if amount <= 0:  # Ray refuses to add nothing
            return
        self._own(name, labels).inc(amount)
        if mirror := self._mirrored.get(name):
            mirror.inc(amount, tags=labels)

    def _observe(self, name: str, value: float, **labels: str) -> None:
        self._own(name, labels).observe(value)
        if mirror := self._mirrored.get(name):
            mirror.observe(value, tags=labels)

    def _set(self, name: str, value: float) -> None:
        self._own(name, {}).set(value)
        if mirror := self._mirrored.get(name):
            mirror.set(value, tags={})

    def _own(self, name: str, labels: Mapping[str, str]) -> Any:
        metric = self._metrics[name]
        return metric.labels(**labels) if labels else metric
