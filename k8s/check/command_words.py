"""What the words of one command say: which program runs, what stands before it, what it reads and may make."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from k8s.check.shell import ASSIGNMENT, OPENERS, Redirect, shell_parts

CLOSERS = {"fi", "done", "esac", "}", ")", "for", "select", "case", "function", "||"}
SHELLS = ("sh", "bash", "dash", "rbash")
PYTHON = re.compile(r"python(3(\.\d+)?)?")
_WRAPPERS: dict[str, tuple[int, str]] = {
    "exec": (0, "-a"),
    "command": (0, ""),
    "builtin": (0, ""),
    "env": (0, "-u --unset -C --chdir"),
    "nohup": (0, ""),
    "nice": (0, "-n --adjustment"),
    "ionice": (0, "-c --class -n --classdata"),
    "timeout": (1, "-k --kill-after -s --signal"),
    "time": (0, "-f --format -o --output"),
    "setsid": (0, ""),
    "stdbuf": (0, "-i -o -e --input --output --error"),
    "taskset": (1, ""),
    "chrt": (1, "-T -P -D"),
    "flock": (1, "-w --timeout -E --conflict-exit-code"),
    "xargs": (0, "-a -d -E -I -L -n -P -s --arg-file --delimiter --max-lines --max-args --max-procs --max-chars"),
}
"""Commands that run the command after them: how many words of their own stand before it, and options with a value."""
_PIP = re.compile(r"pip3?(\.\d+)?")
_LISTS = ("-r", "--requirement", "-c", "--constraint")
"""Options of pip that take a file."""
_SHELL_WITH_VALUE = ("--rcfile", "--init-file")
_MAKERS = frozenset(["mkdir", "cp", "mv", "ln", "touch", "tee", "install", "split", "gunzip", "rsync", "hf", "aws"])
_UNPACKERS = frozenset(["tar", "unzip", "wget", "curl", "git"])
"""Commands that make what their words name; and those that may make anything where they run."""
_TESTS = ("[", "test")
"""What a text asks for before it goes there may be there."""
_TARGETS = {"-o", "-O", "--out", "--output", "--output-dir", "--local-dir"}
"""Options by which other commands say what they make."""
_COPIERS = {"cp": "-t --target-directory -S --suffix", "mv": "-t --target-directory -S --suffix"}
_READERS = {"cat": "", "head": "-n -c --lines --bytes", "tail": "-n -c -s --lines --bytes --pid", "source": "", ".": ""}
"""Commands that read the files that their words name, with their options that take a value."""


@dataclass
class Plain:
    """A command without redirections, assignments and commands that only run the next."""

    words: list[str]
    assigned: list[str] = field(default_factory=list)
    """The assignments before it."""

    def given(self) -> list[str]:
        """The assignments that are meant for programs: those before it, and those that `export` is given."""
        return [*self.assigned, *(self.words[1:] if self.words[:1] == ["export"] else [])]


def unwrapped(words: list[str]) -> Plain:
    """The command that some words run in the end."""
    found = Plain(_without_redirects(words))
    while words := found.words:
        first = words[0]
        if ASSIGNMENT.fullmatch(first):
            found.assigned.append(first)
        elif posixpath.basename(first) in _WRAPPERS and not (first == "command" and words[1:2] in (["-v"], ["-V"])):
            found.words = _wrapped(posixpath.basename(first), words[1:])
            continue
        elif first not in OPENERS:
            break
        found.words = words[1:]
    return found


def _wrapped(wrapper: str, words: list[str]) -> list[str]:
    own, with_value = _WRAPPERS[wrapper]
    while words and words[0].startswith("-"):
        if wrapper == "env" and (text := _split_string(words)):
            return text
        words = words[2 if words[0] in with_value.split() else 1 :]
    words = words[own:]
    if wrapper == "flock" and words[:1] == ["-c"]:
        return ["sh", *words]
    if wrapper == "xargs" and words:  # what it adds is not known
        return [*(word.replace("{}", "$1") for word in words), "$@"]
    return words


def _split_string(words: list[str]) -> list[str]:
    """The command in one word that `env -S` takes, and those after it."""
    if words[0] not in ("-S", "--split-string") or len(words) < 2:
        return []
    try:
        parts = shell_parts(words[1])
    except ValueError:
        return []
    return [*(parts[0] if parts else []), *words[2:]]


def plain(words: list[str]) -> list[str]:
    """The words of a command without redirections, assignments and commands that only run the next."""
    return unwrapped(words).words


def _without_redirects(words: list[str]) -> list[str]:
    before = [None, *words[:-1]]
    return [
        word
        for word, last in zip(words, before, strict=True)
        if not isinstance(word, Redirect) and not isinstance(last, Redirect)
    ]


def redirected(words: list[str]) -> Iterator[tuple[str, str]]:
    """The redirections of a command: the operator, and the place or text after it."""
    yield from ((one, two) for one, two in pairwise(words) if isinstance(one, Redirect))


def given_text(words: list[str]) -> str:
    """The text that a command reads from its own line: that of a here-document, or of `<<<`."""
    return "".join(text for operator, text in redirected(words) if operator == "<<<")


def shell_call(words: list[str]) -> tuple[str | None, str | None]:
    """The text that a shell is given with `-c`, or the script; neither where it reads its input.

    `words`: those after the shell's name.
    """
    text = False
    while words and words[0][:1] in ("-", "+") and len(words[0]) > 1:
        option, words = words[0], words[1:]
        if option.startswith("--"):
            words = words[option in _SHELL_WITH_VALUE :]
            continue
        text = text or "c" in option
        words = words[option.count("o") + option.count("O") :]
        if "s" in option and not text:
            return None, None
    first = words[0] if words and words[0] != "-" else None
    return (first or "", None) if text else (None, first)


def reads(words: list[str]) -> list[str]:
    """The files that a command reads, as far as its words name them."""
    call = plain(words)
    found = [place for operator, place in redirected(words) if operator in ("<", "<>")]
    name = posixpath.basename(call[0]) if call else ""
    if pip := pip_call(call):
        return found + [place for place in _lists_of(pip) if {"install", "download", "wheel"} & set(pip)]
    if name in _READERS:
        named = _operands(call[1:], _READERS[name])
        return found + [one for one in (named[:1] if name in ("source", ".") else named) if one != "-"]
    if name in _COPIERS:
        named, into = _operands(call[1:], _COPIERS[name]), {"-t", "--target-directory"} & set(call)
        return found + (named if into or any(one.startswith("--target-directory=") for one in call) else named[:-1])
    return found


def pip_call(words: list[str]) -> list[str]:
    """The words that pip is given, as a program or a module; none where it is not called."""
    name = posixpath.basename(words[0]) if words else ""
    if PYTHON.fullmatch(name) and words[1:3] == ["-m", "pip"]:
        return words[3:]
    return words[1:] if _PIP.fullmatch(name) else []


def _lists_of(words: list[str]) -> Iterator[str]:
    """The files that pip's options name."""
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _LISTS:
            yield from [value] if equals else words[index + 1 : index + 2]
        elif word.startswith(("-r", "-c")):
            yield word[2:]


