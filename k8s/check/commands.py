"""Command lines in manifests: programs, scripts, modules, options, settings and places exist in the image."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from k8s.check import base_image
from k8s.check.brought import NOTHING, Brought
from k8s.check.command_words import (
    CLOSERS,
    PYTHON,
    SHELLS,
    given_text,
    made_by,
    pip_call,
    reads,
    shell_call,
    unwrapped,
)
from k8s.check.image import Image
from k8s.check.inner_texts import as_user, sourced, trapped
from k8s.check.mounted import Mounted
from k8s.check.places import Places
from k8s.check.programs import Invocation, invoke, invoke_script, settings_at
from k8s.check.python_calls import PythonCall, launcher_call, python_call
from k8s.check.python_code import import_problems, module_problem, runnable, served_problem
from k8s.check.ray_commands import RayCall, files_of, is_file, ray_call
from k8s.check.shell import ASSIGNMENT, shell_parts
from k8s.check.submissions import brought_to, lost, mounted_there, places_elsewhere, submission_problem
from k8s.check.variables import unknown


class CommandLine:
    """One command line of an object, in an image, from a folder in it.

    `mounted`: the volumes of its container. `brought`: what comes to it beside the image.
    """

    def __init__(self, image: Image, mounted: Mounted, folder: str | None = None, brought: Brought = NOTHING) -> None:
        self.image = image
        self._brought = brought
        self.settings: Any = None
        """The settings of the run that the command line starts, once it was checked and they are right."""
        self.writes: list[tuple[str, str]] = []
        """Where its programs write results, with the name of what says so."""
        self._places = Places(image, mounted, posixpath.normpath(posixpath.join(image.workdir, folder or "")))
        self._left: list[str] = []
        """Where the shells are that a bracket left for one of its own."""
        self._text = ""
        self._functions: set[str] = set()
        self._traps: list[str] = []
        """Texts that the shell carries out when it ends."""
        self._installs = False
        """Whether pip ran, which brings modules and programs."""
        self._led = set(brought.paths)
        """`PATH` and `PYTHONPATH` where the text sets them: programs, or modules, may come from elsewhere."""

    def check_text(self, text: str) -> Iterator[str]:
        """What is wrong with a shell command."""
        try:
            parts = shell_parts(text)
        except ValueError as error:
            yield f"is no command line: {error}"
            return
        self._text += text
        self._functions |= {part[1] for part in parts if part[0] == "function" and len(part) > 1}
        around, self._traps = self._traps, []
        for index, part in enumerate(parts):
            may_fail = parts[index + 1 : index + 3] in ([["||"], ["true"]], [["||"], [":"]])
            yield from self.check(part, may_fail=may_fail)
        traps, self._traps = self._traps, around
        for trap in traps:
            yield from self.check_text(trap)

    def check(self, words: list[str], *, may_fail: bool = False) -> Iterator[str]:
        """What is wrong with one program and its arguments. `may_fail`: it may be missing, and files that it reads."""
        if words == ["("]:
            self._left.append(self._places.at)
        elif words == [")"] and self._left:
            self._places.at = self._left.pop()
        call = unwrapped(words)
        given = [found for word in call.given() if (found := ASSIGNMENT.fullmatch(word))]
        self._led |= {found[1] for found in given} & {"PATH", "PYTHONPATH"}
        if call.words:  # others are the shell's own, until they are exported
            yield from self._unread([found[1] for found in given])
        if not may_fail:
            yield from (self._places.missing(one) for one in reads(words) if self._places.lacks(one))
        if call.words and call.words[0] not in CLOSERS:
            yield from self._program(call.words, given_text(words), may_fail=may_fail)
        self._places.made += made_by(words, self._places.at)

    def _unread(self, names: list[str]) -> Iterator[str]:
        """Variables that a program is given and that neither it nor the text reads."""
        expanded = self._text.replace("{", "")
        yield from (said for name in names if f"${name}" not in expanded and (said := unknown(name, ours=True)))

    def _program(self, words: list[str], given: str, *, may_fail: bool = False) -> Iterator[str]:
        """What is wrong with a program, its arguments and the text that it is given as its input."""
        program, *rest = words
        name = posixpath.basename(program)
        if "$" in program:
            pass
        elif not self._is_command(program):
            yield from () if may_fail else (f"the image has no command {program!r}",)
        elif PYTHON.fullmatch(name):
            yield from self._python(python_call(rest), given)
        elif launch := launcher_call(name, rest):
            yield from self._python(launch, given)
        elif name in SHELLS:
            text, script = shell_call(rest)
            yield from self.check_text(given if text is None and script is None else text or "")
            if script and not self._places.is_there(script):
                yield self._places.missing(script)
        elif name == "eval":
            yield from self.check_text(" ".join(rest))
        elif name in ("cd", "pushd", "popd"):
            folder = next((word for word in rest if word not in ("-P", "-L", "--")), "~")
            if problem := self._places.change("-" if name == "popd" else folder):
                yield problem
        elif name == "toolace" and not self._brought.own:
            yield from self._own(invoke(rest), rest)
        elif name in ("ray", "serve"):
            yield from self._ray(ray_call(name, rest))
        elif name in (".", "source"):
            self._source(" ".join(rest[:1]))
        elif name == "trap":
            self._traps += trapped(rest)
        elif name in ("su", "runuser"):
            text, login = as_user(rest)
            at = self._places.at
            self._places.change("~" if login else at)
            yield from self.check_text(text)
            self._places.at = at
        self._installs = self._installs or "install" in pip_call(words)
        self._places.has_run |= program not in base_image.WORDS | base_image.PROGRAMS or name in SHELLS

    def _source(self, place: str) -> None:
        """Take note of what a sourced file leaves behind: commands of any name, where nothing is known of it."""
        text = self._places.text(place)
        if text is None:
            # Where it is known to be missing, which is said, it brings nothing.
            self._led |= set() if self._places.lacks(place) else {"PATH"}
            return
        found = sourced(text, self._places)
        self._text += text
        self._functions |= found.functions
        self._led |= {"PATH"} if found.open else set()

    def ran_before(self, text: str) -> None:
        """Take note of a shell text that has run in the container, and of what it may have made."""
        try:
            parts = shell_parts(text)
        except ValueError:  # said where the text is checked
            return
        for part in parts:
            self._places.made += made_by(part, self._places.at)

    def _is_command(self, program: str) -> bool:
        if "/" in program:
            return self._places.is_there(program)
        known = self.image.commands() | self._functions
        if self._installs and not get_close_matches(program, known, 1, 0.85):
            return True
        return program in known or "PATH" in self._led or self._brought.has_program(program, known)

    def has_folder(self, folder: str) -> bool:
        """Whether a folder is in the image or a volume, so that commands can run there."""
        return self._places.is_there(folder)

    def model_problem(self, model: str) -> str | None:
        """Why a model is not to be had in the image; None for a hub's and those in object storage."""
        return self._places.model_problem(model)

    def _ray(self, call: RayCall) -> Iterator[str]:
        if call.problem:
            yield call.problem
            return
        yield from (self._places.missing(place) for place in files_of(call) if not self._places.has(place))
        target = call.text("config_or_import_path")
        elsewhere = call.given.get("working_dir") or call.given.get("app_dir") or self._places.at != self.image.workdir
        elsewhere = elsewhere or "PYTHONPATH" in self._led or self._brought.has_module(target or "")
        if target and not is_file(target) and not elsewhere:
            yield from served_problem(self.image, target)
        words = call.given.get("entrypoint")
        if call.name == "ray job submit" and isinstance(words, tuple | list) and words:
            # It runs on the head and not here; in a copy of the folder that is sent, if one is.
            brought = brought_to(call, self._places)
            folder = brought.folder and self._places.full(brought.folder)
            volumes = mounted_there(self._places, brought.folder)
            yield from CommandLine(self.image, volumes, folder, brought).check(list(words))

    def _submitted(self, call: Invocation) -> Iterator[str]:
        """What is wrong with a command that `toolace submit` sends."""
        if problem := submission_problem(call, self._places):
            yield problem
            return
        yield from self._unread(call.variables)
        line = CommandLine(self.image, places_elsewhere(self._places), self._places.full(call.working_dir))
        line._places.made, line._places.has_run = [*self._places.made], self._places.has_run
        yield from line.check(["toolace", *call.submitted])
        yield from (problem for _, place in line.writes if call.sends and (problem := lost(place)))

    def _python(self, call: PythonCall, given: str) -> Iterator[str]:
        if call.kind in ("text", "-"):
            if not self._brought.has_module("toolace"):
                yield from import_problems(self.image, call.name or given, self._may_have)
        elif call.kind == "program":
            yield from self._program([call.name, *call.rest], given)
        elif call.kind == "module":
            yield from self._module(call.name, call.rest)
        else:
            file = self.image.file(self._places.full(call.name))
            if file is not None:
                yield from self._own(invoke_script(file, call.rest), call.rest)
            elif not self._places.is_there(call.name):
                yield self._places.missing(call.name)

    def _may_have(self, module: str) -> bool:
        """Whether a module that the image has not may be found all the same."""
        place = module.partition(".")[0]
        beside = any(map(self._places.is_there, (place, f"{place}.py")))
        return self._installs or "PYTHONPATH" in self._led or beside or self._brought.has_module(module)

    def _module(self, name: str, words: list[str]) -> Iterator[str]:
        if name in ("toolace", "toolace.cli.main"):
            yield from () if self._brought.own else self._own(invoke(words), words)
            return
        if "$" in name or "PYTHONPATH" in self._led:
            return
        place = name.replace(".", "/")
        beside = self._places.at != self.image.workdir and any(map(self._places.is_there, (place, f"{place}.py")))
        problem = None if beside else module_problem(self.image, name)
        installed = self._installs and not name.startswith(("toolace.", "ray_jobs.", "serve_apps."))
        if problem and not installed and not self._brought.has_module(name):
            yield problem
        elif not problem and not self._brought.replaces() and (file := runnable(self.image, name)):
            yield from self._own(invoke_script(file, words), words)

    def _own(self, call: Invocation, words: list[str]) -> Iterator[str]:
        """What is wrong with a call of one of the project's programs."""
        varies, problem = any("$" in word for word in words), call.problem
        if problem and (not varies or "No such option" in problem or "unrecognized" in problem):
            yield problem
        if call.submitted:
            yield from self._submitted(call)
        if problem or varies:
            return
        places = self._places
        missing = [place for place in call.reads if not places.has(place)]
        if missing:
            yield places.missing(missing[0])
            return
        known = len(call.reads)
        self.settings = settings_at(call, places) or self.settings
        if problem := call.problem:
            yield problem
        yield from (places.missing(place) for place in call.reads[known:] if not places.has(place))
        yield from (problem for model in call.models if (problem := self.model_problem(model)))
        self.writes += call.writes
