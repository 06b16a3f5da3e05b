"""Calls of Ray's own command: its subcommands and options are those of the installed version."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

_SUBMIT = ["job", "submit"]


def ray_problem(words: list[str]) -> str | None:
    """What is wrong with `ray WORDS`: a subcommand or an option that there is not."""
    import click
    from ray.scripts.scripts import cli

    command: Any = cli
    chain = ["ray"]
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):  # options of all of Ray: none takes a value
            words = words[1:]
        if not words or "$" in words[0]:
            return None
        if words[0] not in command.commands:
            near = get_close_matches(words[0], sorted(command.commands), 1, 0.7)
            hint = f": did you mean {near[0]}?" if near else ""
            return f"{' '.join(chain)} has no command {words[0]!r}{hint}"
        chain.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    try:
        command.make_parser(click.Context(command, info_name=" ".join(chain))).parse_args(list(words))
    except click.NoSuchOption as error:
        return f"{' '.join(chain)}: {error.format_message()}"
    except click.UsageError:  # what is missing may come from the environment
        return None
    return None


def submitted(words: list[str]) -> list[str]:
    """The command that `ray job submit` sends; empty for other commands."""
    plain = [word for word in words if not word.startswith("-")]
    return words[words.index("--") + 1 :] if plain[:2] == _SUBMIT and "--" in words else []
