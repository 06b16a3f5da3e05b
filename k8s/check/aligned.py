"""Paths of an object in a document that is a part of it: kustomize merges lists by keys, so entries stand elsewhere."""

from __future__ import annotations

from typing import Any

from k8s.check.findings import Path, find, has

KEYS = ("mountPath", "devicePath", "containerPort", "port", "ip", "topologyKey", "name", "groupName")
"""Keys that tell entries of lists apart; the first that an entry has decides."""


def aligned(path: Path, data: Any, document: Any) -> Path | None:
    """A path of an object, `data`, as the document has it; None where the document does not have it."""
    place: Path = ()
    for depth, key in enumerate(path):
        own: str | int | None = key
        if isinstance(key, int):
            own = index_of(find(data, path[: depth + 1]), find(document, place), key)
        if own is None or not has(find(document, place), (own,)):
            return None
        place = (*place, own)
    return place


def index_of(entry: Any, entries: Any, near: int) -> int | None:
    """Where an entry of a list stands in another one; `near` if that may be it as well as others."""
    if not isinstance(entries, list):
        return None
    order = sorted(range(len(entries)), key=lambda index: (index != near, index))
    key = next((one for one in KEYS if isinstance(entry, dict) and one in entry), None)
    if key is not None:
        same = [index for index in order if has(entries[index], (key,)) and find(entries[index], (key,)) == entry[key]]
    else:
        # Lists without keys are replaced as a whole: an entry that was changed afterwards is where it was.
        same = [index for index in order if entries[index] == entry] or [index for index in order if index == near]
    return same[0] if same else None
