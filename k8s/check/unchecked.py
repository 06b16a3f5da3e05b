"""Objects that end a check early: each is a finding, and what is wrong with the other objects is found all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from k8s.check.findings import Finding, Thing
from k8s.check.rendering import Scene

Part = Callable[[Scene], Iterator[Finding]]
_NAMED = ("apiVersion", "kind", "metadata")
"""What remains of such an object, so that references to it hold."""
_HELD = ("Secret", "ConfigMap")
"""Kinds of whose content others speak."""


def checked_alone(check: Callable[[Thing], Iterator[Finding]], thing: Thing) -> Iterator[Finding]:
    """The findings of an object; one more where the check cannot go on, whatever the reason."""
    try:
        yield from check(thing)
    except Exception as error:
        yield _unchecked(thing, error)


def checked(part: Part, scene: Scene, known: list[Finding]) -> Iterator[Finding]:
    """The findings of a part; what it cannot check is one more, unless `known` says what its shape should be."""
    try:
        yield from part(scene)
        return
    except Exception as error:
        broken = _broken(part, scene)
        if not broken:
            said = f"an object could not be checked, so checking ended early: {_reason(error)}"
            yield Finding(scene.file, ".", said, unchecked=True)
            return
    for thing, reason in broken:
        if not any(one.file == thing.sources[-1].file for one in known):
            yield _unchecked(thing, reason)
    named = {id(thing): _named(thing) for thing, _ in broken}
    others = replace(scene, things=[named.get(id(thing), thing) for thing in scene.things])
    theirs = tuple(thing.said for thing, _ in broken)
    try:
        yield from (one for one in part(others) if not one.message.endswith(theirs))
    except Exception as error:
        yield Finding(scene.file, ".", f"checking the others ended early: {_reason(error)}", unchecked=True)


def _broken(part: Part, scene: Scene) -> list[tuple[Thing, Exception]]:
    """The objects that end a part, alone or among the others."""
    alone = [(thing, error) for thing in scene.things if (error := _error(part, replace(scene, things=[thing])))]
    if alone:
        return alone
    for thing in scene.things:
        rest = [_named(one) if one is thing else one for one in scene.things]
        if _error(part, replace(scene, things=rest)) is None and (error := _error(part, scene)):
            return [(thing, error)]
    return []


def _error(part: Part, scene: Scene) -> Exception | None:
    try:
        list(part(scene))
    except Exception as error:
        return error
    return None


def _named(thing: Thing) -> Thing:
    if thing.kind in _HELD:
        return thing
    return replace(thing, data={key: value for key, value in thing.data.items() if key in _NAMED})


def _unchecked(thing: Thing, error: Exception) -> Finding:
    said = f"the object could not be checked, so checking ended early: {_reason(error)}"
    return replace(thing.wrong(["spec"], said), unchecked=True)


def _reason(error: Exception) -> str:
    return f"{error} ({type(error).__name__})"
