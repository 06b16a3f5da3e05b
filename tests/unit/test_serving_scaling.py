"""How many replicas: the signals that reach Serve's autoscaler, and what the policy makes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from toolace.serving.config import ReplicaSettings
from toolace.serving.scaling import QUEUED_PREFILL_TOKENS, QueuedPrefillPolicy, autoscaling


def context(requests: float, tokens: list[float] | None, current: int = 1) -> Any:
    reported = {} if tokens is None else {QUEUED_PREFILL_TOKENS: dict(enumerate(tokens))}
    return SimpleNamespace(
        current_num_replicas=current,
        target_num_replicas=1,
        total_num_requests=requests,
        aggregated_metrics=reported,
        config=SimpleNamespace(get_target_ongoing_requests=lambda: 8.0),
    )


@pytest.mark.parametrize(
    ("requests", "tokens", "wanted"),
    [
        (0, None, 0),
        (8, None, 1),  # no replica has reported yet
        (16, [100.0], 2),
        (2, [5000.0], 2.5),  # few requests, long prompts
        (2, [1000.0, 5000.0], 3),
        (40, [1000.0], 5),
    ],
)
def test_the_larger_want_counts(requests: float, tokens: list[float] | None, wanted: float) -> None:
    assert QueuedPrefillPolicy(target_tokens=2000)(context(requests, tokens)) == (wanted, {})


def test_a_deployment_without_replicas_keeps_its_target() -> None:
    assert QueuedPrefillPolicy(target_tokens=10)(context(0, None, current=0)) == (1, {})


def test_serve_takes_the_settings() -> None:
    from ray.serve.config import AutoscalingConfig

    plain = autoscaling(ReplicaSettings(max_replicas=3))
    assert "policy" not in plain and AutoscalingConfig(**plain).policy.is_default_policy_function()
    config = AutoscalingConfig(**autoscaling(ReplicaSettings(max_replicas=3, target_queued_prefill_tokens=2000)))
    policy = config.policy.get_policy()(**config.policy.policy_kwargs)
    assert policy(context(2, [5000.0])) == (2.5, {})
