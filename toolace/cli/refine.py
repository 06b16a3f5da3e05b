"""`toolace refine`: one query, its rounds shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from toolace.calls import Chat, Message, Tool
from toolace.cli.options import ConfigOption, JsonOption, SetOption
from toolace.cli.stages import ModelOption, stage_settings
from toolace.errors import DataError


def read_tools(path: Path) -> tuple[Tool, ...]:
    """Tools from a JSON file: a list of OpenAI tools (`{"type": "function", ...}`) or of bare functions."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no such file: {path}. --tools takes a JSON file with a list of functions") from None
    except RecursionError:
        raise DataError(f"{path} is nested too deep to be a list of functions") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if isinstance(data, dict):
        data = [data]
    tools = []
    for number, item in enumerate(data if isinstance(data, list) else [data]):
        function: Any = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise DataError(f"{path}: entry {number} is not a function with a name: {str(item)[:80]}")
        known = {key: function[key] for key in ("name", "description", "parameters") if function.get(key) is not None}
        try:
            tools.append(Tool.model_validate(known))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{path}: entry {number}: {field} is wrong: {first['msg']}") from None
    return tuple(tools)


def refine(
    query: Annotated[str, typer.Argument(help="What the user asks")],
    tools: Annotated[Path, typer.Option("--tools", help="JSON file with the functions that may be called")],
    model: ModelOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Answer a query with tools, refine the answer, and print every round."""
    settings = stage_settings(config, set_, model)
    chat = Chat(tools=read_tools(tools), messages=(Message(role="user", content=query),))
    from toolace.refinement.once import refine_once

    refined = refine_once(chat, settings)
    if json_:
        typer.echo(refined.model_dump_json())
        return
    for number, step in enumerate(refined.steps):
        typer.echo(f"{'draft' if number == 0 else f'round {number}':>8}  {step.text}")
    typer.echo(f"{'answer':>8}  {refined.text}   (stopped: {refined.stopped}, {refined.model_calls} model calls)")
