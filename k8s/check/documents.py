"""Files as documents, and documents as objects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from k8s.check.findings import Finding, write
from k8s.check.findings import Path as Field

_DEEPEST = 200
_LARGEST = 10**6
"""Most nodes of a document when its aliases are written out, which every check of it does."""
_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes' tools read it: 0o440 is a number there, as in YAML 1.2."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?0o[0-7_]+"), list("-+0"))


def shown(file: Path) -> str:
    """A file as findings name it: relative to the working directory where it is below it."""
    relative = os.path.relpath(file)
    return os.path.normpath(file) if relative.startswith("..") else relative


def documents(file: Path, findings: list[Finding]) -> Iterator[Any]:
    """The documents of a YAML file; what cannot be read is a finding, and None."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        findings.append(Finding(shown(file), ".", str(error)))
        return
    yield from documents_of(text, file, findings)


def documents_of(text: str, file: Path, findings: list[Finding]) -> Iterator[Any]:
    """The documents of a YAML text that comes from a file; what cannot be read is a finding, and what can be told."""
    for part in [text] if file.suffix == ".json" else _SEPARATOR.split(text):
        if _directives(part):
            continue
        try:
            yield read(part)
        except NotReadError as error:
            findings.append(Finding(shown(file), write(error.path), str(error)))
            yield error.rest


def _directives(text: str) -> bool:
    """Whether a text is lines such as `%YAML 1.1` alone, which stand before a document and are none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return bool(lines) and all(line.startswith("%") for line in lines)


class NotReadError(Exception):
    """Why a YAML text is refused. `rest`: what it holds all the same, if anything can be told."""

    def __init__(self, path: Field, message: str, rest: Any = None) -> None:
        super().__init__(message)
        self.path = path
        self.rest = rest


def read(text: str) -> Any:
    """A YAML document as plain data. Raises `NotReadError`, also for a key given twice and a value in itself."""
    try:
        _refuse_depths(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if _size(node, {}) > _LARGEST:
            raise NotReadError((), f"is more than {_LARGEST:,} values when its aliases are written out")
        fault = next(_faults(node, (), []), None)
        if fault:
            path, message, rest = fault
            raise NotReadError(path, message, loader.construct_document(node) if rest else None)
        return None if node is None else loader.construct_document(node)
    except (ValueError, yaml.YAMLError) as error:  # ValueError: a date or a number that cannot be
        raise NotReadError((), f"cannot be read as YAML: {error}") from None


def _refuse_depths(text: str) -> None:
    """Raise `NotReadError` for a document that is nested deeper than any manifest: composing it in C would end the
    process."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise NotReadError((), f"cannot be read as YAML: it is nested too deeply (more than {_DEEPEST} levels)")


def _size(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many nodes a node is with all that is in it, aliases written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 1  # of itself, in itself
        inner = [one for item in node.value for one in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(one, known) for one in inner)
    return known[id(node)]


def _faults(node: yaml.Node | None, path: Field, around: list[yaml.Node]) -> Iterator[tuple[Field, str, bool]]:
    """Paths of what a document may not have; whether the rest of it can be told."""
    if any(node is one for one in around):
        yield path, "an anchor that holds itself", False
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _faults(item, (*path, index), [*around, node])
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and (key.tag, name) in lines:
                said = f"the key is given twice, in line {lines[key.tag, name]} and in line {line} of the document"
                yield (*path, name), said, True
            lines[key.tag, name] = line
            yield from _faults(value, (*path, name), [*around, node])


def items(document: Any) -> list[Any]:
    """The objects of a document: those in a List, be it of one kind, or itself.

    In a list of one kind, such as ConfigMapList, objects may leave out what the list says.
    """
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(kind, str) or not kind.endswith("List") or not isinstance(document.get("items"), list):
        return [document]
    said = {"apiVersion": document.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
    return [one for item in document["items"] for one in items(said | item if isinstance(item, dict) else item)]


def settings_of(file: Path, findings: list[Finding]) -> dict[str, Any] | None:
    """The settings of a kustomization file; None where it has none, which is a finding."""
    before = len(findings)
    found = list(documents(file, findings))
    if found and len(findings) == before and not isinstance(found[0], dict):
        findings.append(Finding(shown(file), ".", "a kustomization is a mapping"))
    return found[0] if found and isinstance(found[0], dict) else None
