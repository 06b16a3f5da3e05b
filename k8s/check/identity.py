"""Names of objects: each has one, and no two of one kind in one namespace have the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from k8s.check.findings import Finding, Thing
from k8s.check.groups import BUILT_IN
from k8s.check.references import Known
from k8s.check.rendering import Scene

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMES: dict[str, tuple[re.Pattern[str], int, str]] = {
    "Service": (re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?"), 63, "lower-case letters, digits and dashes, a letter first"),
    "Namespace": (re.compile(_LABEL), 63, "lower-case letters, digits and dashes"),
    "": (re.compile(rf"{_LABEL}(\.{_LABEL})*"), 253, "lower-case letters, digits, dashes and dots"),
}
"""How objects of a kind are named, in how many characters, and words for it."""


def _name_problem(thing: Thing) -> tuple[str, str] | None:
    """The field and the reason for which an API server refuses what an object, or its namespace, is named."""
    space = thing.get("metadata", "namespace")
    if isinstance(space, str) and space and (said := _named(space, "Namespace")):
        return "namespace", said
    if thing.group not in BUILT_IN or thing.group == "rbac.authorization.k8s.io" or thing.kind == "IPAddress":
        return None
    field = "name" if thing.get("metadata", "name") else "generateName"
    given = thing.get("metadata", field)
    if not isinstance(given, str):
        return None
    # Of a name that the server ends it is the beginning alone.
    said = _named(given if field == "name" else f"{given}12345", thing.kind)
    return (field, said) if said else None


def _named(name: str, kind: str) -> str | None:
    pattern, most, words = _NAMES.get(kind, _NAMES[""])
    if "$" in name:  # which somebody else's tool replaces
        return None
    if not pattern.fullmatch(name):
        return f"{name!r} is no name: {words}"
    return f"{len(name)} characters, at most {most}" if len(name) > most else None


def check_identity(scene: Scene) -> Iterator[Finding]:
    """Objects without a name, and those that an object applied later replaces."""
    known = Known(scene)
    first: dict[tuple[str, ...], Thing] = {}
    for thing in scene.things:
        if problem := _name_problem(thing):
            yield thing.wrong(["metadata", problem[0]], problem[1])
        if not thing.name:
            if not thing.get("metadata", "generateName"):
                yield thing.wrong(["metadata", "name"], "name is missing")
            continue
        # kubectl applies the plain files of one folder together: another folder may hold another version of them.
        file = thing.sources[-1].file
        place = "" if scene.rendered else str(Path(file).parent)
        mine = (place, thing.group, thing.kind, str(known.space(thing)), thing.name)
        other = first.setdefault(mine, thing)
        if other is not thing:
            said = f"{other.sources[-1].file} has this object too, and the one that is applied later replaces the other"
            yield thing.wrong(["metadata", "name"], said)
