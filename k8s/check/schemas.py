"""Objects against schemas: KubeRay's CustomResourceDefinitions, and Kubernetes' own kinds."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from k8s.check.findings import Finding, Thing
from k8s.check.groups import BUILT_IN, RAY, misspelled_group
from k8s.check.lists import check_keys

KUBERNETES = "1.34"
"""The version whose kinds are checked; an API server takes what one of the minor versions around it takes."""
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
_DEFAULTED = {("onPodConditions", "status")}
"""Fields that a schema wants and the API server fills in, behind the list that they are in."""
_ANY = {"required": ["metadata"], "properties": {"metadata": OBJECT_META}}
"""What holds for objects of any kind."""


class Schemas:
    """Validators by kind. `skipped` collects what could not be checked, each with its reason.

    Args:
        crds: A folder with `ray.io_*.yaml`, KubeRay's definitions.
    """

    def __init__(self, crds: Path) -> None:
        self._crds = crds
        self.skipped: set[str] = set()
        self.declared: set[str] = set()
        """Groups whose CustomResourceDefinitions are among the objects."""

    def check(self, thing: Thing) -> Iterator[Finding]:
        """Every way in which an object differs from the schema of its kind."""
        if thing.group == RAY:
            yield from self._custom(thing)
        elif thing.group in BUILT_IN:
            yield from self._built_in(thing)
        elif thing.group not in self.declared and (problem := misspelled_group(thing.group)):
            yield thing.wrong(["apiVersion"], problem)
        else:
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            self.skipped.add(f"{thing.data.get('apiVersion')} {thing.kind}: no schema of this kind is at hand")

    def declare(self, thing: Thing) -> None:
        """Take note of an object that makes a group known."""
        if thing.kind == "CustomResourceDefinition":
            self.declared.add(str(thing.get("spec", "group")))

    def _custom(self, thing: Thing) -> Iterator[Finding]:
        if not self._crds.is_dir():
            self.skipped.add(
                f"Ray's kinds against their schemas: no folder {self._crds} with KubeRay's definitions (--crds)"
            )
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            return
        file = self._crds / f"ray.io_{thing.kind.lower()}s.yaml"
        if not file.is_file():
            yield thing.wrong(["kind"], f"no kind {thing.kind} among KubeRay's definitions")
            return
        validators = custom_validators(file)
        version = str(thing.data.get("apiVersion")).partition("/")[2]
        if version not in validators:
            yield thing.wrong(["apiVersion"], f"{thing.kind} has no version {version!r}: {', '.join(validators)}")
            return
        yield from _errors(thing, validators[version])
        yield from check_keys(thing, validators[version].schema)

    def _built_in(self, thing: Thing) -> Iterator[Finding]:
        if importlib.util.find_spec("kubernetes_validate") is None:
            self.skipped.add("Kubernetes' own kinds: the package kubernetes-validate is not installed")
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            return
        validator = built_in_validator(str(thing.data.get("apiVersion")), thing.kind)
        if validator is None:
            yield thing.wrong(
                ["kind"], f"Kubernetes {KUBERNETES} has no {thing.kind} in {thing.data.get('apiVersion')}"
            )
            return
        yield from _errors(thing, validator)


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


@cache
def _registry() -> tuple[Any, str]:
    """The shared definitions, and the folder of the schemas in the package."""
    import referencing

    folder = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"
    text = _packaged(f"{folder}/_definitions.json")
    assert text is not None, f"kubernetes-validate has no schemas of Kubernetes {KUBERNETES}"
    return referencing.Resource.from_contents(json.loads(text)) @ referencing.Registry(), folder


def _packaged(name: str) -> str | None:
    file = importlib.resources.files("kubernetes_validate").joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else None


@cache
def built_in_validator(version: str, kind: str) -> Any:
    """The validator of a built-in kind; None where there is no such kind."""
    registry, folder = _registry()
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    text = _packaged(f"{folder}/{kind.lower()}-{short}.json")
    return None if text is None else jsonschema.Draft202012Validator(json.loads(text), registry=registry)


def _errors(thing: Thing, validator: Any) -> Iterator[Finding]:
    for error in validator.iter_errors(thing.data):
        path: list[str | int] = list(error.absolute_path)
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            # YAML reads `on` and `1` as keys that are no text, which no schema has.
            for key in sorted(error.instance.keys() - error.schema.get("properties", {}).keys(), key=str):
                yield thing.wrong([*path, str(key)], f"there is no field {key!r} here")
        elif error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            around = path[-2] if len(path) > 1 else ""
            for name in (name for name in missing if (around, name) not in _DEFAULTED):
                yield thing.wrong([*path, name], f"{name} is missing")
        elif error.validator == "pattern" and error.schema.get("x-kubernetes-int-or-string"):
            continue  # a quantity, of which check_quantities speaks
        elif error.validator in ("anyOf", "oneOf"):
            yield thing.wrong(path, f"{_short(error.instance)} is of no allowed type")
        else:
            yield thing.wrong(path, error.message.replace(repr(error.instance), _short(error.instance)))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
