"""Credentials of object storage: what the driver on the head has, its workers need too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Thing, find
from k8s.check.ray_objects import main_container, pods_of
from k8s.check.references import Known

_OF_STORES = ("AWS_", "GOOGLE_", "AZURE_", "S3_")


def check_credentials(thing: Thing, known: Known, root: str) -> Iterator[Finding]:
    """Workers that read and write a run in object storage with less than the head has."""
    pods = list(pods_of(thing))
    head = main_container(pods, "head")
    if head is None or not _has_some(head[1], known):
        return
    for pod in pods:
        found = main_container([pod], "worker")
        if found and not _has_some(found[1], known):
            said = f"the head has credentials and these workers have none, but they too read and write {root}"
            yield thing.wrong((*found[0], "envFrom"), said)


def _has_some(container: dict[str, Any], known: Known) -> bool:
    names = [str(variable.get("name")) for variable in container.get("env") or ()]
    for source in container.get("envFrom") or ():
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if name := find(source, (field, "name")):
                names += [f"{source.get('prefix') or ''}{key}" for key in known.keys(kind, str(name))]
    return any(name.startswith(_OF_STORES) for name in names)
