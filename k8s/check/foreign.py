"""Programs of other images that manifests use: a slip in a name is found where the names are known."""

from __future__ import annotations

import posixpath
from difflib import get_close_matches

from k8s.check.command_words import plain
from k8s.check.shell import shell_parts

_PROGRAMS = {
    "redis": "redis-server redis-cli redis-benchmark redis-check-aof redis-check-rdb redis-sentinel",
    "valkey": "valkey-server valkey-cli valkey-benchmark valkey-check-aof valkey-check-rdb valkey-sentinel",
}
"""Programs of other images that manifests use, by the image's name."""


def foreign_problem(reference: str, words: list[str]) -> str | None:
    """A program's name that is nearly, and not quite, one of those in somebody else's image."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    known = _PROGRAMS.get(name, "").split()
    try:
        called = [word for part in shell_parts("\n".join(words)) for word in plain(part)[:1]] if known else []
    except ValueError:  # words of one command, which no shell reads
        called = words[:1]
    for word in called:
        program = posixpath.basename(word)
        near = get_close_matches(program, known, 1, 0.7)
        if near and program not in known:
            return f"image {name} has no command {program!r}: did you mean {near[0]}?"
    return None
