"""What is wrong, where: one line a finding, `file: path.to.field: what is wrong`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong. `file` as it was given, `path` in the document.

    `unchecked`: it says that something could not be checked.
    """

    file: str
    path: str
    message: str
    unchecked: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {' '.join(self.message.split())}"


@dataclass
class Source:
    """A document of a file, or the operations of a JSON patch, that may have set a field of an object."""

    file: str
    document: Any = None
    operations: list[dict[str, Any]] = field(default_factory=list)
    place: Path = ()
    """Where a patch stands in the file, if that is a kustomization."""

    def sets(self, path: Path, found: Path, data: Any) -> bool:
        """Whether an object is at `path` as it is because of this source.

        `found`: as much of the path as the object, `data`, has. Where that is not all, what is missing is missing here
        if this source takes it away or made the whole of what it is missing in.
        """
        whole = len(found) == len(path)
        if self.operations:
            mine = [pointer(str(operation.get("path", ""))) for operation in self.operations]
            wanted = tuple(map(str, path))
            return any(wanted[: len(one)] == one or (whole and one[: len(wanted)] == wanted) for one in mine)
        around = find(data, found)
        if not whole and isinstance(around, dict) and not has(self.document, path):
            own = find(self.document, found)
            return isinstance(own, dict) and around.keys() <= own.keys()
        return has(self.document, found)


@dataclass
class Thing:
    """A rendered object, and the sources that made it: patches first, then the file it stands in."""

    data: dict[str, Any]
    sources: list[Source]

    @property
    def kind(self) -> str:
        return str(self.data.get("kind"))

    @property
    def name(self) -> str:
        metadata = self.data.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    @property
    def group(self) -> str:
        group, slash, _ = str(self.data.get("apiVersion")).partition("/")
        return group if slash else ""

    def get(self, *path: str | int) -> Any:
        """The value at a path; None where there is none."""
        return find(self.data, path)

    def wrong(self, path: Iterable[str | int], message: str) -> Finding:
        """A finding at a path, in the file that set it. Keys of YAML inside a string may follow the string's path."""
        path = tuple(path)
        known = path
        while known and not has(self.data, known):
            known = known[:-1]
        file = self.sources[-1].file
        for source in self.sources[:-1]:
            if known and source.sets(path, known, self.data):
                file = source.file
                break
        name = self.name or self.get("metadata", "generateName") or ""
        return Finding(file, write(path), f"{message} ({self.kind} {name})")


def pointer(text: str) -> tuple[str, ...]:
    """The keys of a JSON pointer."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def find(data: Any, path: Iterable[str | int]) -> Any:
    """The value at a path in nested data; None where there is none."""
    for key in path:
        if not isinstance(data, dict | list):
            return None
        try:
            data = data[key]  # type: ignore[index]
        except (IndexError, KeyError, TypeError):
            return None
    return data


def has(data: Any, path: Iterable[str | int]) -> bool:
    """Whether nested data has something, be it null, at a path."""
    *parents, last = tuple(path) or ("",)
    node = find(data, parents)
    if isinstance(node, dict):
        return last in node
    return isinstance(node, list) and isinstance(last, int) and last < len(node)


def write(path: Iterable[str | int]) -> str:
    """`spec.containers[0].image`; a key with dots or slashes in brackets; `.` for the document itself."""
    text = ""
    for key in path:
        if isinstance(key, int) or "." in str(key) or "/" in str(key):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text or "."
