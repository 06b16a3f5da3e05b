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

from k8s.check.definitions import OBJECT_META, completed, custom_validators, files_of, strange_kind
from k8s.check.findings import Finding, Thing
from k8s.check.findings import Path as Field
from k8s.check.groups import BUILT_IN, RAY, RAY_KINDS, misplaced, misspelled_group
from k8s.check.lists import check_keys

KUBERNETES = "1.34"
"""The version whose kinds are checked; an API server takes what one of the minor versions around it takes."""
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
        self.declared: dict[str, set[str]] = {}
        """Groups whose CustomResourceDefinitions are among the objects, and the kinds of these."""

    def check(self, thing: Thing) -> Iterator[Finding]:
        """Every way in which an object differs from the schema of its kind."""
        declared = thing.kind in self.declared.get(thing.group, ())
        if not declared and (problem := misplaced(thing.kind, thing.group, _places())):
            yield thing.wrong(["apiVersion"], f"{thing.data.get('apiVersion')}, but {problem}")
        elif thing.group == RAY:
            yield from self._custom(thing)
        elif thing.group in BUILT_IN:
            yield from self._built_in(thing)
        elif thing.group not in self.declared and (problem := misspelled_group(thing.group)):
            yield thing.wrong(["apiVersion"], problem)
        elif near := self._other_case(thing):
            yield thing.wrong(["kind"], f"{thing.group} has no kind {thing.kind}: did you mean {near}?")
        else:
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            self.skipped.add(f"{thing.data.get('apiVersion')} {thing.kind}: no schema of this kind is at hand")

    def declare(self, thing: Thing) -> None:
        """Take note of an object that makes a group known."""
        if thing.kind == "CustomResourceDefinition":
            kinds = self.declared.setdefault(str(thing.get("spec", "group")), set())
            kinds.add(str(thing.get("spec", "names", "kind")))

    def _other_case(self, thing: Thing) -> str | None:
        """The declared kind that an object's is but for the case of letters. Any other may be declared elsewhere."""
        kinds = self.declared.get(thing.group, set())
        found = {kind.lower(): kind for kind in kinds}.get(thing.kind.lower())
        return found if thing.kind not in kinds else None

    def _custom(self, thing: Thing) -> Iterator[Finding]:
        files = files_of(self._crds)
        if problem := strange_kind(thing.kind, {*RAY_KINDS, *files, *self.declared.get(RAY, ())}):
            yield thing.wrong(["kind"], problem)
            return
        if not self._crds.is_dir():
            self.skipped.add(
                f"Ray's kinds against their schemas: no folder {self._crds} with KubeRay's definitions (--crds)"
            )
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            return
        if thing.kind not in files:
            self.skipped.add(f"{thing.data.get('apiVersion')} {thing.kind}: no definition of it in {self._crds}")
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            return
        validators = custom_validators(files[thing.kind])
        version = str(thing.data.get("apiVersion")).partition("/")[2]
        if version not in validators:
            yield thing.wrong(["apiVersion"], f"{thing.kind} has no version {version!r}: {', '.join(validators)}")
            return
        yield from _errors(thing, validators[version], completed(thing.data, validators[version].schema))
        yield from check_keys(thing, validators[version].schema)

    def _built_in(self, thing: Thing) -> Iterator[Finding]:
        if not _has_schemas():
            self.skipped.add("Kubernetes' own kinds: the package kubernetes-validate is not installed")
            yield from _errors(thing, jsonschema.Draft202012Validator(_ANY))
            return
        validator = built_in_validator(str(thing.data.get("apiVersion")), thing.kind)
        if validator is None:
            right = " or ".join(_places().get(thing.kind, ()))
            said = f"Kubernetes {KUBERNETES} has no {thing.kind} in {thing.data.get('apiVersion')}"
            yield thing.wrong(["kind"], f"{said}: it is in {right}" if right else said)
            return
        yield from _errors(thing, validator)
        if thing.kind != "CustomResourceDefinition":  # whose schemas may speak of nulls
            yield from (thing.wrong(path, "is null: an entry without content") for path in nulls(thing.data, ()))


_FOLDER = f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict"
"""The folder of the schemas in the package."""


@cache
def _definitions() -> Any:
    """The definitions that the schemas share."""
    text = _packaged(f"{_FOLDER}/_definitions.json")
    assert text is not None, f"kubernetes-validate has no schemas of Kubernetes {KUBERNETES}"
    return json.loads(text)


@cache
def _registry() -> Any:
    import referencing

    return referencing.Resource.from_contents(_definitions()) @ referencing.Registry()


def _has_schemas() -> bool:
    return importlib.util.find_spec("kubernetes_validate") is not None


@cache
def _places() -> dict[str, tuple[str, ...]]:
    """The API versions of each built-in kind, without those that are no `v1` or `v2` where such a one is."""
    found: dict[str, list[str]] = {}
    for one in (_definitions()["$defs"] if _has_schemas() else {}).values():
        for place in one.get("x-kubernetes-group-version-kind", ()):
            found.setdefault(place["kind"], []).append(f"{place['group']}/{place['version']}".removeprefix("/"))
    stable = {kind: [one for one in given if re.search(r"v\d+$", one)] for kind, given in found.items()}
    return {kind: tuple(sorted(stable[kind] or given)) for kind, given in found.items()}


def _packaged(name: str) -> str | None:
    file = importlib.resources.files("kubernetes_validate").joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else None


@cache
def built_in_validator(version: str, kind: str) -> Any:
    """The validator of a built-in kind; None where there is no such kind."""
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    text = _packaged(f"{_FOLDER}/{kind.lower()}-{short}.json")
    return None if text is None else jsonschema.Draft202012Validator(json.loads(text), registry=_registry())


def nulls(node: Any, path: Field) -> Iterator[Field]:
    """The entries of lists that are null: the schemas of Kubernetes' kinds take them, and its fields do not."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from nulls(value, (*path, str(key)))
    for index, value in enumerate(node if isinstance(node, list) else ()):
        if value is None:
            yield (*path, index)
        yield from nulls(value, (*path, index))


def _errors(thing: Thing, validator: Any, data: Any = None) -> Iterator[Finding]:
    """The ways in which an object, or what the server makes of it, is not as a schema wants it."""
    for error in validator.iter_errors(thing.data if data is None else data):
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
