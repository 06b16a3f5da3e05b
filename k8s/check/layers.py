"""The kustomizations that an overlay stands on, each with its patches and with the files whose objects it changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.check.documents import documents, documents_of, settings_of, shown
from k8s.check.findings import Path as Field
from k8s.check.sources import JsonPatch, MergePatch
from k8s.check.targets import entries_of, mapping

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PATCHES = ("patchesJson6902", "patches", "patchesStrategicMerge")
"""Fields with patches; what is applied last is first."""


@dataclass
class Patch:
    """A patch, and the target that it names."""

    source: MergePatch | JsonPatch
    target: dict[str, Any]


@dataclass
class Layer:
    """A kustomization. `reach`: the files and folders that it stands on, whose objects it may change."""

    file: Path
    settings: dict[str, Any]
    reach: set[Path]

    @property
    def is_component(self) -> bool:
        return self.settings.get("kind") == "Component"

    def patches(self) -> Iterator[Patch]:
        """Its patches, the last one first. Those that cannot be read are left out: kustomize says so itself."""
        for field in _PATCHES:
            for index, given in reversed(list(enumerate(entries_of(self.settings.get(field))))):
                entry = self._entry(given)
                named = self.file.parent / str(entry["path"]) if entry.get("path") else self.file
                if named == self.file:
                    loaded = list(documents_of(str(entry.get("patch", "")), self.file, []))
                else:
                    loaded = list(documents(named, []))
                stands: Field = (field, index) if named == self.file else ()
                for document in reversed(loaded):
                    yield from _patch(document, mapping(entry.get("target")), shown(named), stands)

    def _entry(self, given: Any) -> dict[str, Any]:
        """An entry of patches in the form of `patches`."""
        if isinstance(given, str):
            return {"path": given} if "\n" not in given and _is_there(self.file.parent / given) else {"patch": given}
        return mapping(given)


def _patch(document: Any, target: dict[str, Any], file: str, stands: Field) -> Iterator[Patch]:
    if isinstance(document, list):
        operations = [one for one in document if isinstance(one, dict)]
        yield Patch(JsonPatch(file, operations, stands), target)
    elif isinstance(document, dict):
        own = {"kind": document.get("kind"), "name": mapping(document.get("metadata")).get("name")}
        named = {key: re.escape(str(value)) for key, value in own.items() if value}
        yield Patch(MergePatch(file, document, stands=stands), target or named)


def layers_of(file: Path, known: dict[Path, Layer] | None = None) -> list[Layer]:
    """A kustomization and those that it stands on, each once, what is applied last first."""
    known = {} if known is None else known
    settings = settings_of(file, []) or {}
    places = list(_places(settings, file.parent))
    mine = Layer(file, settings, {file.resolve(), *(place.resolve() for place in places)})
    known[file.resolve()] = mine
    resources: list[Layer] = []
    components: list[Layer] = []
    shared: list[Layer] = []
    for place in reversed(places):
        inner = next((place / name for name in NAMES if (place / name).is_file()), None)
        if inner is None or inner.resolve() == file.resolve():
            continue
        # One that was seen is not read again: two overlays may name each other, which kustomize says.
        below = [] if inner.resolve() in known else layers_of(inner, known)
        one = known[inner.resolve()]
        mine.reach |= one.reach
        if one.is_component:
            components += below
            shared += [one, *(nested for nested in below if nested.is_component)]
        else:
            resources += below
    for one in shared:  # a component changes what the kustomization that names it has
        one.reach |= mine.reach
    return [mine, *components, *resources]


def _places(node: Any, folder: Path) -> Iterator[Path]:
    """Files and folders that a kustomization names: every text in it that is one, by whatever field."""
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _places(inner, folder)
    elif isinstance(node, str) and "\n" not in node and len(node) < 1000:
        names = (node, node.partition("=")[2])  # a generator's KEY=FILE
        yield from (folder / name for name in names if name and _is_there(folder / name))


def _is_there(file: Path) -> bool:
    """Whether a text is the name of a file or a folder; one that is too long for any is not."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False
