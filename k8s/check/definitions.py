"""KubeRay's CustomResourceDefinitions: the kinds that there are, their schemas, and what the API server fills in."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from k8s.check.groups import RAY

_KIND = re.compile(r"^ +kind: [\"']?(\w+)", re.MULTILINE)

_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_LIST = {"type": "array", "items": {"type": "object"}}
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("name", "namespace", "generateName", "uid", "resourceVersion", "selfLink"), _TEXT),
    **{name: {"type": ["string", "null"]} for name in ("creationTimestamp", "deletionTimestamp")},
    **{name: {"type": "integer"} for name in ("generation", "deletionGracePeriodSeconds")},
    **{"labels": _TEXTS, "annotations": _TEXTS, "ownerReferences": _LIST, "managedFields": _LIST},
    "finalizers": {"type": "array", "items": _TEXT},
}
OBJECT_META: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": _FIELDS}
"""Kubernetes' ObjectMeta, which definitions of others leave open."""


@cache
def files_of(folder: Path) -> dict[str, Path]:
    """The definitions in a folder by the kind that they define."""
    found = {}
    for file in sorted(folder.glob("ray.io_*.yaml")):
        if named := _KIND.search(file.read_text(encoding="utf-8")):  # the file's own kind is not indented
            found[named[1]] = file
    return found


def strange_kind(kind: str, known: set[str]) -> str | None:
    """Why a kind is none of those that are known. The API server compares letter by letter, suggestions do not."""
    if kind in known:
        return None
    lowered = {one.lower(): one for one in sorted(known)}
    near = get_close_matches(kind.lower(), lowered, 1, 0.7)
    hint = f"did you mean {lowered[near[0]]}?" if near else f"there is {', '.join(sorted(known))}"
    return f"{RAY} has no kind {kind}: {hint}"


@cache
def custom_validators(file: Path) -> dict[str, Any]:
    """Validators by version from a CustomResourceDefinition; fields that it does not name are errors."""
    definition = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    found = {}
    for version in definition["spec"]["versions"]:
        if not version.get("served", True) or version.get("deprecated"):
            continue
        schema = _strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = OBJECT_META
        schema["required"] = sorted({*schema.get("required", ()), "metadata", "spec"})
        found[version["name"]] = jsonschema.Draft202012Validator(schema)
    return found


def _strict(node: Any) -> Any:
    """A definition's schema as JSON schema. The API server drops unknown fields silently: here they are refused."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _strict(value) for key, value in node.items()}
    if node.get("x-kubernetes-int-or-string"):
        node.pop("type", None)
        node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(node.get("type"), str):
        open_ended = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields")
        if "properties" in node and not open_ended:
            node["additionalProperties"] = False
        if node.get("nullable"):
            node["type"] = [node["type"], "null"]
    return node


def completed(value: Any, schema: Any) -> Any:
    """What the API server makes of a value before it validates: fields that are null, where the schema does not take
    that, are left out, and defaults are filled in. A null in a list stays."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [completed(item, items) for item in value]
    if not isinstance(value, dict):
        return value
    fields, others = schema.get("properties") or {}, schema.get("additionalProperties")
    whole = {}
    for key, inner in value.items():
        below = fields.get(key, others)
        if not isinstance(below, dict):
            whole[key] = inner
        elif inner is not None or below.get("nullable"):
            whole[key] = completed(inner, below)
    defaults = {key: one["default"] for key, one in fields.items() if "default" in one}
    return defaults | whole
