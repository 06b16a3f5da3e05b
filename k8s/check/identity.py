"""Names of objects: each has one, and no two of one kind in one namespace have the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from k8s.check.findings import Finding, Thing
from k8s.check.references import Known
from k8s.check.rendering import Scene


def check_identity(scene: Scene) -> Iterator[Finding]:
    """Objects without a name, and those that an object applied later replaces."""
    known = Known(scene)
    first: dict[tuple[str, ...], Thing] = {}
    for thing in scene.things:
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
