"""Rendered objects with what made them: the object as its file has it, and the patches and fields that changed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k8s.check.documents import documents, items, shown
from k8s.check.findings import Finding, Source, Thing, write
from k8s.check.layers import Layer, Patch
from k8s.check.sources import Setting, Written
from k8s.check.targets import mapping, seen, selects

_RENAMES = re.compile(r"\$patch\W+delete|/metadata/name|allowNameChange|allowKindChange")
"""What a kustomization or a patch says that makes objects unlike those that it has selected."""
_HASH = re.compile(r"-[a-z0-9]{10}$")


@dataclass
class Made:
    """The objects of a kustomization, `layers[0]`."""

    layers: list[Layer]
    things: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._patches: list[tuple[Layer, list[Patch]]] = [(one, list(one.patches())) for one in self.layers]
        self._busy: set[int] = set()
        self._files: dict[Path, list[dict[str, Any]]] = {}

    def add(self, document: dict[str, Any], origin: Path | None) -> None:
        """An object that was rendered. `origin`: its file, or the kustomization that generates it, if that is known."""
        if origin not in self.layers[0].reach:
            origin = None
        reaching = [(layer, patches) for layer, patches in self._patches if not origin or origin in layer.reach]
        names = _names(str(mapping(document.get("metadata")).get("name") or ""), [layer for layer, _ in reaching])
        generated = origin in {layer.file.resolve() for layer in self.layers}
        if generated:
            names += [_HASH.sub("", name) for name in names]
        original = None if generated or origin is None else self._original(document, names, origin)
        if original is not None:
            names.append(str(mapping(original.get("metadata")).get("name") or ""))
        spaces = [str(layer.settings["namespace"]) for layer, _ in reaching if layer.settings.get("namespace")]
        one = seen(document, names, spaces, original)
        sources: list[Source] = []
        for layer, patches in reaching:
            sources.append(Setting(shown(layer.file), layer.settings))
            for patch in patches:
                verdict = selects(patch.target, one)
                if verdict is not False:
                    self._busy.add(id(patch))
                if verdict:
                    sources.append(patch.source)
        sources.append(Written(shown(origin or self.layers[0].file), original))
        self.things.append(Thing(document, sources, names[-1] if original is not None else ""))

    def idle(self) -> Iterator[Finding]:
        """Patches that select no object: kustomize leaves them out in silence."""
        if any(_RENAMES.search(_text(file)) for file in self.layers[0].reach):
            return
        for patch in [patch for _, patches in self._patches for patch in patches if id(patch) not in self._busy]:
            said = "a patch selects no object, and is left out in silence"
            yield Finding(patch.source.file, write(patch.source.stands or ("metadata", "name")), said)

    def _original(self, document: dict[str, Any], names: list[str], file: Path) -> dict[str, Any] | None:
        """An object as its file has it: of its kind and of the first of its names, or the only one of its kind."""
        if file not in self._files:
            found = [one for document in documents(file, []) for one in items(document)]
            self._files[file] = [one for one in found if isinstance(one, dict)]
        same = [one for one in self._files[file] if one.get("kind") == document.get("kind")]
        for name in reversed(names):
            for one in same:
                if str(mapping(one.get("metadata")).get("name") or "") == name:
                    return one
        return same[0] if len(same) == 1 else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a folder, say
        return ""


def _names(name: str, layers: list[Layer]) -> list[str]:
    """The names that an object may have had: without prefixes and suffixes, the first one last."""
    names = [name]
    for layer in layers:
        before, behind = (str(layer.settings.get(key) or "") for key in ("namePrefix", "nameSuffix"))
        inner = [one.removeprefix(before).removesuffix(behind) for one in names if one.startswith(before)]
        names += [one for one in inner if one not in names]
    return names
