"""From a folder to objects: kustomizations rendered by kustomize itself, plain files read as they are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from k8s.check.documents import documents, items, settings_of, shown
from k8s.check.findings import Finding, Thing, find
from k8s.check.kustomize import render
from k8s.check.layers import NAMES
from k8s.check.sources import Written
from toolace.errors import ConfigError

EXPECTS = "toolace/expects"
"""An annotation that names what is made by hand, with the keys that it has: `Secret/NAME/KEY`, separated by blanks."""

_EXPANDED = re.compile(
    r"\$[({]?([A-Za-z_]\w*)|(?:environ(?:\.get)?[\[(]|getenv\()\s*(?:\\?[\"'])([A-Za-z_]\w*)|\bprintenv ([A-Za-z_]\w*)"
)


@dataclass
class Scene:
    """Objects that are applied together: one rendered kustomization, or the plain files of the folder."""

    file: str
    things: list[Thing] = field(default_factory=list)
    expects: list[str] = field(default_factory=list)
    """What the kustomization itself says in the annotation `toolace/expects`."""
    rendered: bool = False
    partial: bool = False
    """Whether a file could not be read, so that names which nothing here has may be in it."""

    @cached_property
    def expanded(self) -> frozenset[str]:
        """Variables that commands and other texts of the objects expand themselves: these may have any name."""
        found = _EXPANDED.finditer(json.dumps([thing.data for thing in self.things], default=str, skipkeys=True))
        return frozenset(name for one in found for name in one.groups() if name)


def read_scenes(folder: Path) -> tuple[list[Scene], list[Finding]]:
    """Everything below a folder that somebody may apply. Raises `ConfigError` where there is nothing."""
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}. Give one with manifests or kustomizations: make k8s-check K8S_DIR=DIR")
    findings: list[Finding] = []
    scenes: list[Scene] = []
    kustomizations = sorted(file for name in NAMES for file in folder.rglob(name))
    used: set[Path] = set()
    components: list[Path] = []
    for file in kustomizations:
        settings = settings_of(file, findings)
        if settings is None:
            continue
        if settings.get("kind") == "Component":
            components.append(file)
            continue
        rendered, problems = render(file, used)
        findings += problems
        said = find(settings, ("metadata", "annotations", EXPECTS))
        scenes.append(Scene(shown(file), rendered, str(said or "").split(), rendered=True))
    for file in components:
        if file.resolve() not in used:
            findings.append(Finding(shown(file), ".", "no kustomization uses this component, so nothing checks it"))
    managed = {file.parent for file in kustomizations}
    files = [file for file in _files(folder) if file.resolve() not in used]
    plain, strange = _plain(folder, files, managed, findings)
    if plain.things:
        scenes.append(plain)
    lists = [items(one) for file in files for one in documents(file, []) if items(one) != [one]] if not scenes else []
    if not scenes and not findings and not any(lists) and not any(_looks_like_one(document) for _, document in strange):
        why = "its Lists are empty" if lists else "no YAML or JSON file there has apiVersion and kind"
        raise ConfigError(f"no manifests below {folder}: {why}")
    return scenes, findings + [one for one, _ in strange]


def _files(folder: Path) -> list[Path]:
    """The files that `kubectl apply -f` reads, of a folder and those in it."""
    found = [file for end in ("*.yaml", "*.yml", "*.json") for file in folder.rglob(end)]
    return sorted(file for file in found if file.name not in NAMES)


def _plain(
    folder: Path, files: list[Path], managed: set[Path], findings: list[Finding]
) -> tuple[Scene, list[tuple[Finding, Any]]]:
    """The objects of plain files; and documents that are none, each with what is wrong with it."""
    plain = Scene(shown(folder))
    strange: list[tuple[Finding, Any]] = []
    for file in files:
        unlisted = not managed.isdisjoint(file.parents)
        before = len(findings)
        found = [one for document in documents(file, findings) for one in items(document)]
        plain.partial = plain.partial or (None in found and len(findings) > before)
        if unlisted and any(_looks_like_one(document) for document in found):
            findings.append(Finding(shown(file), ".", "no kustomization lists this file, so nothing applies it"))
        for document in found:
            missing = _missing(document)
            if not missing:
                plain.things.append(Thing(document, [Written(shown(file), document)]))
            elif document is not None and not unlisted:
                strange.append((Finding(shown(file), *missing), document))
    return plain, strange


def _missing(document: Any) -> tuple[str, str] | None:
    """What a document lacks to be an object, as a field and words; None where it is one."""
    if not isinstance(document, dict):
        return ".", "is no object of Kubernetes: not a mapping"
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str) or not document[key]:
            near = get_close_matches(key, map(str, document), 1, 0.7)
            hint = f" (there is {near[0]!r})" if near and near[0] != key else ""
            return key, f"is no object of Kubernetes: {key} is missing{hint}"
    if document["kind"] == "List":
        return "items", "is no list: a List has its objects there"
    return None


def _looks_like_one(document: Any) -> bool:
    """Whether somebody meant a document to be an object."""
    return isinstance(document, dict) and not {"apiVersion", "kind", "metadata", "spec"}.isdisjoint(document)
