"""Another model behind a running endpoint, without a lost request, and back again.

The state is Serve's own: the deployed application's `args` name the model and those before it, and a promotion is one
change of them through Serve's declarative API. New engine replicas start beside the old ones (surge), pass their
health check, take over, and the old ones finish what they have. Nothing else is kept, so any machine that reaches the
cluster's dashboard can promote and roll back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from toolace.errors import ConfigError, EngineError, ServingError
from toolace.serving.app import APP_NAME, model_fingerprint, serve_config, served_version
from toolace.serving.config import ServeConfig, Served
from toolace.serving.models import Chosen

LOCAL = "http://127.0.0.1:8265"
"""Where Ray's dashboard, and so Serve's API, listens by default."""
KEPT = 10
"""Models remembered for rolling back."""
BAD = ("DEPLOY_FAILED", "UNHEALTHY", "NOT_STARTED")


class ServeAPI(Protocol):
    """The part of Serve's REST client that promotion needs."""

    def get_serve_details(self) -> dict[str, Any]: ...
    def deploy_applications(self, config: dict[str, Any]) -> None: ...


def connect(address: str) -> ServeAPI:
    """A client of Serve's declarative API at the dashboard's address. Raises `ServingError` when nothing is there."""
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    try:
        client: ServeAPI = ServeSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ServingError(
            f"cannot reach Ray Serve at {address}: {str(error).splitlines()[0]}. Give the dashboard's address with "
            "--address (`toolace serve` prints it), and RAY_AUTH_TOKEN where the cluster asks for a token"
        ) from None
    return client


def current(api: ServeAPI, app: str = APP_NAME) -> ServeConfig:
    """The settings that the application runs with now."""
    return serve_config(_application(_deployed(api), app).get("args") or {})


def promote(
    api: ServeAPI,
    chosen: Chosen,
    *,
    app: str = APP_NAME,
    timeout_s: float = 900,
    again: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """Serve `chosen` in place of the current model; returns its version when all new replicas are healthy.

    The name that clients use stays. When the new model does not become healthy the old one is put back, which has
    gone on serving meanwhile. With `again` a model that is served already is no error.

    Raises:
        ServingError: the endpoint is not there, the model is the one it has, or it did not become healthy.
    """
    config = current(api, app)
    found = model_fingerprint(chosen.model)
    # Other weights in the same place are another model. An application that was declared without a fingerprint gets
    # one: nobody knows what its replicas have read.
    if chosen.model == config.model and found == config.fingerprint:
        if again:
            return served_version(config)
        raise ServingError(f"the endpoint serves {served_version(config)} already")
    changed = config.model_copy(
        update={
            "model": chosen.model,
            "label": chosen.label or chosen.name,
            "fingerprint": found,
            "previous": (*config.previous, _named(config))[-KEPT:],
        }
    )
    return _switch(api, config, changed, app, timeout_s, say)


def _named(config: ServeConfig) -> Served:
    """The present model as one to roll back to. Where the application was declared without a fingerprint, the files
    are taken as they are now: after that, what is overwritten is told from what was served."""
    served = config.served
    if served.fingerprint is not None:
        return served
    try:
        return served.model_copy(update={"fingerprint": model_fingerprint(served.model)})
    except EngineError:  # its files are gone: there is nothing to go back to, and rolling back will say so
        return served


def rollback(
    api: ServeAPI,
    *,
    app: str = APP_NAME,
    timeout_s: float = 900,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """Serve the model before the current one again; returns its version.

    Raises:
        ServingError: there is none before it, or it did not become healthy.
    """
    config = current(api, app)
    if not config.previous:
        raise ServingError(f"nothing to roll back to: {served_version(config)} is the first model of this endpoint")
    last = config.previous[-1]
    if last.fingerprint is not None and (found := model_fingerprint(last.model)) != last.fingerprint:
        raise ServingError(
            f"cannot roll back: the files of {last.model.path} have changed since they were served "
            f"({last.fingerprint[:12]} then, {found[:12]} now). `toolace promote` serves them as they are"
        )
    changed = config.model_copy(update={**dict(last), "previous": config.previous[:-1]})
    return _switch(api, config, changed, app, timeout_s, say)


def _switch(
    api: ServeAPI, old: ServeConfig, new: ServeConfig, app: str, timeout_s: float, say: Callable[[str], None]
) -> str:
    before, after = served_version(old), served_version(new)
    say(f"{before} -> {after}")
    _deploy(api, app, new)
    try:
        _wait(api, app, timeout_s, say)
    except ServingError as error:
        _deploy(api, app, old)
        raise ServingError(f"{after} did not become healthy: {error}. {before} serves on") from None
    return after


def change_application(api: ServeAPI, app: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Send the whole declared state with one application changed: applications left out would be deleted."""
    deployed = _deployed(api)
    applications = []
    for entry in deployed["applications"].values():
        declared = dict(entry.get("deployed_app_config") or {})
        if declared.get("name") == app:
            change(declared)
        applications.append(declared)
    api.deploy_applications({"applications": applications})


def _deploy(api: ServeAPI, app: str, config: ServeConfig) -> None:
    change_application(
        api, app, lambda declared: declared.update(args=config.model_dump(mode="json", exclude_unset=True))
    )


def _deployed(api: ServeAPI) -> dict[str, Any]:
    details = api.get_serve_details()
    if not details.get("applications"):
        raise ServingError("no application runs on this cluster. Start one with `toolace serve` or `serve deploy`")
    return details


def _application(details: Mapping[str, Any], app: str) -> dict[str, Any]:
    found = details["applications"].get(app)
    declared: dict[str, Any] | None = (found or {}).get("deployed_app_config")
    if declared is None:
        names = ", ".join(sorted(details["applications"]))
        raise ServingError(
            f"no declared application {app!r} on this cluster (there is: {names}). Name it with --app; one started by "
            "`serve.run` has no declared state and must be deployed from a config first"
        )
    return declared


def _wait(api: ServeAPI, app: str, timeout_s: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout_s
    told = ""
    while time.monotonic() < deadline:
        entry = _deployed(api)["applications"].get(app) or {}
        status, message = entry.get("status", "NOT_STARTED"), str(entry.get("message", "")).strip()
        if status != told:
            say(status.lower().replace("_", " "))
            told = status
        if status == "RUNNING":
            return
        if status in BAD[:1]:
            raise ServingError(message.splitlines()[-1] if message else status)
        time.sleep(0.5)
    raise ServingError(f"not healthy after {timeout_s:g} s (status {told}). Give it longer with --timeout")


def check_address(address: str) -> str:
    """`local` or a dashboard address. Raises `ConfigError` for anything else."""
    if address == "local":
        return LOCAL
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"{address!r} is no dashboard address: write http://HOST:8265, or `local`")
    return address
