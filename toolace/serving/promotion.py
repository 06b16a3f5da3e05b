"""Another model behind a running endpoint, without a lost request, and back again.

The state is Serve's own: the deployed application's `args` name the model and those before it, and a promotion is one
change of them through Serve's declarative API. New engine replicas start beside the old ones (surge), pass their
health check, take over, and the old ones finish what they have. Nothing else is kept, so any machine that reaches the
cluster's dashboard can promote and roll back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from toolace.dashboard import REQUEST_S, NoAnswer, Patience, bounded, within
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


def connect(address: str, *, limit_s: float = REQUEST_S) -> ServeAPI:
    """A client of Serve's declarative API at the dashboard's address; each of its requests has `limit_s` seconds.

    Raises `ServingError` when nothing is there, or nothing that answers. Later requests that have no answer raise
    `NoAnswer`, which `explained` turns into `ServingError`.
    """
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
    from ray.exceptions import AuthenticationError

    try:
        client: ServeAPI = bounded(ServeSubmissionClient, limit_s)(address)
    except (ConnectionError, RuntimeError, ValueError, AuthenticationError) as error:
        raise ServingError(
            f"cannot reach Ray Serve at {address}: {str(error).splitlines()[0]}. See that its head runs and is not "
            "short of memory; give the dashboard's address with --address (`toolace serve` prints it), and "
            "RAY_AUTH_TOKEN where the cluster asks for a token"
        ) from None
    return client


@contextmanager
def explained() -> Iterator[None]:
    """Raise `ServingError` with the way out where a dashboard does not answer."""
    try:
        yield
    except NoAnswer as error:
        raise ServingError(
            f"{error}. Look at the head of that cluster (`ray status` there: it may be short of memory) and at what "
            "lies between, such as a port-forward, and run the same command again"
        ) from error


def current(api: ServeAPI, app: str = APP_NAME) -> ServeConfig:
    """The settings that the application runs with now."""
    with explained():
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
    gone on serving meanwhile. With `again` a model that is served already is no error. `timeout_s` bounds the whole,
    with putting the old model back, for which a quarter of it is kept, at most a minute.

    Raises:
        ServingError: the endpoint is not there, the model is the one it has, it did not become healthy, or the
            dashboard does not answer.
    """
    with explained(), within(timeout_s):
        return _promote(api, chosen, app, timeout_s, again, say)


def _promote(api: ServeAPI, chosen: Chosen, app: str, timeout_s: float, again: bool, say: Callable[[str], None]) -> str:
    end = time.monotonic() + timeout_s
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
    return _switch(api, config, changed, app, timeout_s, end, say)


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
    """Serve the model before the current one again; returns its version. `timeout_s` bounds the whole, as in `promote`.

    Raises:
        ServingError: there is none before it, it did not become healthy, or the dashboard does not answer.
    """
    with explained(), within(timeout_s):
        return _rollback(api, app, timeout_s, say)


def _rollback(api: ServeAPI, app: str, timeout_s: float, say: Callable[[str], None]) -> str:
    end = time.monotonic() + timeout_s
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
    return _switch(api, config, changed, app, timeout_s, end, say)


def _switch(
    api: ServeAPI,
    old: ServeConfig,
    new: ServeConfig,
    app: str,
    timeout_s: float,
    end: float,
    say: Callable[[str], None],
) -> str:
    before, after = served_version(old), served_version(new)
    say(f"{before} -> {after}")
    state = _changed(api, app, _with(new))  # nothing is changed yet where this has no answer
    healthy_by = end - min(REQUEST_S, timeout_s / 4)
    try:
        with within(healthy_by - time.monotonic()):
            api.deploy_applications(state)
            _wait(api, app, timeout_s, healthy_by, say)
    except (ServingError, NoAnswer) as error:
        try:
            change_application(api, app, _with(old))
        except NoAnswer as silent:
            raise ServingError(
                f"{after} was sent, and what became of it is not known: {error}. {before} could not be put back "
                f"either: {silent}. Serve goes on by itself. When the dashboard answers again, `serve config` shows "
                "which of the two is declared: look there before you promote or roll back"
            ) from error
        raise ServingError(f"{after} did not become healthy: {error}. {before} serves on") from None
    return after


def change_application(api: ServeAPI, app: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Send the whole declared state with one application changed: applications left out would be deleted."""
    api.deploy_applications(_changed(api, app, change))


def _changed(api: ServeAPI, app: str, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The declared state with one application changed."""
    deployed = _deployed(api)
    applications = []
    for entry in deployed["applications"].values():
        declared = dict(entry.get("deployed_app_config") or {})
        if declared.get("name") == app:
            change(declared)
        applications.append(declared)
    return {"applications": applications}


def _with(config: ServeConfig) -> Callable[[dict[str, Any]], None]:
    return lambda declared: declared.update(args=config.model_dump(mode="json", exclude_unset=True))


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


def _wait(api: ServeAPI, app: str, timeout_s: float, end: float, say: Callable[[str], None]) -> None:
    told, patience = "", Patience()
    while time.monotonic() < end:
        if (details := patience.ask(lambda: _deployed(api))) is None:
            time.sleep(0.5)
            continue
        entry = details["applications"].get(app) or {}
        status, message = entry.get("status", "NOT_STARTED"), str(entry.get("message", "")).strip()
        if status != told:
            say(status.lower().replace("_", " "))
            told = status
        if status == "RUNNING":
            return
        if status in BAD[:1]:
            raise ServingError(message.splitlines()[-1] if message else status)
        time.sleep(0.5)
    raise ServingError(
        f"not healthy within {timeout_s:g} s (status {told or 'not known: no answer'}). Give it longer with --timeout"
    )


def check_address(address: str) -> str:
    """`local` or a dashboard address. Raises `ConfigError` for anything else."""
    if address == "local":
        return LOCAL
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"{address!r} is no dashboard address: write http://HOST:8265, or `local`")
    return address
