"""`toolace keys`: API keys of the endpoint."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from toolace.cli.options import JsonOption

app = typer.Typer(help="Make, list and revoke API keys of the endpoint.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Whose key it is; stands in request logs")]
FileOption = Annotated[str, typer.Option("--file", "-f", help="The keys file (auth.keys_file of the endpoint)")]


@app.command()
def add(name: NameArgument, file: FileOption) -> None:
    """Make a key and print it. Only its hash is kept, so this is the only time that it can be seen."""
    from toolace.serving.keyfile import add_key

    key = add_key(file, name)
    typer.echo(key)
    typer.echo("Keep it: only its hash was written. Clients send it as `Authorization: Bearer KEY`.", err=True)


@app.command("list")
def list_(file: FileOption, json_: JsonOption = False) -> None:
    """List the names of the keys."""
    from toolace.serving.keyfile import list_keys

    names = list_keys(file)
    if json_:
        typer.echo(json.dumps(names))
        return
    for name in names:
        typer.echo(name)


@app.command()
def revoke(name: NameArgument, file: FileOption) -> None:
    """Take a key out of the file; a running endpoint refuses it within a second or so."""
    from toolace.serving.keyfile import revoke_key

    revoke_key(file, name)
    typer.echo(f"revoked {name}")
