"""Metrics: what is counted, their labels, the mirror in Ray, and the Grafana board that reads them."""

from __future__ import annotations

import json
import re
import sys
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolace.serving.metrics import COUNTERS, GAUGES, HISTOGRAMS, STOP_REASONS, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would read, without the times of creation."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_requests_are_counted_by_status() -> None:
    metrics = Metrics()
    metrics.started()
    metrics.started()
    metrics.finished(200, 0.2)
    found = samples(metrics)
    assert found["toolace_requests_total", (("status", "200"),)] == 1
    assert found["toolace_requests_in_flight", ()] == 1
    assert found["toolace_request_seconds_bucket", (("le", "0.1"),)] == 0
    assert found["toolace_request_seconds_bucket", (("le", "0.25"),)] == 1
    metrics.finished(7, 0.2)
    found = samples(metrics)
    assert found["toolace_requests_total", (("status", "other"),)] == 1 and found["toolace_requests_in_flight", ()] == 0


def test_refinement_is_counted_by_round() -> None:
    metrics = Metrics()
    metrics.refined(rounds=2, stopped="unchanged", changed=True, passes=[(10, 5, 0.3), (20, 6, 0.1), (30, 7, 0.1)])
    metrics.refined(rounds=0, stopped="error", changed=False, passes=[(100, 0, 0.2)])
    metrics.retried()
    found = samples(metrics)
    assert found["toolace_refinement_rounds_bucket", (("le", "0.5"),)] == 1  # no round: the second request
    assert found["toolace_refinement_rounds_bucket", (("le", "1.5"),)] == 1
    assert found["toolace_refinement_rounds_bucket", (("le", "2.5"),)] == 2
    assert found["toolace_refinement_rounds_sum", ()] == 2
    assert found["toolace_refinement_stopped_total", (("reason", "unchanged"),)] == 1
    assert found["toolace_refinement_stopped_total", (("reason", "error"),)] == 1
    assert found["toolace_repairs_total", ()] == 1 and found["toolace_replica_retries_total", ()] == 1
    assert found["toolace_round_prompt_tokens_total", (("round", "0"),)] == 110
    assert found["toolace_round_generated_tokens_total", (("round", "2"),)] == 7
    assert found["toolace_round_seconds_count", (("round", "0"),)] == 2


def test_labels_have_few_values() -> None:
    metrics = Metrics()
    for n in range(30):
        metrics.refined(rounds=n, stopped=f"made up {n}", changed=False, passes=[(1, 1, 0.1)] * n)
    for reason in STOP_REASONS:
        metrics.refined(rounds=0, stopped=reason, changed=False, passes=[])
    labels = {pair for _, pairs in samples(metrics) for pair in pairs}
    assert {value for name, value in labels if name == "round"} == {"0", "1", "2", "3", "4", "5", "6+"}
    assert {value for name, value in labels if name == "reason"} == {*STOP_REASONS, "other"}
    assert {name for name, _ in labels} == {"le", "round", "reason"}


def test_ray_gets_the_same_under_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, tuple[str, ...]] = {}
    recorded: list[tuple[str, float, tuple[str, ...]]] = []

    class Recorded:
        def __init__(self, name: str, description: str = "", tag_keys: Any = (), boundaries: Any = None) -> None:
            assert description and isinstance(tag_keys, tuple) and name not in made
            assert boundaries is None or min(boundaries) > 0
            self.name, made[name] = name, tag_keys

        def _record(self, value: float = 1.0, tags: Any = None) -> None:
            assert tuple(tags) == made[self.name]
            recorded.append((self.name, value, tuple(tags.values())))

        def inc(self, value: float, tags: Any) -> None:
            assert value > 0  # as Ray asserts
            self._record(value, tags)

        observe = set = _record

    fake = SimpleNamespace(Counter=Recorded, Gauge=Recorded, Histogram=Recorded)
    monkeypatch.setitem(sys.modules, "ray.serve.metrics", fake)
    metrics = Metrics(ray_metrics=True)
    assert set(made) == {*COUNTERS, *HISTOGRAMS, *GAUGES}
    metrics.started()
    metrics.finished(429, 0.5)
    metrics.refined(rounds=1, stopped="cycle", changed=True, passes=[(8, 0, 0.25)])
    assert recorded == [
        ("toolace_requests_in_flight", 1, ()),
        ("toolace_requests_in_flight", 0, ()),
        ("toolace_requests", 1, ("429",)),
        ("toolace_request_seconds", 0.5, ()),
        ("toolace_refinement_rounds", 1, ()),
        ("toolace_refinement_stopped", 1, ("cycle",)),
        ("toolace_repairs", 1, ()),
        ("toolace_round_prompt_tokens", 8, ("0",)),
        ("toolace_round_seconds", 0.25, ("0",)),
    ]


# --- the board

RAY_METRICS = {
    "ray_serve_deployment_queued_queries",
    "ray_serve_num_ongoing_requests_at_replicas",
    "ray_serve_deployment_replica_healthy",
    "ray_serve_autoscaling_target_replicas",
}
"""Ray Serve 2.60's own, as its dashboards name them."""


def board() -> dict[str, Any]:
    loaded = json.loads((files("toolace.serving") / "assets" / "grafana.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_board_names_metrics_that_exist() -> None:
    exported = {f"{name}_total" for name in COUNTERS} | set(GAUGES)
    exported |= {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")}
    queries = [target["expr"] for panel in board()["panels"] for target in panel.get("targets", [])]
    named = set()
    for query in queries:
        assert query.count("(") == query.count(")")
        # Functions and keywords aside, a word with an underscore is a metric.
        words = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", query.replace("${metrics}", "toolace"))) - {
            "histogram_quantile",
            "rate_interval",
        }
        assert words and words <= exported | RAY_METRICS, query
        named |= words
    assert named >= RAY_METRICS
    # Every metric is on the board.
    for name in (*COUNTERS, *HISTOGRAMS, *GAUGES):
        assert any(word.startswith(name) for word in named), name


def test_labels_on_the_board_exist() -> None:
    for panel in board()["panels"]:
        for target in panel.get("targets", []):
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert grouped <= {"le", "status", "reason", "round", "deployment"}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped - {"le"}


def test_the_board_is_one_grafana_11_imports() -> None:
    loaded = board()
    assert loaded["schemaVersion"] >= 39 and loaded["title"] and loaded["uid"]
    variables = {variable["name"]: variable for variable in loaded["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert {option["value"] for option in variables["metrics"]["options"]} == {"toolace", "ray_toolace"}
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in loaded["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        cells |= own
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
