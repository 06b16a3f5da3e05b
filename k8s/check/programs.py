"""The project's own programs: what their parsers take, and which places an invocation reads and writes."""

from __future__ import annotations

import argparse
import ast
import io
import posixpath
import re
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from k8s.check.image import ROOT
from k8s.check.places import Places
from toolace.config import Config, FileSource, load_config
from toolace.errors import ToolaceError
from toolace.serving.config import load_serve_config
from toolace.training.scratch_config import load_tiny_base_config

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""Words that a command does not take; typer has no name of its own for it."""
_READS = ("config", "data", "tools", "corpus", "probe", "previous", "predictions", "keys")
_WRITES = ("out", "verdicts")
"""Options that name places, by the name of their parameter."""
_RUNS = ("run", "evolve")
_LOADERS: dict[str, Callable[[str | None, list[str]], Any]] = {
    **dict.fromkeys((*_RUNS, "config", "probe", "select", "train", "evaluate"), load_config),
    "serve": load_serve_config,
    "train_base": lambda path, overrides: load_tiny_base_config(str(path), overrides),
}
"""What reads `--config` and `--set` of a command or script."""
_TYPES = {"int": int, "float": float, "str": str, "Path": Path}


@dataclass
class Invocation:
    """What one call of a program means, as far as its words say it."""

    problem: str | None = None
    reads: list[str] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    """Where results go, with the name of the setting or option that says it."""
    models: list[str] = field(default_factory=list)
    config: str | None = None
    overrides: list[str] = field(default_factory=list)
    reader: str = ""
    """The command whose settings `--config` and `--set` are."""
    submitted: list[str] = field(default_factory=list)
    """The command of `toolace` that it sends to a cluster, with a copy of `working_dir`."""
    sends: bool = True
    """Whether that is started there; its run is stopped or asked for otherwise."""
    working_dir: str = "."
    variables: list[str] = field(default_factory=list)
    """Names of the variables that it gives to what it sends."""


def invoke(words: list[str]) -> Invocation:
    """What `toolace WORDS` means."""
    with redirect_stdout(io.StringIO()):  # --help prints
        return _invoke(words)


def _invoke(words: list[str]) -> Invocation:
    from toolace.cli.main import app

    command: Any = typer.main.get_command(app)
    chain = ["toolace"]
    try:
        while hasattr(command, "commands"):
            name = words[0] if words else ""
            if name.startswith("--"):
                command.make_context(" ".join(chain), list(words))
                return Invocation()
            if name not in command.commands:
                return Invocation(f"{' '.join(chain)} has no command {name!r}")
            command, words = command.commands[name], words[1:]
            chain.append(name)
        context = command.make_context(" ".join(chain), list(words))
    except _USAGE_ERROR as error:
        return Invocation(f"{' '.join(chain)}: {error.format_message()}")
    except typer.Exit:
        return Invocation()
    return _invocation(chain[1], context.params)


def invoke_script(file: Path, words: list[str]) -> Invocation:
    """What a script of the project with its arguments means: some are a command of `toolace` under another name."""
    text = file.read_text(encoding="utf-8")
    given = re.search(r"sys\.argv\.insert\(1, \"(\w+)\"\)", text)
    if given:
        return invoke([given[1], *words])
    parser = script_parser(text, file.name)
    if parser is None:
        return Invocation()
    try:
        with redirect_stdout(io.StringIO()):
            parsed = vars(parser.parse_args(words))
    except _RefusedError as error:
        return Invocation(f"{file.name}: {error}")
    except SystemExit:  # --help
        return Invocation()
    return _invocation(file.stem, {**parsed, "set_": parsed.get("set")})


def _invocation(reader: str, given: dict[str, Any]) -> Invocation:
    found = Invocation(reader=reader, overrides=list(given.get("set_") or ()))
    found.config = str(given["config"]) if given.get("config") else None
    found.reads = [str(given[name]) for name in _READS if given.get(name)]
    found.writes = [(f"--{name}", str(given[name])) for name in _WRITES if given.get(name)]
    if given.get("model"):
        found.models.append(str(given["model"]))
    if reader == "submit":
        found.submitted, found.working_dir = list(given.get("command") or ()), str(given["working_dir"])
        found.sends = not (given.get("stop") or given.get("status"))
        if found.sends and not found.submitted and not given.get("follow"):
            found.problem = "toolace submit: nothing to do: give a command after --"
        found.variables = [one.partition("=")[0] for one in given.get("env") or ()]
    return found


class _RefusedError(Exception):
    """A parser's word on arguments that it does not take."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _RefusedError(message)


def script_parser(text: str, name: str) -> argparse.ArgumentParser | None:
    """The parser that a script builds with `add_argument`, read from its text and not run; None without one."""
    parser = _Parser(prog=name)
    found = False
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            options = {word.arg: _constant(word.value) for word in node.keywords if word.arg}
            kept = {key: value for key, value in options.items() if value is not None and key != "help"}
            parser.add_argument(*(_constant(argument) for argument in node.args), **kept)
            found = True
    return parser if found else None


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _TYPES.get(node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def read_settings(call: Invocation, config: Path | None) -> Any:
    """The settings of an invocation, and what they read and write added to it; None where it has none.

    `config`: the file here that its `--config` means. A setting that is wrong becomes the invocation's problem.
    """
    load = _LOADERS.get(call.reader)
    if load is None:
        return None
    try:
        settings = load(str(config) if config else None, call.overrides)
    except ToolaceError as error:
        call.problem = str(error).replace(f"{ROOT}/", "")
        return None
    if call.reader == "train_base":
        call.writes += [(name, place) for name in ("output", "work") if (place := getattr(settings, name))]
        return None
    if not call.models:
        call.models.append(settings.model.path)
    if not isinstance(settings, Config) or call.reader not in _RUNS:
        return None
    call.writes.append(("root", settings.root))
    sources = (settings.data.train, settings.data.dev, settings.data.test)
    call.reads += [source.path for source in sources if isinstance(source, FileSource)]
    return settings


def settings_at(call: Invocation, places: Places) -> Any:
    """The settings of a call, where its file is in the image or written out in a ConfigMap; None for others."""
    full = places.full(call.config or "")
    text = places.mounted.files.get(full) if call.config else None
    if text is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / posixpath.basename(full)
            file.write_text(text, encoding="utf-8")
            settings = read_settings(call, file)
        call.problem = call.problem and call.problem.replace(str(file), full)
        return settings
    if call.config and not places.image.file(full):
        return None
    return read_settings(call, places.image.file(full) if call.config else None)
