"""`toolace compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from toolace.cli.options import JsonOption


def compare(
    file: Annotated[Path, typer.Argument(help="Comparison file, such as configs/ablations.yaml")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Override a key of the file: seeds=[1], settings.train.epochs=1", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Seeds to work on at the same time, each in a process of its own")
    ] = 1,
    json_: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the stages done, to make, to share, refused; do nothing")
    ] = False,
) -> None:
    """Run arms that differ by some settings, over seeds, pools and models; the same command again goes on."""
    from toolace.rounds.compare_plan import load_comparison, plan_runs

    comparison = load_comparison(file, set_ or [])
    if dry_run:
        from toolace.rounds.compare import shared_stages
        from toolace.rounds.compare_dry import count_plan, describe

        plan = count_plan(plan_runs(comparison), shared_stages(comparison))
        typer.echo(json.dumps(plan) if json_ else describe(plan, comparison.home))
        return
    from toolace.rounds.compare import compare as make
    from toolace.rounds.compare import comparison_table

    outcome = make(comparison, jobs=jobs)
    typer.echo(json.dumps(outcome) if json_ else comparison_table(outcome))
    if outcome["failed"]:
        for name, error in outcome["failed"].items():
            typer.echo(f"error: run {name}: {error}", err=True)
        typer.echo(
            f"error: {len(outcome['failed'])} runs failed. What is finished stays: mend the cause and run the same "
            "command again",
            err=True,
        )
        raise typer.Exit(1)
