"""Names of environment variables: those of Ray's settings stand in its programs alone, those of tqdm are made."""

from __future__ import annotations

import pytest

from k8s.check.variables import unknown

KNOWN = (
    "RAY_memory_usage_threshold RAY_memory_monitor_refresh_ms RAY_health_check_timeout_ms RAY_health_check_period_ms "
    "RAY_health_check_failure_threshold RAY_worker_niceness RAY_gcs_rpc_server_reconnect_timeout_s RAY_event_stats "
    "RAY_event_stats_print_interval_ms RAY_task_oom_retries RAY_object_spilling_threshold RAY_object_spilling_config "
    "RAY_local_fs_capacity_threshold RAY_verbose_spill_logs RAY_enable_autoscaler_v2 RAY_max_direct_call_object_size "
    "RAY_enable_pipe_based_agent_to_parent_health_check RAY_testing_rpc_failure RAY_preallocate_plasma_memory "
    "RAY_AUTH_MODE RAY_ENABLE_K8S_TOKEN_AUTH RAY_BACKEND_LOG_LEVEL RAY_BACKEND_LOG_JSON RAY_NODE_REGION RAY_NODE_ZONE "
    "RAY_REDIS_ADDRESS RAY_CGRAPH_get_timeout RAY_CGRAPH_submit_timeout RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S "
    "RAY_TRAIN_V2_ENABLED RAY_TMPDIR RAY_PROMETHEUS_HOST RAY_GRAFANA_IFRAME_HOST RAY_USAGE_STATS_ENABLED RAY_USE_TLS "
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB RAY_RAYLET_GDB RAY_COLOR_PREFIX "
    "TQDM_DISABLE TQDM_disable TQDM_MININTERVAL TQDM_NCOLS TQDM_POSITION TQDM_SLACK_TOKEN"
)


def test_names_that_have_a_reader_are_known() -> None:
    assert [problem for name in KNOWN.split() if (problem := unknown(name, ours=True))] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RAY_gcs_rpc_server_reconnect_timeout", ": did you mean RAY_gcs_rpc_server_reconnect_timeout_s?"),
        ("RAY_health_check_timeout", ": did you mean RAY_health_check_timeout_ms?"),
        ("RAY_memory_usage", ": did you mean RAY_memory_usage_threshold?"),
        ("RAY_enable", "RAY_enable"),
        ("RAY_timeout", "Ray reads no variable RAY_timeout"),
        ("RAY_SERVE_", "RAY_SERVE_"),
        ("TQDM_DISABLED", ": did you mean TQDM_DISABLE?"),
    ],
)
def test_the_beginning_of_a_name_is_none(name: str, said: str) -> None:
    """Other strings of Ray's programs, such as `timeout`, are no settings either."""
    assert said in (unknown(name, ours=True) or "")
