"""Which objects the target of a patch means, as kustomize selects them; what cannot be told is None."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_FOREIGN = ("[:", "\\p", "\\P", "\\Q", "\\z", "\\C")
"""What Go's regular expressions have, and Python's have not, or as something else."""
_TERM = re.compile(r"[^,(]+(?:\([^)]*\))?")
_ONE_OF = re.compile(r"(\S+) +(in|notin) *\(([^)]*)\)")
_EQUAL = re.compile(r"([^\s!=]+) *(==|=|!=) *([^\s!=]*)")
_THERE = re.compile(r"(!?) *([^\s!=]+)")


def mapping(node: Any) -> dict[str, Any]:
    """A mapping; what is none is empty, for kustomize says so itself."""
    return node if isinstance(node, dict) else {}


def entries_of(node: Any) -> list[Any]:
    """A list; what is none is empty."""
    return node if isinstance(node, list) else []


@dataclass(frozen=True)
class Seen:
    """An object as targets see it: kustomize knows it by what it is and by what it was in its file."""

    group: str
    version: str
    kind: str
    names: list[str]
    """The name now, and those that it had; the first one last."""
    namespaces: set[str]
    labels: list[dict[str, Any]]
    annotations: list[dict[str, Any]]


def seen(document: dict[str, Any], names: list[str], spaces: list[str], original: Any) -> Seen:
    """A rendered object with the names and namespaces that it may have had; and the original, if that was found."""
    group, _, version = str(document.get("apiVersion")).rpartition("/")
    metadata = [mapping(mapping(one).get("metadata")) for one in (document, original)]
    labels, annotations = ([mapping(one.get(key)) for one in metadata] for key in ("labels", "annotations"))
    namespaces = {*spaces, *(str(one.get("namespace") or "default") for one in metadata)}
    return Seen(group, version, str(document.get("kind")), names, namespaces, labels, annotations)


def selects(target: dict[str, Any], one: Seen) -> bool | None:
    """Whether a target means an object. None: that cannot be told here."""
    verdicts = [
        _matches(target.get("group"), [one.group]),
        _matches(target.get("version"), [one.version]),
        _matches(target.get("kind"), [one.kind]),
        _matches(target.get("name"), one.names),
        _matches(target.get("namespace"), one.namespaces),
        _labelled(target.get("labelSelector"), one.labels),
        _labelled(target.get("annotationSelector"), one.annotations),
    ]
    return False if False in verdicts else None if None in verdicts else True


def _matches(pattern: Any, values: Iterable[str]) -> bool | None:
    """Whether a value is what a pattern means as a whole."""
    if not pattern:
        return True
    if any(sign in str(pattern) for sign in _FOREIGN):
        return None
    try:
        return any(re.fullmatch(str(pattern), value) for value in values)
    except re.error:
        return None


def _labelled(selector: Any, labels: list[dict[str, Any]]) -> bool | None:
    """Whether an object has or had labels that a selector wants."""
    verdicts = [[_term(term, one) for term in _TERM.findall(str(selector or ""))] for one in labels]
    return None if any(None in one for one in verdicts) else any(all(one) for one in verdicts)


def _term(term: str, labels: dict[str, Any]) -> bool | None:
    text = term.strip()
    if found := _ONE_OF.fullmatch(text):
        key, how, values = found.groups()
        wanted = [value.strip() for value in values.split(",")]
        return (key in labels and str(labels[key]) in wanted) == (how == "in")
    if found := _EQUAL.fullmatch(text):
        key, how, value = found.groups()
        return (key in labels and str(labels[key]) == value) == (how != "!=")
    if found := _THERE.fullmatch(text):
        return (found[2] in labels) == (found[1] == "")
    return None