def _operands(words: list[str], with_value: str) -> list[str]:
    """The words that are no options of a command."""
    found: list[str] = []
    while words:
        if words[0] == "--":
            return found + words[1:]
        if words[0].startswith("-") and words[0] != "-":
            words = words[2 if words[0] in with_value.split() else 1 :]
        else:
            found.append(words[0])
            words = words[1:]
    return found


def made_by(words: list[str], at: str) -> Iterator[str]:
    """Places that a command in a folder may make: absolute paths, of files or folders whose content is not known."""
    call = plain(words)
    program = posixpath.basename((call or [""])[0])
    found = [at] if program in _UNPACKERS else call[1:] if program in _MAKERS or program in _TESTS else []
    if program in SHELLS:
        text = shell_call(call[1:])[0] or given_text(words)
        yield from (place for part in _parts(text) for place in made_by(part, at))
    elif PYTHON.fullmatch(program):
        text = call[call.index("-c") + 1] if "-c" in call[:-1] else given_text(words)
        found = re.findall(r"[\"']([^\"']*/[^\"']*)[\"']", text)
    for index, word in enumerate(call):
        option, equals, value = word.partition("=")
        if option in _TARGETS:
            found = [*found, *([value] if equals else call[index + 1 : index + 2])]
    found = [*found, *(place for operator, place in redirected(words) if ">" in operator)]
    for word in found:
        before, brace, _ = word.partition("{")  # of several places the folder that all are in
        place = posixpath.normpath(posixpath.join(at, posixpath.dirname(before) if brace else word))
        if place != "/":
            yield place


def _parts(text: str) -> list[list[str]]:
    try:
        return shell_parts(text)
    except ValueError:  # said where the text is checked
        return []
