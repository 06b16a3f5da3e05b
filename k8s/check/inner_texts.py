"""Shell texts that a command carries out later, as another user, or from a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from k8s.check.command_words import made_by, unwrapped
from k8s.check.places import Places
from k8s.check.shell import ASSIGNMENT, shell_parts

_OF_SU = "-s --shell -g --group -G --supp-group -w --whitelist-environment -u --user"
"""Options of `su` and `runuser` that take a value."""
_BRINGS = frozenset((".", "source", "eval", "alias", "enable", "hash"))
"""Words of a shell after which commands may be there of which nothing is known here."""


@dataclass
class Sourced:
    """What a text that a shell sources leaves behind. `open`: whether that may be commands of any name."""

    functions: set[str] = field(default_factory=set)
    open: bool = False


def sourced(text: str, places: Places) -> Sourced:
    """What a shell text leaves behind where it is sourced. What it may make, and where it may go, is told `places`."""
    found = Sourced()
    places.has_run = True
    try:
        parts = shell_parts(text)
    except ValueError:  # in another shell's way of writing
        places.change("-")
        return Sourced(open=True)
    places.made += [made for part in parts for made in made_by(part, places.at)]
    for part in parts:
        if part[0] == "function" and len(part) > 1:
            found.functions.add(part[1])
            continue
        call = unwrapped(part)
        names = {given[1] for word in (*call.assigned, *call.words) if (given := ASSIGNMENT.fullmatch(word))}
        found.open = found.open or "PATH" in names or not _BRINGS.isdisjoint(call.words[:1])
        if call.words[:1] in (["cd"], ["pushd"], ["popd"]):
            places.change("-")
    return found


def trapped(words: list[str]) -> list[str]:
    """The texts that a shell carries out when it is told so, or ends: `trap WORDS`."""
    given = words[1:] if words[:1] == ["--"] else words
    first = given[0] if len(given) > 1 else ""
    return [] if first.startswith("-") or first.isdigit() or not first.strip() else [first]


def as_user(words: list[str]) -> tuple[str, bool]:
    """The text that `su WORDS` gives to a shell; whether that is a login, which begins in the user's home."""
    text, login = "", False
    while words and words[0] != "--":
        option, equals, value = words[0].partition("=")
        login = login or option in ("-", "-l", "--login")
        if option in ("-c", "--command"):
            text = value if equals else " ".join(words[1:2])
        words = words[2 if not equals and option in ("-c", "--command", *_OF_SU.split()) else 1 :]
    return text, login
