"""Shell texts as commands, and commands as words; and which places a command may make."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)
_REDIRECT = re.compile(r"(?:\d?>>?|\d?<|&>)(&\d)?(.*)")
_ENDS = {"&&", "||", ";", "|", "&", "\n"}
_OPENERS = {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "("}
CLOSERS = {"fi", "done", "esac", "}", ")", "for", "case", "function"}
_WRAPPERS = {"exec": 0, "env": 0, "nohup": 0, "nice": 0, "timeout": 1, "time": 0, "setsid": 0}
"""Commands that run the command after them, with how many words of their own stand before it."""
SHELLS = ("sh", "bash", "dash")
_WITH_VALUE = {"-k", "-s", "-n", "-u", "--signal", "--kill-after"}
_MAKERS = frozenset(["mkdir", "cp", "mv", "ln", "touch", "tee", "install", "split", "gunzip", "rsync", "hf", "aws"])
_UNPACKERS = frozenset(["tar", "unzip", "wget", "curl", "git"])
"""Commands that make what their words name; and those that may make anything where they run."""
_TARGETS = {"-o", "-O", "--out", "--output", "--output-dir", "--local-dir"}
"""Options by which other commands say what they make."""


def shell_parts(text: str) -> list[list[str]]:
    """The words of each command in a shell text. Raises `ValueError` for quotes that do not end."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=";|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    parts: list[list[str]] = [[]]
    comment = False
    for word in lexer:
        ends = word in _ENDS or not word.strip(";|\n")
        comment = (comment or word.startswith("#")) and not (ends and "\n" in word)
        if ends and not comment:
            parts.append([])
        elif not comment:
            parts[-1].append(word)
    return [piece for part in parts if part for piece in _subshells(part)]


def _subshells(part: list[str]) -> list[list[str]]:
    """A command with the brackets around it, or around it and others, as parts of their own."""
    before, after = 0, 0
    while part and re.match(r"\((?!\()", part[0]):
        part, before = [word for word in (part[0][1:], *part[1:]) if word], before + 1
    text = " ".join(part)
    while part and part[-1].endswith(")") and text.count(")") - after > text.count("("):
        part, after = [word for word in (*part[:-1], part[-1][:-1]) if word], after + 1
    return [["("]] * before + ([part] if part else []) + [[")"]] * after


def plain(words: list[str]) -> list[str]:
    """The words of a command without redirections, assignments and commands that only run the next."""
    words = _without_redirects(words)
    while words and (words[0] in _OPENERS or words[0] in _WRAPPERS or ASSIGNMENT.fullmatch(words[0])):
        own = _WRAPPERS.get(words[0], 0)
        words = words[1:]
        while words and words[0].startswith("-"):
            words = words[2 if words[0] in _WITH_VALUE else 1 :]
        words = words[own:]
    return words


def _without_redirects(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        found = _REDIRECT.fullmatch(word)
        if found:
            skip = not (found[1] or found[2])
        elif not skip:
            kept.append(word)
        else:
            skip = False
    return kept


def made_by(words: list[str], at: str) -> Iterator[str]:
    """Places that a command in a folder may make: absolute paths, of files or folders whose content is not known."""
    program = posixpath.basename((plain(words) or [""])[0])
    found = [at] if program in _UNPACKERS else words if program in _MAKERS else []
    text = words[words.index("-c") + 1] if "-c" in words[:-1] else ""
    if program in SHELLS and text:
        for part in shell_parts(text):
            yield from made_by(part, at)
    elif program.startswith("python"):
        found = re.findall(r"[\"']([^\"']*/[^\"']*)[\"']", text)
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        target = _REDIRECT.fullmatch(word)
        if option in _TARGETS and equals:
            found = [*found, value]
        elif option in _TARGETS or (target and ">" in word and not target[1]):
            found = [*found, *([target[2]] if target and target[2] else words[index + 1 : index + 2])]
    for word in found:
        place = posixpath.normpath(posixpath.join(at, word))
        if place != "/":
            yield place
