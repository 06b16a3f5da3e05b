"""The parts of Ray's objects that several checks look at: clusters, their groups, and pods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.check.findings import Path, Thing

CLUSTERS: dict[str, Path] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
}
"""Where the specification of a Ray cluster is, by kind."""
_PODS: dict[str, Path] = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}

_KEEPS_COMMAND = "ray.io/overwrite-container-cmd"


@dataclass(frozen=True)
class Pod:
    """A pod's specification in an object. `role`: head, worker or submit in Ray's objects, else empty."""

    thing: Thing
    path: Path
    role: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        found = self.thing.get(*self.path)
        return found if isinstance(found, dict) else {}

    @property
    def labels(self) -> dict[str, str]:
        found = self.thing.get(*self.path[:-1], "metadata", "labels")
        return found if isinstance(found, dict) else {}

    def containers(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Containers, those that run first included, with their paths."""
        for key in ("initContainers", "containers"):
            for index, container in enumerate(self.spec.get(key) or ()):
                if isinstance(container, dict):
                    yield (*self.path, key, index), container


def selects(selector: dict[str, Any], pod: Pod) -> bool:
    """Whether a selector takes a pod. Labels that the operator gives pass: whose they are is not written here."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if pod.labels.get(key) != value and not (pod.role and key.startswith("ray.io/")):
            return False
    for one in selector.get("matchExpressions") or ():
        key, operator, values = one.get("key"), one.get("operator"), one.get("values") or ()
        there = key in pod.labels
        if pod.role and str(key).startswith("ray.io/"):
            continue
        if operator in ("In", "Exists") and not (there and (operator == "Exists" or pod.labels[key] in values)):
            return False
        if (
            operator in ("NotIn", "DoesNotExist")
            and there
            and (operator == "DoesNotExist" or pod.labels[key] in values)
        ):
            return False
    return True


def cluster_of(thing: Thing) -> tuple[Path, dict[str, Any]] | None:
    """Path and specification of an object's Ray cluster."""
    path = CLUSTERS.get(thing.kind) if thing.group == "ray.io" else None
    spec = thing.get(*path) if path else None
    return (path, spec) if path and isinstance(spec, dict) else None


def groups_of(thing: Thing) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """The head's and each worker group's path and specification; `head` or `worker`."""
    found = cluster_of(thing)
    if found is None:
        return
    path, spec = found
    if isinstance(spec.get("headGroupSpec"), dict):
        yield (*path, "headGroupSpec"), spec["headGroupSpec"], "head"
    for index, group in enumerate(spec.get("workerGroupSpecs") or ()):
        if isinstance(group, dict):
            yield (*path, "workerGroupSpecs", index), group, "worker"


def pods_of(thing: Thing) -> Iterator[Pod]:
    """Every pod specification in an object."""
    if thing.group == "ray.io":
        for path, _, role in groups_of(thing):
            yield Pod(thing, (*path, "template", "spec"), role)
        if isinstance(thing.get("spec", "submitterPodTemplate", "spec"), dict):
            yield Pod(thing, ("spec", "submitterPodTemplate", "spec"), "submit")
    elif thing.kind in _PODS and thing.get(*_PODS[thing.kind]):
        yield Pod(thing, _PODS[thing.kind])


def main_container(pods: list[Pod], role: str) -> tuple[Path, dict[str, Any]] | None:
    """The first container of the first pod of a role: the one that Ray runs in."""
    for pod in pods:
        if pod.role == role:
            for path, container in pod.containers():
                if "containers" in path[-2:]:
                    return path, container
    return None


def started_by(pod: Pod, path: Path, container: dict[str, Any]) -> str | None:
    """The shell text that KubeRay makes of command and args of the container that Ray runs in, before Ray's start.

    It joins their words as they are. None for other containers, for those that start Ray themselves, and where an
    annotation keeps the command: these are run as they are written.
    """
    if pod.role not in ("head", "worker") or path[-2:] != ("containers", 0):
        return None
    text = " ".join(str(word) for field in ("command", "args") for word in container.get(field) or ())
    holders = (pod.thing.get("metadata", "annotations"), pod.thing.get(*pod.path[:-1], "metadata", "annotations"))
    kept = any(str((one or {}).get(_KEEPS_COMMAND, "")).lower() == "true" for one in holders)
    return None if not text or kept or "ray start" in text else text


def mounts(container: dict[str, Any]) -> list[str]:
    """Folders of a container that are volumes."""
    return [str(mount.get("mountPath")) for mount in container.get("volumeMounts") or ()]


def lasting_mounts(pod: Pod) -> dict[str, Any]:
    """Folders of a pod's first container that outlive the pod, with their volumes: claims, and others not its own."""
    own = ("emptyDir", "secret", "configMap", "projected", "downwardAPI", "ephemeral", "hostPath")
    volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
    container = next(iter(pod.spec.get("containers") or [{}]))
    found = (m for m in container.get("volumeMounts") or () if m.get("name") in volumes)
    return {str(m.get("mountPath")): volumes[m["name"]] for m in found if not any(k in volumes[m["name"]] for k in own)}
