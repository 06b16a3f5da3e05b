"""What is in the volumes of a container, where a ConfigMap or Secret of the same scene says it."""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass, field
from typing import Any

from k8s.check.findings import Thing, find
from k8s.check.image import Image, below
from k8s.check.ray_objects import Pod
from k8s.check.rendering import EXPECTS, Scene


@dataclass
class Mounted:
    """Folders of a container that are volumes: `open` are those whose content nobody here knows."""

    open: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    files: dict[str, str | None] = field(default_factory=dict)
    """The files below `known`, with their text; None where it is not written out."""

    def has(self, place: str) -> bool | None:
        """Whether a place is in a volume, or leads to one; None for one that is in no volume."""
        folders = (*self.open, *self.known)
        if place in self.files or any(one.startswith(f"{place}/") for one in (*self.files, *folders)):
            return True
        around = max((folder for folder in folders if below(place, [folder])), key=len, default=None)
        return None if around is None else around in self.open or place == around

    def holds(self, image: Image, place: str) -> bool:
        """Whether a place is in a volume, or in the image where no volume is mounted over it."""
        there = self.has(posixpath.normpath(posixpath.join(image.workdir, place)))
        return image.holds(place) if there is None else there


@dataclass
class Elsewhere(Mounted):
    """Folders on a node of which nothing is known: any place may be there. `own`: folders of the image all the same."""

    own: tuple[str, ...] = ()

    def has(self, place: str) -> bool | None:
        there = super().has(place)
        return True if there is None and not below(place, self.own) else there


def mounted(pod: Pod, container: dict[str, Any], scene: Scene) -> Mounted:
    """The volumes of a container of a pod. A pod's own disk is empty unless another container may fill it."""
    found = Mounted()
    volumes = {volume.get("name"): volume for volume in pod.spec.get("volumes") or ()}
    others = [one for _, one in pod.containers() if one is not container]
    shared = {mount.get("name") for one in others for mount in one.get("volumeMounts") or ()}
    for mount in container.get("volumeMounts") or ():
        place, part = posixpath.normpath(str(mount.get("mountPath"))), mount.get("subPath")
        volume = volumes.get(mount.get("name")) or {}
        content = _content(volume, scene)
        if "emptyDir" in volume and mount.get("name") not in shared:
            found.known.append(place)
        elif content is None or (part and part not in content) or mount.get("subPathExpr"):
            found.open.append(place)
        elif part:
            found.files[place] = content[part]
        else:
            found.known.append(place)
            found.files |= {posixpath.join(place, name): text for name, text in content.items()}
    return found


def _content(volume: dict[str, Any], scene: Scene) -> dict[str, str | None] | None:
    """The files of a volume that is a ConfigMap or Secret of the scene; None for any other."""
    for kind, source, names in (("ConfigMap", "configMap", ("name",)), ("Secret", "secret", ("secretName", "name"))):
        given = volume.get(source)
        if not isinstance(given, dict):
            continue
        name = next((given[one] for one in names if one in given), None)
        things = [one for one in scene.things if one.kind == kind and one.name == name]
        if len(things) != 1 or _expected(scene, kind, str(name)):
            return None
        texts = keys_of(things[0])
        if not given.get("items"):
            return texts
        return {str(item.get("path")): texts.get(str(item.get("key"))) for item in given["items"]}
    return None


def _expected(scene: Scene, kind: str, name: str) -> bool:
    """Whether an annotation says that keys are added to it by hand."""
    said = (str(thing.get("metadata", "annotations", EXPECTS) or "").split() for thing in scene.things)
    return any(word.startswith(f"{kind}/{name}") for words in said for word in words)


def keys_of(thing: Thing) -> dict[str, str | None]:
    """The keys of a ConfigMap or Secret with their text; None for what is no text."""
    found: dict[str, str | None] = {}
    for part in ("data", "stringData", "binaryData"):
        for key, value in (find(thing.data, (part,)) or {}).items():
            coded = part == "binaryData" or (part == "data" and thing.kind == "Secret")
            found[str(key)] = _decoded(value) if coded else str(value)
    return found


def _decoded(value: Any) -> str | None:
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
