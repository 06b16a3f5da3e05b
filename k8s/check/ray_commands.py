"""Calls of Ray's own commands: their subcommands and options are those of the installed version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any


@dataclass
class RayCall:
    """One call of `ray` or `serve`."""

    name: str
    """The command with its subcommands, such as `ray job submit`."""
    problem: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    """Its options and arguments by the names of their parameters; none where they could not be read."""

    def text(self, name: str) -> str | None:
        """The value of an option or argument; None where it is not given, or known to the shell alone."""
        value = self.given.get(name)
        return value if isinstance(value, str) and "$" not in value else None


def ray_call(program: str, words: list[str]) -> RayCall:
    """What `ray WORDS` or `serve WORDS` means; its problem is a subcommand or an option that there is not."""
    import click

    command: Any = _command(program)
    call = RayCall(program)
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):  # options of all of Ray: none takes a value
            words = words[1:]
        if not words or "$" in words[0]:
            return call
        if words[0] not in command.commands:
            near = get_close_matches(words[0], sorted(command.commands), 1, 0.7)
            hint = f": did you mean {near[0]}?" if near else ""
            call.problem = f"{call.name} has no command {words[0]!r}{hint}"
            return call
        call.name += f" {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    try:
        call.given = command.make_parser(click.Context(command, info_name=call.name)).parse_args(list(words))[0]
    except click.NoSuchOption as error:
        call.problem = f"{call.name}: {error.format_message()}"
    except click.UsageError:  # what is missing may come from the environment
        pass
    return call


def _command(program: str) -> Any:
    if program == "serve":
        from ray.serve.scripts import cli as serve

        return serve
    from ray.scripts.scripts import cli

    return cli


def files_of(call: RayCall) -> Iterator[str]:
    """The files and folders here that a call reads."""
    for name in ("runtime_env", "working_dir"):
        if place := call.text(name):
            yield place
    target = call.text("config_or_import_path")
    if target and is_file(target):
        yield target


def is_file(target: str) -> bool:
    """Whether what is to be served is a file of settings, and no import path."""
    return target.endswith((".yaml", ".yml"))
