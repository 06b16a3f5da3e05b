"""`toolace run`, `toolace evolve`, `toolace report`, `toolace config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from toolace.cli.options import ConfigOption, JsonOption, SetOption
from toolace.config import Config, dump_config, load_config
from toolace.errors import ConfigError

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan: rows, stages, memory; do nothing")]


def run(config: ConfigOption = None, set_: SetOption = None, dry_run: DryRunOption = False) -> None:
    """Run rounds of model-aware training (ToolACE-R); the same command again continues where it stopped."""
    settings = run_settings(config, set_)
    if dry_run:
        _print_plan(settings, "rounds")
        return
    from toolace.rounds.driver import run_rounds

    run_rounds(settings)


def evolve(config: ConfigOption = None, set_: SetOption = None, dry_run: DryRunOption = False) -> None:
    """Learn tools by sub-tasks, then evolve on the model's own data (ToolACE-DEV); the same command again continues."""
    settings = run_settings(config, set_)
    if dry_run:
        _print_plan(settings, "evolve")
        return
    from toolace.rounds.evolve import run_evolve

    run_evolve(settings)


def run_settings(config: Path | None, overrides: list[str] | None) -> Config:
    """The settings of a run: file and overrides. Raises `ConfigError`."""
    settings = load_config(config, overrides or [])
    if settings.engine.kind == "scripted":
        raise ConfigError(
            "engine.kind scripted answers from a function that tests pass, and a command has none. Use vllm or hf"
        )
    return settings


def _print_plan(settings: Config, method: Literal["rounds", "evolve"]) -> None:
    from toolace.rounds.plan import describe_plan

    typer.echo(describe_plan(settings, method))


def report(
    run: Annotated[str, typer.Argument(help="Run directory, such as runs/demo")],
    json_: JsonOption = False,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser")] = False,
) -> None:
    """Write the report of a run and the cards of its models anew and print where the report is."""
    from toolace.report import write_model_cards, write_report
    from toolace.report.facts import UNREADABLE
    from toolace.rounds.summary import read_summary
    from toolace.storage import Store

    store = Store(run)
    if json_:
        typer.echo(json.dumps(read_summary(store)))
        return
    path = write_report(store)
    typer.echo(path)
    try:
        write_model_cards(store)
    except UNREADABLE as error:  # the report stands, and has a note of what cannot be read
        typer.echo(f"not all model cards (README.md) could be written: {type(error).__name__}: {error}", err=True)
    if open_:
        import webbrowser

        webbrowser.open(Path(path).resolve().as_uri() if "://" not in path else path)


def config(config: ConfigOption = None, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Print all settings as they resolve (defaults, file, --set)."""
    settings = load_config(config, set_ or [])
    typer.echo(settings.model_dump_json() if json_ else dump_config(settings), nl=json_)
