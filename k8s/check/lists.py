"""Lists whose entries are told apart by keys: the API server refuses an entry that has those of an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing
from k8s.check.ray_objects import pods_of
from k8s.check.rendering import Scene

_OF_PODS: dict[str, tuple[str, ...]] = {
    "volumes": ("name",),
    "initContainers": ("name",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_OF_CONTAINERS: dict[str, tuple[str, ...]] = {
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "protocol"),
}
_DEFAULTS = {"protocol": "TCP"}


def check_lists(scene: Scene) -> Iterator[Finding]:
    """Entries of the pods of a scene that are there twice. Of a plain pod's variables, the last one would count."""
    for pod in [pod for thing in scene.things for pod in pods_of(thing)]:
        for name, keys in _OF_PODS.items():
            yield from _twice(pod.thing, (*pod.path, name), pod.spec.get(name), keys, _DEFAULTS)
        yield from _containers(pod.thing, pod.path, [path for path, _ in pod.containers()])
        for path, container in pod.containers():
            for name, keys in _OF_CONTAINERS.items():
                yield from _twice(pod.thing, (*path, name), container.get(name), keys, _DEFAULTS)


def _containers(thing: Thing, path: Path, places: list[Path]) -> Iterator[Finding]:
    """Containers, those that run first included, have one space of names."""
    seen: set[str] = set()
    for place in places:
        name = str(thing.get(*place, "name"))
        if name in seen:
            yield thing.wrong((*place, "name"), _said(["name"], [name]))
        seen.add(name)


def check_keys(thing: Thing, schema: Any) -> Iterator[Finding]:
    """Entries that are there twice, by what the schema of a definition says of its lists."""
    yield from _walk(thing, (), thing.data, schema)


def _walk(thing: Thing, path: Path, node: Any, schema: Any) -> Iterator[Finding]:
    if not isinstance(schema, dict):
        return
    if isinstance(node, list):
        items = schema.get("items")
        kind = schema.get("x-kubernetes-list-type")
        if kind == "map":
            inner = items.get("properties", {}) if isinstance(items, dict) else {}
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            defaults = {key: inner[key]["default"] for key in keys if "default" in inner.get(key, {})}
            yield from _twice(thing, path, node, keys, defaults)
        elif kind == "set":
            for index, value in enumerate(node):
                if value in node[:index]:
                    yield thing.wrong((*path, index), f"{value!r} is in the list already")
        for index, value in enumerate(node):
            yield from _walk(thing, (*path, index), value, items)
    elif isinstance(node, dict):
        known = schema.get("properties") or {}
        for key, value in node.items():
            yield from _walk(thing, (*path, str(key)), value, known.get(key, schema.get("additionalProperties")))


def _twice(thing: Thing, path: Path, entries: Any, keys: Iterable[str], defaults: dict[str, Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    names = list(keys)
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict) or not names or names[0] not in entry:
            continue
        values = [entry.get(key, defaults.get(key)) for key in names]
        if repr(values) in seen:
            yield thing.wrong((*path, index, names[0]), _said(names, values))
        seen.add(repr(values))


def _said(names: list[str], values: list[Any]) -> str:
    shown = ", ".join(f"{name} {value!r}" for name, value in zip(names, values, strict=True) if value is not None)
    return f"an earlier entry has {shown} too"
