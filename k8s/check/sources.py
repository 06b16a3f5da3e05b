"""What may have set a field of a rendered object: its file, patches, and the fields of kustomizations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.check.aligned import KEYS, aligned, index_of
from k8s.check.findings import Path, Thing, find, has, pointer
from k8s.check.targets import entries_of, mapping, seen, selects

_IDENTITY: tuple[Path, ...] = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


@dataclass(eq=False)
class Written:
    """The file that an object stands in. `document`: the object as it is there, if it was found."""

    file: str
    document: Any = None
    for_all: bool = False

    def place(self, path: Path, known: Path, thing: Thing) -> Path | None:
        """The path as the file has it, as far as it has it; what cannot be told is as in the object."""
        for end in range(len(known), 0, -1):
            own = aligned(known[:end], thing.data, self.document)
            if own is not None:
                rest = path[end:]
                return path if rest and isinstance(rest[0], int) and end < len(known) else (*own, *rest)
        return path

    def value(self, path: Path, data: Any) -> Any:
        own = aligned(path, data, self.document)
        return None if own is None else find(self.document, own)


@dataclass(eq=False)
class MergePatch(Written):
    """A document that is laid over an object. `stands`: where it stands in the file, if that is a kustomization."""

    stands: Path = ()

    def place(self, path: Path, known: Path, thing: Thing) -> Path | None:
        own = aligned(known, thing.data, self.document)
        if own is None or path in _IDENTITY or self._only_names(path, thing):
            return None
        around, rest = find(thing.data, known), path[len(known) :]
        if rest and isinstance(around, dict) and not has(self.document, (*own, *rest)):
            mine = find(self.document, own)
            return (*own, *rest) if isinstance(mine, dict) and around.keys() <= mine.keys() else None
        return (*own, *rest)

    def _only_names(self, path: Path, thing: Thing) -> bool:
        """Whether a path is the key of an entry that is changed here, and that something else has made."""
        if len(path) < 2 or path[-1] not in KEYS or not isinstance(path[-2], int):
            return False
        return bool(_before(self, path, thing) == find(thing.data, path))


@dataclass(eq=False)
class JsonPatch:
    """The operations of a JSON patch. `stands`: where it stands in the file, if that is a kustomization."""

    file: str
    operations: list[dict[str, Any]]
    stands: Path = ()
    for_all: bool = False

    def place(self, path: Path, known: Path, thing: Thing) -> Path | None:
        wanted, whole = tuple(map(str, path)), len(known) == len(path)
        for operation in self.operations:
            mine, added = _target(operation, thing.data)
            above = whole and not added and mine[: len(wanted)] == wanted
            if mine and operation.get("op") != "test" and (above or wanted[: len(mine)] == mine):
                return path
        return None

    def value(self, path: Path, data: Any) -> Any:
        values = {_target(one, data)[0]: one.get("value") for one in self.operations if one.get("op") != "test"}
        return values.get(tuple(map(str, path)))


def _target(operation: dict[str, Any], data: Any) -> tuple[tuple[str, ...], bool]:
    """The keys of what an operation sets, and whether that is an entry added to a list, which is where it is now."""
    keys = pointer(str(operation.get("path", "")))
    node = data
    for key in keys[:-1]:
        node = find(node, (int(key) if isinstance(node, list) and key.isdecimal() else key,))
    if not keys or not isinstance(node, list) or operation.get("op") != "add":
        return keys, False
    near = len(node) - 1 if keys[-1] == "-" else int(keys[-1]) if keys[-1].isdecimal() else -1
    index = index_of(operation.get("value"), node, near)
    return (*keys[:-1], str(near if index is None else index)), True


@dataclass(eq=False)
class Setting:
    """The fields of a kustomization that change objects. Only what has been changed is from them."""

    file: str
    settings: dict[str, Any]
    for_all: bool = True

    def place(self, path: Path, known: Path, thing: Thing) -> Path | None:
        value = find(thing.data, known)
        if isinstance(value, dict | list) or _before(self, known, thing) == value:
            return None
        found = [*self._named(known, value), *self._replaced(known, thing)]
        return found[0] if found else None

    def value(self, path: Path, data: Any) -> Any:
        return None

    def _named(self, path: Path, value: Any) -> Iterator[Path]:
        """Fields that set a value of this name."""
        around, key = path[-2:] if len(path) > 1 else ("", path[-1])
        if key == "image":
            for index, entry in enumerate(entries_of(self.settings.get("images"))):
                old, new = str(mapping(entry).get("name")), str(mapping(entry).get("newName"))
                # Of an image that only has another registry and tag, what is wrong is that it stands beside others.
                if new == without_tag(str(value)) and old.split("/")[-1] != new.split("/")[-1]:
                    yield ("images", index, "newName")
        if key == "namespace" and self.settings.get("namespace") == value:
            yield ("namespace",)
        if around in ("labels", "matchLabels", "selector"):
            for index, entry in enumerate(entries_of(self.settings.get("labels"))):
                if find(entry, ("pairs", key)) == value:
                    yield ("labels", index, "pairs", key)
            if find(self.settings, ("commonLabels", key)) == value:
                yield ("commonLabels", key)
        if around == "annotations" and find(self.settings, ("commonAnnotations", key)) == value:
            yield ("commonAnnotations", key)

    def _replaced(self, path: Path, thing: Thing) -> Iterator[Path]:
        """Replacements that set a value, or what it stands in."""
        mine = seen(thing.data, [thing.name, thing.first_name], [], None)
        for index, entry in enumerate(entries_of(self.settings.get("replacements"))):
            for target in entries_of(mapping(entry).get("targets")):
                for field in entries_of(mapping(target).get("fieldPaths")):
                    keys = _field(str(field), thing.data)
                    if keys and path[: len(keys)] == keys and selects(mapping(mapping(target).get("select")), mine):
                        yield ("replacements", index)


def _field(text: str, data: Any) -> Path | None:
    """The path that a replacement means: `spec.containers.[name=a].image`; None where it is not in the object."""
    path: Path = ()
    for part in re.findall(r"\[[^]]*\]|(?:\\.|[^.\[])+", text):
        node = find(data, path)
        key, equals, value = part.strip("[]").replace("\\.", ".").partition("=")
        if isinstance(node, list) and equals:
            index = next((at for at, one in enumerate(node) if str(find(one, (key,))) == value), None)
            if index is None:
                return None
            path = (*path, index)
        else:
            path = (*path, int(key) if isinstance(node, list) and key.isdecimal() else key)
    return path if has(data, path) else None


def _before(source: Any, path: Path, thing: Thing) -> Any:
    """What an object had at a path before a source changed it."""
    values = (one.value(path, thing.data) for one in thing.sources[thing.sources.index(source) + 1 :])
    return next((value for value in values if value is not None), None)


def without_tag(image: str) -> str:
    """The name of an image: `registry.example:5000/a` of `registry.example:5000/a:1`."""
    return re.sub(r"(@.*|:[^/:]*)$", "", image)
