"""`toolace serve`, `toolace promote`, `toolace rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

AddressOption = Annotated[
    str, typer.Option("--address", help="Ray dashboard of the endpoint's cluster", envvar="RAY_DASHBOARD_ADDRESS")
]
AppOption = Annotated[str, typer.Option("--app", help="Name of the Serve application")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", help="Seconds for the whole: the new model must be healthy by then")
]
LOCAL = "http://127.0.0.1:8265"


def serve(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model directory, hub name, run, or RUN/ROUND")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", "-c", help="YAML file with serving settings")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one setting")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", min=0, max=65535, help="Port to listen on")] = None,
    keys: Annotated[str | None, typer.Option("--keys", help="File of API keys (toolace keys add)")] = None,
) -> None:
    """Serve a model behind an OpenAI-compatible endpoint that refines its own tool calls."""
    from toolace.serving.config import load_serve_config
    from toolace.serving.models import choose_model, require_on_hub

    settings = load_serve_config(config, set_ or [])
    chosen = choose_model(model or settings.model.path, settings.model)
    require_on_hub(chosen.model.path)
    update: dict[str, object] = {"model": chosen.model, "model_id": settings.model_id or chosen.name}
    update["label"] = settings.label or chosen.label
    if host is not None:
        update["host"] = host
    if port is not None:
        update["port"] = port
    if keys is not None:
        update["auth"] = settings.auth.model_copy(update={"keys_file": keys})
    from toolace.serving.local import serve_forever

    serve_forever(settings.model_copy(update=update), say=typer.echo)


def promote(
    target: Annotated[str, typer.Argument(help="RUN (its newest round), RUN/ROUND or a model directory")],
    address: AddressOption = LOCAL,
    app: AppOption = "toolace",
    timeout: TimeoutOption = 900,
) -> None:
    """Put another model behind a running endpoint, without losing a request."""
    import ray.dashboard.modules.serve.sdk  # noqa: F401  # takes seconds, which are not the cluster's

    from toolace.dashboard import within
    from toolace.serving.models import choose_model
    from toolace.serving.promotion import check_address, connect, current
    from toolace.serving.promotion import promote as change

    with within(timeout):
        api = connect(check_address(address))
        chosen = choose_model(target, current(api, app).model)
        typer.echo(f"serving {change(api, chosen, app=app, timeout_s=timeout, say=typer.echo)}")


def rollback(address: AddressOption = LOCAL, app: AppOption = "toolace", timeout: TimeoutOption = 900) -> None:
    """Serve the model before the current one again."""
    import ray.dashboard.modules.serve.sdk  # noqa: F401  # takes seconds, which are not the cluster's

    from toolace.dashboard import within
    from toolace.serving.promotion import check_address, connect
    from toolace.serving.promotion import rollback as change

    with within(timeout):
        api = connect(check_address(address))
        typer.echo(f"serving {change(api, app=app, timeout_s=timeout, say=typer.echo)}")
