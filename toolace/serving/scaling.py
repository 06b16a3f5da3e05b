"""How many engine replicas: by requests in flight, and, where it is set, by prompt tokens that wait for prefill too."""

from __future__ import annotations

from typing import Any

from toolace.serving.config import ReplicaSettings

QUEUED_PREFILL_TOKENS = "queued_prefill_tokens"
"""What `EngineServer.record_autoscaling_stats` reports: prompt tokens of requests that have no first token yet."""


def autoscaling(replicas: ReplicaSettings) -> dict[str, Any]:
    """Serve's `autoscaling_config` of the engine deployment."""
    config: dict[str, Any] = {
        "min_replicas": replicas.min_replicas,
        "max_replicas": replicas.max_replicas,
        "initial_replicas": max(1, replicas.min_replicas),
        "target_ongoing_requests": replicas.target_ongoing_requests,
        "upscale_delay_s": replicas.upscale_delay_s,
        "downscale_delay_s": replicas.downscale_delay_s,
    }
    if replicas.target_queued_prefill_tokens is not None:
        config["policy"] = {
            "policy_function": f"{__name__}:QueuedPrefillPolicy",
            "policy_kwargs": {"target_tokens": replicas.target_queued_prefill_tokens},
        }
    return config


class QueuedPrefillPolicy:
    """A Serve autoscaling policy: as many replicas as requests or queued prefill tokens want, whichever are more.

    Serve applies delays and bounds around it, and averages the tokens of each replica over its look-back period.
    """

    def __init__(self, target_tokens: float) -> None:
        self._target_tokens = target_tokens

    def __call__(self, ctx: Any) -> tuple[float, dict[str, Any]]:
        """The wanted number of replicas for a `ray.serve.config.AutoscalingContext`, and no state."""
        if ctx.current_num_replicas == 0:
            return ctx.target_num_replicas, {}
        queued = sum(ctx.aggregated_metrics.get(QUEUED_PREFILL_TOKENS, {}).values())
        by_tokens = queued / self._target_tokens
        by_requests = ctx.total_num_requests / ctx.config.get_target_ongoing_requests()
        return max(by_tokens, by_requests), {}
