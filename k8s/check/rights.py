"""Rights of pods: what a namespace with Pod Security `restricted` refuses, and the token that the autoscaler needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import below
from k8s.check.ray_objects import Pod, cluster_of, main_container, mounts, pods_of
from k8s.check.rendering import Scene

_LEVEL = "pod-security.kubernetes.io/enforce"
_LEVELS = ("privileged", "baseline", "restricted")
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def check_rights(scene: Scene) -> Iterator[Finding]:
    """Pods of a scene that the API server refuses, and heads whose autoscaler may not ask it."""
    levels = {
        thing.name: (thing.get("metadata", "labels") or {}).get(_LEVEL)
        for thing in scene.things
        if thing.kind == "Namespace"
    }
    for thing in scene.things:
        level = thing.get("metadata", "labels", _LEVEL) if thing.kind == "Namespace" else None
        if level is not None and level not in _LEVELS:
            yield thing.wrong(("metadata", "labels", _LEVEL), f"{level!r} is none of {', '.join(_LEVELS)}")
            levels[thing.name] = "restricted"  # which the API server takes it for
    for thing in scene.things:
        space = thing.get("metadata", "namespace")
        restricted = levels.get(space) == "restricted" if space else "restricted" in levels.values()
        for pod in pods_of(thing):
            if restricted:
                yield from _restricted(pod)
            if pod.role == "head":
                yield from _token(pod, scene)
            if pod.role:
                yield from _written(pod)
        if restricted:
            yield from _autoscaler(thing)


def _restricted(pod: Pod) -> Iterator[Finding]:
    own = pod.spec.get("securityContext") or {}
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield pod.thing.wrong((*pod.path, field), "the namespace is restricted")
    for index, volume in enumerate(pod.spec.get("volumes") or ()):
        for kind in sorted(volume.keys() - _VOLUMES - {"name"}):
            yield pod.thing.wrong((*pod.path, "volumes", index, kind), "the namespace is restricted: no such volumes")
    if own.get("runAsUser") == 0:
        yield pod.thing.wrong((*pod.path, "securityContext", "runAsUser"), "root, but the namespace is restricted")
    for path, container in pod.containers():
        yield from _container(pod.thing, (*path, "securityContext"), container.get("securityContext") or {}, own)


def _container(thing: Thing, path: Path, given: dict[str, Any], pod: dict[str, Any]) -> Iterator[Finding]:
    """A container's security context, which goes before its pod's."""
    for field in ("privileged", "allowPrivilegeEscalation"):
        if given.get(field, field == "allowPrivilegeEscalation"):
            yield thing.wrong((*path, field), "must be false, for the namespace is restricted")
    if given.get("runAsUser") == 0:
        yield thing.wrong((*path, "runAsUser"), "root, but the namespace is restricted")
    if not given.get("runAsNonRoot", pod.get("runAsNonRoot")):
        yield thing.wrong((*path, "runAsNonRoot"), "must be true here or of the pod, for the namespace is restricted")
    if find(given.get("seccompProfile", pod.get("seccompProfile")), ("type",)) not in ("RuntimeDefault", "Localhost"):
        yield thing.wrong((*path, "seccompProfile"), "RuntimeDefault here or of the pod: the namespace is restricted")
    capabilities = given.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield thing.wrong((*path, "capabilities", "drop"), "must drop ALL, for the namespace is restricted")
    if extra := [one for one in capabilities.get("add") or () if one != "NET_BIND_SERVICE"]:
        yield thing.wrong((*path, "capabilities", "add"), f"{', '.join(extra)}, but the namespace is restricted")


def _autoscaler(thing: Thing) -> Iterator[Finding]:
    """The autoscaler is a container that the operator puts into the head's pod."""
    path, spec = cluster_of(thing) or ((), {})
    if spec.get("enableInTreeAutoscaling"):
        where = (*path, "autoscalerOptions", "securityContext")
        pod = find(spec, ("headGroupSpec", "template", "spec", "securityContext")) or {}
        yield from _container(thing, where, find(spec, ("autoscalerOptions", "securityContext")) or {}, pod)


def _written(pod: Pod) -> Iterator[Finding]:
    """Ray, its autoscaler and its submitter write to /tmp."""
    found = main_container([pod], pod.role)
    path, spec = cluster_of(pod.thing) or ((), {})
    options = spec.get("autoscalerOptions") or {}
    containers = [found] if found else []
    if pod.role == "head" and spec.get("enableInTreeAutoscaling"):
        containers.append(((*path, "autoscalerOptions"), options))
    for where, container in containers:
        if find(container, ("securityContext", "readOnlyRootFilesystem")) and not below("/tmp", mounts(container)):
            said = "nothing is mounted at /tmp, where Ray writes, and the root is read-only"
            yield pod.thing.wrong((*where, "volumeMounts"), said)


def _token(pod: Pod, scene: Scene) -> Iterator[Finding]:
    """The autoscaler asks the API server for pods, as the head's account."""
    _, spec = cluster_of(pod.thing) or ((), {})
    if not spec.get("enableInTreeAutoscaling"):
        return
    mounted = pod.spec.get("automountServiceAccountToken")
    name = pod.spec.get("serviceAccountName")
    accounts = [one for one in scene.things if one.kind == "ServiceAccount" and one.name == name]
    if mounted is False:
        where = (*pod.path, "automountServiceAccountToken")
        yield pod.thing.wrong(where, "false, but the autoscaler in this pod asks the API server")
    elif mounted is None and any(one.data.get("automountServiceAccountToken") is False for one in accounts):
        where = (*pod.path, "serviceAccountName")
        yield pod.thing.wrong(where, f"{name} has no token, but the autoscaler in this pod asks the API server")
