"""One command for the local case: a Ray of its own, Serve on it, and the endpoint until it is told to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from toolace.dashboard import GONE_S, Patience
from toolace.errors import ServingError
from toolace.ray_start import start_ray
from toolace.serving.app import APP_NAME, model_fingerprint, served_version
from toolace.serving.auth import require_safe, with_environment
from toolace.serving.config import ServeConfig
from toolace.serving.draining import drain
from toolace.serving.promotion import ServeAPI, connect, explained

IMPORT_PATH = "toolace.serving.app:build_app"


def serve_forever(config: ServeConfig, *, say: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Serve until SIGINT or SIGTERM (or `stop`), then refuse new requests, let those in flight finish, and end.

    A second signal ends at once.

    A Ray that runs already (`RAY_ADDRESS`) is joined, and only the application is removed from it afterwards.

    Raises:
        ServingError: unsafe address, port in use, or the application did not become healthy.
    """
    ended, hurry = stop or threading.Event(), threading.Event()
    config = with_environment(config).model_copy(update={"fingerprint": model_fingerprint(config.model)})
    warning = require_safe(config)
    if warning:
        say(warning)
    if "RAY_ADDRESS" not in os.environ:
        _check_port(config)
    if stop is None:
        _on_signals(ended, hurry)
    dashboard, joined = _start_ray(config, ended.is_set)
    if stop is None:
        _on_signals(ended, hurry)  # Ray has put its own in place
    try:
        with explained():
            _serve(config, dashboard, ended, hurry, say)
    finally:
        _stop_ray(joined)


def _serve(
    config: ServeConfig, dashboard: str, ended: threading.Event, hurry: threading.Event, say: Callable[[str], None]
) -> None:
    """Declare the application, and see to it until it is told to end."""
    api = connect(dashboard, limit_s=GONE_S)  # the first declaration starts Serve's controller and proxies
    _check_listening(api, config)
    say(f"starting {served_version(config)} ...")
    api.deploy_applications(declared(config))
    _wait_running(api, ended)
    if not ended.is_set():
        at = f"http://{config.host if config.host not in ('0.0.0.0', '::') else '127.0.0.1'}:{config.port}"
        say(f"serving {served_version(config)}")
        say(f"  playground      {at}/" if config.playground else f"  models          {at}/v1/models")
        say(f"  OpenAI base URL {at}/v1")
        say(f"  promote         toolace promote RUN --address {dashboard}")
        say("Ctrl-C ends it")
        ended.wait()
        say("ending: requests in flight finish first; again: at once")
        left = drain(
            api,
            APP_NAME,
            _in_flight,
            replicas=config.ingress_replicas,
            timeout_s=config.replicas.drain_s,
            hurry=hurry,
        )
        if left:
            say(f"{left:.0f} requests were cut off")


def _on_signals(ended: threading.Event, hurry: threading.Event) -> None:
    """The first SIGINT or SIGTERM sets `ended`, the next `hurry`."""

    def heard(*_: object) -> None:
        (hurry if ended.is_set() else ended).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, heard)


def _in_flight() -> float:
    """Requests in flight at one of the ingress replicas."""
    from ray import serve

    found: float = serve.get_deployment_handle("ingress", APP_NAME).in_flight.remote().result(timeout_s=30)
    return found


def declared(config: ServeConfig) -> dict[str, Any]:
    """The state to declare to Serve: host, port and this one application."""
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": config.host, "port": config.port, "keep_alive_timeout_s": 90},
        "logging_config": {"encoding": "JSON", "log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": APP_NAME,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": config.model_dump(mode="json", exclude_unset=True),
            }
        ],
    }


def _check_listening(api: ServeAPI, config: ServeConfig) -> None:
    """Refuse a cluster on which Serve listens already, elsewhere: the application would answer there."""
    details = api.get_serve_details()
    http = details.get("http_options") or {}
    listens = (http.get("host"), http.get("port"))
    if details.get("proxies") and listens != (config.host, config.port):
        raise ServingError(
            f"Serve runs on this cluster and listens on {listens[0]}:{listens[1]}, not {config.host}:{config.port}. "
            "One that runs cannot be moved: ask for that address (--host, --port), or end it with `serve shutdown`"
        )


def _check_port(config: ServeConfig) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ServingError(
                f"cannot listen on {config.host}:{config.port}: {error.strerror}. Choose another with --port"
            ) from None


def _free_port(first: int) -> int:
    for port in (first, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise ServingError("no free port on 127.0.0.1")


def _start_ray(config: ServeConfig, ended: Callable[[], bool] = lambda: False) -> tuple[str, bool]:
    """Start or join Ray; the dashboard's address and whether it was there before."""
    import logging

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # dashboard and ports on loopback only
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    import ray

    if address is not None:
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        return f"http://{context.dashboard_url}", True
    replicas = config.replicas
    needed = config.ingress_replicas + 2 * replicas.max_replicas * replicas.cpus + 2
    context = start_ray(
        otherwise="join a running cluster by RAY_ADDRESS",
        ended=ended,
        num_cpus=max(int(needed), os.cpu_count() or 1),
        num_gpus=None if replicas.gpus else 0,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=_free_port(8265),
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    return f"http://{context.dashboard_url}", False


def _wait_running(api: ServeAPI, ended: threading.Event, timeout_s: float = 1800) -> None:
    deadline, patience = time.monotonic() + timeout_s, Patience()
    while time.monotonic() < deadline and not ended.is_set():
        if (details := patience.ask(api.get_serve_details)) is None:
            ended.wait(0.25)
            continue
        entry = details.get("applications", {}).get(APP_NAME, {})
        status, message = entry.get("status"), str(entry.get("message", ""))
        if status == "RUNNING":
            return
        if status == "DEPLOY_FAILED":
            raise ServingError(f"the endpoint cannot start: {_reason(message)}")
        ended.wait(0.25)
    if not ended.is_set():
        raise ServingError(f"the endpoint was not ready after {timeout_s:g} s")


def _reason(message: str) -> str:
    """The telling line of Serve's message: the last line of the error that it quotes."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith(("File", "Traceback"))]
    return (errors or lines or ["no reason given"])[-1]


def _stop_ray(joined: bool) -> None:
    import ray
    from ray import serve

    if joined:
        serve.delete(APP_NAME)
    elif ray.is_initialized():
        serve.shutdown()
    ray.shutdown()
