"""Namespaces and pods of others in network policies: what is nearly a well-known name allows nothing to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.rendering import Scene

_SPACE = "kubernetes.io/metadata.name"
_SPACES = frozenset(
    {"kube-system", "kube-public", "kuberay-operator", "kuberay-system", "monitoring", "prometheus"}
    | {"kueue-system", "istio-system", "ingress-nginx", "cert-manager", "gpu-operator", "ray-system"}
)
_PODS = frozenset(["kuberay-operator", "kube-dns", "node-local-dns", "coredns", "prometheus", "ingress-nginx"])
"""Names that clusters have by their usual installation."""


def check_neighbours(scene: Scene) -> Iterator[Finding]:
    """Labels of others' namespaces and pods, in the policies of a scene, that look like a slip."""
    spaces = {str(thing.get("metadata", "namespace") or "") for thing in scene.things}
    spaces |= {thing.name for thing in scene.things if thing.kind == "Namespace"}
    for thing in scene.things:
        for path, key, value in _named(thing) if thing.kind == "NetworkPolicy" else ():
            if near := _near(value, _SPACES | spaces if key == _SPACE else _PODS):
                what = "namespace" if key == _SPACE else "pod of others"
                yield thing.wrong(path, f"selects no {what} that is known: {key}={value}: did you mean {near}?")


def _named(thing: Thing) -> Iterator[tuple[Path, str, str]]:
    """The labels by which a policy chooses namespaces, and pods in them."""
    for direction, end in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(thing.get("spec", direction) or ()):
            for at, peer in enumerate(rule.get(end) or ()):
                for selector in ("namespaceSelector", "podSelector") if "namespaceSelector" in peer else ():
                    path: Path = ("spec", direction, index, end, at, selector, "matchLabels")
                    for key, value in (find(thing.data, path) or {}).items():
                        if (selector == "namespaceSelector") == (key == _SPACE):
                            yield path, str(key), str(value)


def _near(value: str, known: frozenset[str]) -> str | None:
    """A known name that is nearly a value; one with more words, or with less, is a name of its own."""
    if value in known:
        return None
    near = get_close_matches(value, [name for name in known if len(name) > 5], 1, 0.85)
    return near[0] if near and near[0] not in value and value not in near[0] else None
