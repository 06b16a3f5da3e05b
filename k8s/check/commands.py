"""Command lines in manifests: the program, its script or module, its options and its settings exist in the image."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import typer

from k8s.check.image import ROOT, Image, commands, importable
from toolace.config import load_config
from toolace.errors import ToolaceError
from toolace.serving.config import load_serve_config
from toolace.training.scratch_config import load_tiny_base_config

_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_USAGE_ERROR: Any = typer.BadParameter.__base__
"""Words that a command does not take; typer has no name of its own for it."""
_SEPARATORS = {"&&", "||", ";", "|"}
_LOADERS: dict[str, Callable[[str | None, list[str]], Any]] = {
    **dict.fromkeys(("run", "evolve", "config", "probe", "select", "train", "evaluate"), load_config),
    "serve": load_serve_config,
    "train_base.py": lambda path, overrides: load_tiny_base_config(str(path), overrides),
}
"""What reads `--config` and `--set` of a command or script."""


class CommandLine:
    """One command line of an object, in an image. `mounted`: folders of volumes, whose content is not known."""

    def __init__(self, image: Image, mounted: list[str]) -> None:
        self.image = image
        self.mounted = mounted
        self.settings: Any = None
        """The settings of `toolace run` that the command line means, once it was checked and they are right."""

    def check_text(self, text: str) -> Iterator[str]:
        """What is wrong with a shell command."""
        try:
            words = shlex.split(text.replace(";", " ; "), comments=True)
        except ValueError as error:
            yield f"is no command line: {error}"
            return
        part: list[str] = []
        for word in [*words, ";"]:
            if word in _SEPARATORS:
                if part:
                    yield from self.check(part)
                part = []
            else:
                part.append(word)

    def check(self, words: list[str]) -> Iterator[str]:
        """What is wrong with one program and its arguments."""
        while words and (_ENVIRONMENT.fullmatch(words[0]) or words[0] in ("exec", "env")):
            words = words[1:]
        if not words:
            return
        program, *rest = words
        name = posixpath.basename(program)
        if name not in commands() and not self._is_mounted(program):
            yield f"the image has no command {program!r}"
        elif name in ("python", "python3"):
            yield from self._python(rest)
        elif name in ("sh", "bash") and "-c" in " ".join(rest[:2]) and len(rest) > 1:
            yield from self.check_text(rest[-1])
        elif name == "toolace":
            yield from self._toolace(rest)

    def _is_mounted(self, path: str) -> bool:
        return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in self.mounted)

    def _python(self, words: list[str]) -> Iterator[str]:
        while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
            words = words[1:]
        if not words or words[0] == "-c":
            return
        if words[0] == "-m":
            module = words[1] if len(words) > 1 else ""
            if module == "toolace":
                yield from self._toolace(words[2:])
            elif self.image.module(module) is None and not importable(module):
                yield f"the image has no module {module!r}"
            return
        script, *rest = words
        file = self.image.file(script)
        if file is None:
            if not self._is_mounted(script):
                yield f"the image has no file {script!r} (from {self.image.workdir})"
            return
        given = re.search(r"sys\.argv\.insert\(1, \"(\w+)\"\)", file.read_text(encoding="utf-8"))
        if given:
            yield from self._toolace([given[1], *rest])
        elif file.parent.name == "ray_jobs":
            yield from self._settings(file.name, _values(rest, "--config", "-c"), _values(rest, "--set"))

    def _toolace(self, words: list[str]) -> Iterator[str]:
        from toolace.cli.main import app

        command: Any = typer.main.get_command(app)
        name, chain = "", ["toolace"]
        try:
            while hasattr(command, "commands"):
                name = words[0] if words else ""
                if name not in command.commands:
                    yield f"{' '.join(chain)} has no command {name!r}"
                    return
                command, words = command.commands[name], words[1:]
                chain.append(name)
            command.make_context(" ".join(chain), list(words))
        except _USAGE_ERROR as error:
            yield f"{' '.join(chain)}: {error.format_message()}"
            return
        except typer.Exit:
            return
        yield from self._settings(chain[1], _values(words, "--config", "-c"), _values(words, "--set"))

    def _settings(self, reader: str, config: list[str], overrides: list[str]) -> Iterator[str]:
        load = _LOADERS.get(reader)
        path = config[-1] if config else None
        here = self.image.file(path) if path else None
        if path and here is None:
            if not self._is_mounted(path):
                yield f"the image has no file {path!r} (from {self.image.workdir})"
            return
        if load is None:
            return
        try:
            settings = load(str(here) if here else None, overrides)
        except ToolaceError as error:
            yield str(error).replace(f"{ROOT}/", "")
            return
        if load is load_config:
            self.settings = settings


def _values(words: list[str], *names: str) -> list[str]:
    """The values of an option, as `--name VALUE` and `--name=VALUE`."""
    found = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names and equals:
            found.append(value)
        elif word in names and index + 1 < len(words):
            found.append(words[index + 1])
    return found
