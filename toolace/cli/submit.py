"""`toolace submit`: any other command as a job of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from toolace.cli.evaluate import check_options
from toolace.cli.run import run_settings
from toolace.config import load_config
from toolace.errors import ConfigError
from toolace.rounds.cluster import is_relative
from toolace.settings_file import apply_override, read_settings

_STAGES = ("probe", "select", "train", "evaluate", "refine")
"""Commands with a run's settings and no run."""


def submit(
    command: Annotated[
        list[str] | None, typer.Argument(help="After --: a command of toolace and its options", show_default=False)
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="http://HEAD:8265; unset: RAY_API_SERVER_ADDRESS, RAY_ADDRESS")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What its jobs' ids begin with; unset: the name in --config or --out"),
    ] = None,
    working_dir: Annotated[
        Path, typer.Option("--working-dir", help="Copied to the cluster, but for what .gitignore and .rayignore name")
    ] = Path("."),
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="KEY=VALUE for the job's processes, or KEY to pass this shell's on (repeatable)"),
    ] = None,
    driver_cpus: Annotated[
        float, typer.Option("--driver-cpus", min=0, help="Run the driver on a node with so many CPUs; 0: on the head")
    ] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show its log until it ends; exit code 1 if it fails")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the run's job; what is finished stays")] = False,
    status: Annotated[bool, typer.Option("--status", help="List the run's jobs")] = False,
) -> None:
    """Submit a command to a Ray cluster: toolace submit -- run --config configs/demo.yaml --set root=/mnt/runs

    Each submission of a run is an attempt NAME-1, NAME-2, ... that goes on where the one before it stopped: submit
    again to resume. --follow, --stop and --status also take a run by its name alone.
    """
    if stop and (follow or status):
        raise ConfigError("--stop goes with neither --follow nor --status: give one of them")
    given, place = what_runs(command or [], working_dir)
    name = name or given
    if name is None:
        raise ConfigError("give the run: a command after -- (toolace submit -- run --config FILE), or --name NAME")
    acts = stop or status
    if not command and not (acts or follow):
        raise ConfigError(f"nothing to do with {name}: give a command after --, or one of --follow, --stop, --status")
    if command and not acts and place is not None:
        check_reachable(place)
    from toolace.rounds.jobs import Jobs, describe, job_name

    name = job_name(name)
    variables = variables_of(env or [])
    jobs = Jobs(address)
    if status:
        typer.echo(describe(jobs.attempts(name, place or "")))
    elif stop:
        attempt = jobs.latest(name, place or "")
        ended = jobs.stop(attempt.id) if attempt.alive else attempt
        typer.echo(f"{ended.id} is {ended.status.lower()}. Submit it again to go on")
    else:
        if command:
            attempt_id = jobs.submit(
                name, command, place=place or "", working_dir=working_dir, env=variables, cpus=driver_cpus
            )
            typer.echo(f"submitted {attempt_id}")
        else:
            attempt_id = jobs.latest(name).id
        if not follow:
            typer.echo(
                f"follow it: toolace submit --name {name} --follow; stop it: toolace submit --name {name} --stop"
            )
            return
        try:
            ended = jobs.follow(attempt_id, lambda lines: typer.echo(lines, nl=False))
        except KeyboardInterrupt:
            typer.echo(f"\n{attempt_id} goes on. Stop it: toolace submit --name {name} --stop", err=True)
            raise typer.Exit(130) from None
        typer.echo(f"{ended.id} is {ended.status.lower()}")
        if ended.status != "SUCCEEDED":
            raise typer.Exit(1)


def what_runs(command: Sequence[str], working_dir: Path) -> tuple[str | None, str | None]:
    """The name of a command's job and the directory of its results, as far as its options tell.

    Options and settings are checked as the command itself checks them, so that what cannot run is refused here.
    """
    if not command:
        return None, None
    if command[0] == "submit":
        raise ConfigError("a job cannot submit: give the command itself after -- (toolace submit -- run --config FILE)")
    options = options_of(command)
    file = working_dir / options["config"] if options.get("config") else None
    if file is not None and not Path(options["config"]).is_absolute():
        check_copied(file, working_dir)
    overrides = list(options.get("set_") or ())
    if command[0] in ("run", "evolve"):
        settings = run_settings(file, overrides)
        return settings.name, settings.run_dir
    if command[0] in _STAGES:
        load_config(file, overrides)
    if command[0] == "evaluate":
        rest = {
            name.rstrip("_"): value for name, value in options.items() if name not in ("benchmark", "data", "json_")
        }
        check_options(options["benchmark"], rest)
    if out := options.get("out"):
        return str(out).rstrip("/").rpartition("/")[2], str(out)
    if file is None:
        return command[0], None
    data = read_settings(file)
    for one in overrides:
        apply_override(data, one)
    name = str(data.get("name", command[0]))
    return name, f"{str(data['root']).rstrip('/')}/{name}" if "root" in data else None


def options_of(command: Sequence[str]) -> dict[str, Any]:
    """A command's options by their parameters' names, as the command line reads them; what it refuses ends as there."""
    from toolace.cli.main import app

    found: Any = typer.main.get_command(app)
    context, rest = found.make_context("toolace", list(command)), list(command)
    while hasattr(found, "resolve_command"):  # a group of commands
        name, found, rest = found.resolve_command(context, rest)
        context = found.make_context(name, rest, parent=context)
    return dict(context.params)


def check_copied(file: Path, working_dir: Path) -> None:
    """Refuse a file that is beside the working directory: the job has a copy of that one alone."""
    if not file.resolve().is_relative_to(working_dir.resolve()):
        raise ConfigError(
            f"{file} is outside {working_dir.resolve()}, of which the job gets a copy. Move it there, or give the "
            "directory that holds both with --working-dir"
        )


def check_reachable(place: str) -> None:
    """Refuse a place that depends on the working directory, which on the cluster is a copy that does not stay."""
    if is_relative(place):
        raise ConfigError(
            f"results in {place!r} would be lost: a job runs in a copy of the working directory. Name a place that "
            "stays and that every node reaches: --set root=/mnt/runs or s3://bucket/runs for a run, --out for a stage"
        )


def variables_of(given: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE`, or `KEY` with the value that it has here."""
    found = {}
    for one in given:
        key, separator, value = one.partition("=")
        if not key:
            raise ConfigError(f"--env {one}: no name before the '='. Write --env KEY=VALUE")
        if not separator and key not in os.environ:
            raise ConfigError(f"--env {key}: it is not set here. Set it, or write --env {key}=VALUE")
        found[key] = value if separator else os.environ[key]
    return found
