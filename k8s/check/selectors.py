"""Selectors: what is chosen by labels is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.ray_objects import Pod, cluster_of, groups_of, pods_of, selects
from k8s.check.rendering import Scene

_OPERATORS = ("ray.io/", "batch.kubernetes.io/", "statefulset.kubernetes.io/", "apps.kubernetes.io/", "job-name")
"""Labels that controllers put on pods: who has them is not written in manifests."""
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def check_selectors(scene: Scene) -> Iterator[Finding]:
    """Selectors of a scene that choose nothing, and budgets that cannot be kept."""
    pods = [pod for thing in scene.things for pod in pods_of(thing)]
    for thing in scene.things:
        if thing.kind in _WORKLOADS:
            yield from _own(thing)
        elif thing.kind == "Service":
            yield from _chosen(thing, ("spec", "selector"), pods)
        elif thing.kind == "PodDisruptionBudget":
            yield from _budget(thing, pods)
        elif thing.kind in ("ServiceMonitor", "PodMonitor") and not thing.get("spec", "namespaceSelector"):
            yield from _monitor(thing, scene, pods)


def controllers(labels: dict[str, Any]) -> bool:
    """Whether some of the labels are put on pods by a controller."""
    return any(key.startswith(_OPERATORS) for key in labels)


def _own(thing: Thing) -> Iterator[Finding]:
    where = ("spec", "selector", "matchLabels")
    labels, template = thing.get(*where), thing.get("spec", "template", "metadata", "labels") or {}
    if isinstance(labels, dict) and not labels.items() <= template.items():
        yield thing.wrong(where, f"does not select the pods of its own template, whose labels are {template}")


def _chosen(thing: Thing, where: Path, pods: list[Pod]) -> Iterator[Finding]:
    labels = thing.get(*where)
    if not isinstance(labels, dict) or not labels or controllers(labels):
        return
    chosen = [pod for pod in pods if labels.items() <= pod.labels.items()]
    if not chosen:
        yield thing.wrong(where, f"selects no pod: no pod template has the labels {labels}")


def _budget(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    """Pods of a RayCluster have an owner without a scale resource: a share of its pods cannot be told."""
    selector, where = thing.get("spec", "selector"), ("spec", "selector")
    if not isinstance(selector, dict):
        yield thing.wrong(where, "selector is missing: the budget is about no pod")
        return
    expressions = [str(one.get("key")) for one in selector.get("matchExpressions") or ()]
    if controllers({**(selector.get("matchLabels") or {}), **dict.fromkeys(expressions)}):
        return
    chosen = [pod for pod in pods if selects(selector, pod)]
    if not chosen:
        field = next((key for key in ("matchLabels", "matchExpressions") if selector.get(key)), "matchLabels")
        yield thing.wrong((*where, field), f"selects no pod: no pod template has the labels of {selector}")
        return
    least, ray = thing.get("spec", "minAvailable"), any(pod.role for pod in chosen)
    if ray and "maxUnavailable" in thing.data["spec"]:
        yield thing.wrong(("spec", "maxUnavailable"), "does not work for Ray's pods: use minAvailable with an integer")
    elif ray and not isinstance(least, int):
        yield thing.wrong(("spec", "minAvailable"), "must be an integer for Ray's pods, not a percentage")
    most = sum(map(_most, chosen))
    if isinstance(least, int) and least > most:
        yield thing.wrong(("spec", "minAvailable"), f"{least}, but there are {most} such pods at the most")


def _most(pod: Pod) -> int:
    """How many pods a template has at the most."""
    for path, group, role in groups_of(pod.thing):
        if pod.path[: len(path)] == path:
            _, cluster = cluster_of(pod.thing) or ((), {})
            unsaid = 10**9 if cluster.get("enableInTreeAutoscaling") else group.get("replicas") or 0
            count = 1 if role == "head" else group.get("maxReplicas") or unsaid
            return int(count) * int(group.get("numOfHosts") or 1)
    replicas = pod.thing.get("spec", "replicas")
    return 10**9 if pod.thing.kind == "DaemonSet" else 1 if replicas is None else int(replicas)


def _monitor(thing: Thing, scene: Scene, pods: list[Pod]) -> Iterator[Finding]:
    """What Prometheus' operator chooses: services by their own labels, or pods; and ports of theirs by name."""
    where = ("spec", "selector", "matchLabels")
    labels = thing.get(*where)
    if not isinstance(labels, dict) or not labels or controllers(labels):
        return
    if thing.kind == "ServiceMonitor":
        field = "endpoints"
        services = [one for one in scene.things if one.kind == "Service"]
        chosen = [one for one in services if labels.items() <= (one.get("metadata", "labels") or {}).items()]
        ports = {port.get("name") for one in chosen for port in one.get("spec", "ports") or ()}
    else:
        field = "podMetricsEndpoints"
        chosen = [pod.thing for pod in pods if labels.items() <= pod.labels.items()]
        containers = [c for pod in pods if labels.items() <= pod.labels.items() for _, c in pod.containers()]
        ports = {port.get("name") for container in containers for port in container.get("ports") or ()}
    if not chosen:
        yield thing.wrong(where, f"selects nothing: there are no {thing.kind[:-7]}s with the labels {labels}")
        return
    for index, endpoint in enumerate(thing.get("spec", field) or ()):
        if endpoint.get("port") and endpoint["port"] not in ports:
            there = ", ".join(sorted(map(str, ports)))
            yield thing.wrong(("spec", field, index, "port"), f"no port {endpoint['port']!r} there (there is: {there})")


def check_policy_labels(scenes: list[Scene]) -> Iterator[Finding]:
    """Labels in network policies that no pod of any scene has, and that look like a slip.

    A policy may speak of pods that other overlays have. A slip is near a label of some pod, or stands alone.
    """
    pods = [pod for scene in scenes for thing in scene.things for pod in pods_of(thing)]
    named: dict[tuple[str, str, Path], tuple[Thing, dict[str, str]]] = {}
    for thing in [thing for scene in scenes for thing in scene.things if thing.kind == "NetworkPolicy"]:
        for path, labels in _policy_selectors(thing):
            named[thing.sources[-1].file, thing.name, path] = thing, labels
    times = Counter(pair for _, labels in named.values() for pair in labels.items())
    for (_, _, path), (thing, labels) in named.items():
        if not pods or controllers(labels) or any(labels.items() <= pod.labels.items() for pod in pods):
            continue
        for key, value in labels.items():
            others = {pod.labels.get(key, "") for pod in pods} | {
                v for k, v in times if k == key and (k, v) != (key, value)
            }
            near = get_close_matches(str(value), [str(one) for one in others if one != value], 1, 0.7)
            absent = value not in {pod.labels.get(key) for pod in pods}
            if absent and (times[key, value] == 1 or (near and times[key, near[0]] > times[key, value])):
                hint = f": did you mean {near[0]}?" if near else ""
                yield thing.wrong((*path, "matchLabels"), f"selects no pod: none has {key}={value}{hint}")


def _policy_selectors(thing: Thing) -> Iterator[tuple[Path, dict[str, str]]]:
    places: list[Path] = [("spec", "podSelector")]
    for direction, end in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(thing.get("spec", direction) or ()):
            for at, peer in enumerate(rule.get(end) or ()):
                if "namespaceSelector" not in peer:  # the pods of another namespace are not here
                    places.append(("spec", direction, index, end, at, "podSelector"))
    for place in places:
        labels = find(thing.data, (*place, "matchLabels"))
        if isinstance(labels, dict) and labels:
            yield place, labels
