"""How Python is called: with a text, a module or a script, be it by a program that runs another."""

from __future__ import annotations

from dataclasses import dataclass, field

_LONG_WITH_VALUE = ("--check-hash-based-pycs",)
_PROFILER = "-o --outfile -s --sort"
_RUNNERS = {
    "cProfile": _PROFILER,
    "profile": _PROFILER,
    "pdb": "-c --command",
    "trace": "-f --file -C --coverdir --ignore-module --ignore-dir",
}
"""Modules that run the script or module after them, with their options that take a value."""
_LAUNCHERS = ("torch.distributed.run", "torch.distributed.launch")
_OTHER_LAUNCHERS = {
    **dict.fromkeys(("accelerate", "accelerate.commands.accelerate_cli"), ("launch",)),
    **dict.fromkeys(("accelerate-launch", "accelerate.commands.launch", "deepspeed", "deepspeed.launcher.runner"), ()),
}
"""Programs and modules that start a script in many processes, with their first words."""
_ALONE = {"--standalone", "--use-agent-store", "--use_agent_store", "--run-path", "--run_path", "-h", "--help"}
"""Options of torch's launcher that take no value."""
_NO_PYTHON = {"--no-python", "--no_python"}
_MODULE = {"-m", "--module"}


@dataclass
class PythonCall:
    """What one call of Python runs: `kind` is `text`, `module`, `script`, `program` (no Python) or, for input, `-`."""

    kind: str
    name: str = ""
    rest: list[str] = field(default_factory=list)


def python_call(words: list[str]) -> PythonCall:
    """What `python WORDS` runs."""
    while words and words[0].startswith("-") and words[0] != "-":
        option, words = words[0], words[1:]
        if option.startswith("--"):
            words = words[option in _LONG_WITH_VALUE :]
            continue
        index = next((index for index, letter in enumerate(option) if letter in "mcXW"), 0)
        if not index:
            continue
        value = option[index + 1 :]
        if not value:
            value, words = (words[0] if words else ""), words[1:]
        if option[index] == "c":
            return PythonCall("text", value, words)
        if option[index] == "m":
            return _module(value, words)
    return _script(words)


def _script(words: list[str]) -> PythonCall:
    return PythonCall("script", words[0], words[1:]) if words and words[0] != "-" else PythonCall("-")


def _module(name: str, words: list[str]) -> PythonCall:
    if call := launcher_call(name, words):
        return call
    if name not in _RUNNERS:
        return PythonCall("module", name, words)
    while words and words[0].startswith("-"):
        if words[0] in _MODULE:
            return _module(words[1] if len(words) > 1 else "", words[2:])
        words = words[2 if words[0] in _RUNNERS[name].split() else 1 :]
    return _script(words)


def launcher_call(name: str, words: list[str]) -> PythonCall | None:
    """What a launcher, a program or a module, runs; None for what is none."""
    if name == "torchrun" or name in _LAUNCHERS:
        return _launched(words)
    begins = _OTHER_LAUNCHERS.get(name)
    return None if begins is None or tuple(words[: len(begins)]) != begins else _script_of(words[len(begins) :])


def _script_of(words: list[str]) -> PythonCall:
    """The script among the words of a launcher with many options: the first that is a file of Python."""
    for index, word in enumerate(words):
        if word in _MODULE and words[index + 1 : index + 2] and not words[index + 1].startswith("-"):
            return PythonCall("module", words[index + 1], words[index + 2 :])
        if word in _NO_PYTHON:
            break
        if word.endswith(".py") and not word.startswith("-"):
            return PythonCall("script", word, words[index + 1 :])
    return PythonCall("-")


def _launched(words: list[str]) -> PythonCall:
    """What torch's launcher runs, `torchrun WORDS`."""
    module = program = False
    while words and words[0].startswith("-"):
        option = words[0]
        module, program = module or option in _MODULE, program or option in _NO_PYTHON
        alone = "=" in option or option in _ALONE | _MODULE | _NO_PYTHON
        words = words[1 if alone else 2 :]
    if not words:
        return PythonCall("-")
    return PythonCall("program" if program else "module" if module else "script", words[0], words[1:])
