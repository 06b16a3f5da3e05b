"""Command lines in manifests: programs, scripts, modules, options, settings and places exist in the image."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from k8s.check.image import ROOT, Image, below, importable
from k8s.check.mounted import Mounted
from k8s.check.programs import Invocation, invoke, invoke_script, read_settings
from k8s.check.python_code import import_problems
from k8s.check.ray_commands import ray_problem, submitted
from k8s.check.shell import ASSIGNMENT, CLOSERS, SHELLS, made_by, plain, shell_parts
from k8s.check.variables import unknown

_PYTHON_WITH_VALUE = {"-X", "-W", "--check-hash-based-pycs"}
_PROGRAMS = {
    "redis": "redis-server redis-cli redis-benchmark redis-check-aof redis-check-rdb redis-sentinel",
    "valkey": "valkey-server valkey-cli valkey-benchmark valkey-check-aof valkey-check-rdb valkey-sentinel",
}
"""Programs of other images that manifests use, by the image's name."""


def foreign_problem(reference: str, words: list[str]) -> str | None:
    """A program's name that is nearly, and not quite, one of those in somebody else's image."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    known = _PROGRAMS.get(name, "").split()
    for word in known and [word for part in shell_parts("\n".join(words)) for word in plain(part)[:1]]:
        program = posixpath.basename(word)
        near = get_close_matches(program, known, 1, 0.7)
        if near and program not in known:
            return f"image {name} has no command {program!r}: did you mean {near[0]}?"
    return None


class CommandLine:
    """One command line of an object, in an image, from a folder in it. `mounted`: the volumes of its container."""

    def __init__(self, image: Image, mounted: Mounted, folder: str | None = None) -> None:
        self.image = image
        self.mounted = mounted
        self.settings: Any = None
        """The settings of the run that the command line starts, once it was checked and they are right."""
        self.writes: list[tuple[str, str]] = []
        """Where its programs write results, with the name of what says so."""
        self._at = folder or image.workdir
        self._left: list[str] = []
        """Where the shells are that a bracket left for one of its own."""
        self._made: list[str] = []
        """Places that earlier commands may have made."""
        self._text = ""

    def check_text(self, text: str) -> Iterator[str]:
        """What is wrong with a shell command."""
        try:
            parts = shell_parts(text)
        except ValueError as error:
            yield f"is no command line: {error}"
            return
        self._text += text
        for part in parts:
            yield from self.check(part)

    def check(self, words: list[str]) -> Iterator[str]:
        """What is wrong with one program and its arguments."""
        if words == ["("]:
            self._left.append(self._at)
        elif words == [")"] and self._left:
            self._at = self._left.pop()
        before, words = words, plain(words)
        if not words or words[0] in CLOSERS:
            return
        program, *rest = words
        name = posixpath.basename(program)
        for word in before if name == "export" else before[: -len(words)]:
            found = ASSIGNMENT.fullmatch(word)
            if (
                found
                and f"${found[1]}" not in self._text.replace("{", "")
                and (problem := unknown(found[1], ours=True))
            ):
                yield problem
        if "$" in program:
            return
        if not self._is_command(program):
            yield f"the image has no command {program!r}"
        elif name in ("python", "python3"):
            yield from self._python(rest)
        elif name in SHELLS:
            yield from self._shell(rest)
        elif name == "cd" and rest:
            yield from self._change(rest[0])
        elif name == "toolace":
            yield from self._own(invoke(rest), rest)
        elif name == "ray":
            yield from self._ray(rest)
        self._made += made_by(before, self._at)

    def ran_before(self, text: str) -> None:
        """Take note of a shell text that has run in the container, and of what it may have made."""
        for part in shell_parts(text):
            self._made += made_by(part, self._at)

    def _is_command(self, program: str) -> bool:
        return program in self.image.commands() if "/" not in program else self._is_there(program)

    def _is_there(self, place: str) -> bool:
        """Whether a place is in the image, on a volume, or made earlier in the same text."""
        full = posixpath.normpath(posixpath.join(self._at, place))
        if "$" in place or below(full, self._made):
            return True
        return self.mounted.holds(self.image, full)

    def has_folder(self, folder: str) -> bool:
        """Whether a folder is in the image or a volume, so that commands can run there."""
        return self._is_there(folder)

    def _missing(self, place: str) -> str:
        return f"the image has no file {place!r} (from {self._at})"

    def _change(self, folder: str) -> Iterator[str]:
        if not self._is_there(folder) and not folder.startswith(("-", "~")):
            yield f"the image has no folder {folder!r} (from {self._at})"
        elif "$" not in folder:
            self._at = posixpath.normpath(posixpath.join(self._at, folder))

    def _shell(self, words: list[str]) -> Iterator[str]:
        while words and words[0].startswith("-"):
            if "c" in words[0].lstrip("-") and not words[0].startswith("--"):
                if len(words) > 1:
                    yield from self.check_text(words[1])
                return
            words = words[1:]
        if words and not self._is_there(words[0]):
            yield self._missing(words[0])

    def _ray(self, words: list[str]) -> Iterator[str]:
        if problem := ray_problem(words):
            yield problem
            return
        yield from self._job(submitted(words))

    def _job(self, words: list[str]) -> Iterator[str]:
        """The command of `ray job submit`, which runs on the head and not here."""
        if words:
            yield from CommandLine(self.image, Mounted(["/mnt"])).check(words)

    def _python(self, words: list[str]) -> Iterator[str]:
        while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
            words = words[2 if words[0] in _PYTHON_WITH_VALUE else 1 :]
        if words[:1] == ["-c"]:
            yield from import_problems(self.image, words[1] if len(words) > 1 else "")
        if not words or words[0] == "-c":
            return
        if words[0] == "-m":
            module = words[1] if len(words) > 1 else ""
            if module in ("toolace", "toolace.cli.main"):
                yield from self._own(invoke(words[2:]), words)
            elif self.image.module(module) is None and not importable(module):
                yield f"the image has no module {module!r}"
            return
        script, *rest = words
        file = self.image.file(posixpath.join(self._at, script))
        if file is not None:
            yield from self._own(invoke_script(file, rest), rest)
        elif not self._is_there(script):
            yield self._missing(script)

    def _own(self, call: Invocation, words: list[str]) -> Iterator[str]:
        """What is wrong with a call of one of the project's programs."""
        varies, problem = any("$" in word for word in words), call.problem
        if problem and (not varies or "No such option" in problem or "unrecognized" in problem):
            yield problem
        if problem or varies:
            return
        missing = [place for place in call.reads if not self._has(place)]
        if missing:
            yield self._missing(missing[0])
            return
        known = len(call.reads)
        self._read(call)
        if problem := call.problem:
            yield problem
        yield from (self._missing(place) for place in call.reads[known:] if not self._has(place))
        yield from (problem for model in call.models if (problem := self.model_problem(model)))
        self.writes += call.writes

    def _read(self, call: Invocation) -> None:
        """The settings of a call, where its file is in the image or written out in a ConfigMap."""
        full = posixpath.normpath(posixpath.join(self._at, call.config or ""))
        text = self.mounted.files.get(full) if call.config else None
        if text is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / posixpath.basename(full)
                file.write_text(text, encoding="utf-8")
                self.settings = read_settings(call, file) or self.settings
            call.problem = call.problem and call.problem.replace(str(file), full)
        elif not call.config or self.image.file(full):
            self.settings = read_settings(call, self.image.file(full) if call.config else None) or self.settings

    def _has(self, place: str) -> bool:
        return "://" in place or place == "-" or self._is_there(place)

    def model_problem(self, model: str) -> str | None:
        """Why a model is not to be had in the image; None for a hub's and those in object storage."""
        if model.startswith("builtin:"):
            return shipped_problem(model)
        local = model.startswith((".", "/", "~")) or model.count("/") > 1 or model.startswith("runs/")
        if not local or self._has(model):
            return None
        return f"model {model!r} is not in the image, and on no volume of the pod that something fills"


def shipped_problem(model: str) -> str | None:
    """Why a model `builtin:NAME` is none that ships."""
    shipped = sorted(file.parent.name for file in (ROOT / "toolace" / "assets").glob("*/config.json"))
    name = model.removeprefix("builtin:")
    return None if name in shipped else f"no model {model!r} ships. There is: builtin:{', builtin:'.join(shipped)}"
