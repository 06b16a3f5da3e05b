"""What is wrong, where: one line a finding, `file: path.to.field: what is wrong`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

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
        return printable(f"{self.file}: {self.path}: ") + printable(" ".join(self.message.split()))


def printable(text: str) -> str:
    """A text in one line: line ends and other characters that a terminal would carry out are written as Python does."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class Source(Protocol):
    """A place that may have set fields of an object."""

    file: str
    for_all: bool
    """Whether it sets the same in whatever object it finds, so that a slip in it is none of that object."""

    def place(self, path: Path, known: Path, thing: Thing) -> Path | None:
        """The path in `file` at which an object got what it has at `path`; None where it has that from elsewhere.

        `known`: as much of the path as the object has. Where that is not all, what is missing is missing here if this
        source takes it away or made the whole of what it is missing in.
        """

    def value(self, path: Path, data: Any) -> Any:
        """What this source has at a path of an object; None where it has nothing, or that cannot be told."""


@dataclass
class Thing:
    """A rendered object, and the sources that made it: what changed it last first, its file at the end.

    `first_name`: the name that it has there, where kustomize gave it another one.
    """

    data: dict[str, Any]
    sources: list[Source]
    first_name: str = ""

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
        for source in self.sources if known else self.sources[-1:]:
            place = source.place(path, known, self)
            if place is not None:
                return Finding(source.file, write(place), message if source.for_all else f"{message} {self.said}")
        return Finding(self.sources[-1].file, write(path), f"{message} {self.said}")

    @property
    def said(self) -> str:
        """The object as findings name it: overlays that rename it all speak of the one that its file has."""
        return f"({self.kind} {self.first_name or self.name or self.get('metadata', 'generateName') or ''})"


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
