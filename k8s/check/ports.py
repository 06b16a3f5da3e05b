"""Ports: names that containers have, and numbers that those who listen and those who call have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.ray_objects import Pod, cluster_of, groups_of, pods_of
from k8s.check.rendering import Scene

_HEAD_PORTS = {
    "gcs-server": ("port", 6379),
    "dashboard": ("dashboard-port", 8265),
    "client": ("ray-client-server-port", 10001),
    "metrics": ("metrics-export-port", 8080),
}
"""Container ports by the name that the operator looks for: the parameter of `ray start`, and its default."""
_RAY_NODE = ("ray.io/is-ray-node", "ray.io/node-type", "ray.io/cluster", "ray.io/group", "ray.io/identifier")


def check_ports(scene: Scene) -> Iterator[Finding]:
    """Ports of a scene that lead nowhere."""
    pods = [pod for thing in scene.things for pod in pods_of(thing)]
    for thing in scene.things:
        if thing.kind == "Service":
            yield from _service(thing, pods)
        yield from _redis(thing, scene)
        yield from _started(thing)
    for pod in pods:
        yield from _probes(pod)


def _names(pods: list[Pod]) -> set[str]:
    containers = (container for pod in pods for _, container in pod.containers())
    return {str(port.get("name")) for container in containers for port in container.get("ports") or ()}


def _service(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    labels = thing.get("spec", "selector")
    if not isinstance(labels, dict) or not labels:
        return
    if any(key in _RAY_NODE for key in labels):
        chosen = [pod for pod in pods if pod.role in ("head", "worker")]
    else:
        chosen = [pod for pod in pods if labels.items() <= pod.labels.items()]
    for index, port in enumerate(thing.get("spec", "ports") or ()):
        target = port.get("targetPort")
        if chosen and isinstance(target, str) and not target.isdigit() and target not in _names(chosen):
            there = ", ".join(sorted(_names(chosen))) or "none"
            where = ("spec", "ports", index, "targetPort")
            yield thing.wrong(where, f"no container of its pods has a port {target!r} (there is: {there})")


def _probes(pod: Pod) -> Iterator[Finding]:
    for path, container in pod.containers():
        names = {str(port.get("name")) for port in container.get("ports") or ()}
        places: list[Path] = [(f"{kind}Probe",) for kind in ("liveness", "readiness", "startup")]
        places += [("lifecycle", "preStop"), ("lifecycle", "postStart")]
        for place in places:
            for way in ("httpGet", "tcpSocket"):
                port = find(container, (*place, way, "port"))
                if isinstance(port, str) and not port.isdigit() and port not in names:
                    there = ", ".join(sorted(names)) or "none"
                    where = (*path, *place, way, "port")
                    yield pod.thing.wrong(where, f"the container has no port {port!r} (it has: {there})")


def _redis(thing: Thing, scene: Scene) -> Iterator[Finding]:
    path, spec = cluster_of(thing) or ((), {})
    address = str(find(spec, ("gcsFaultToleranceOptions", "redisAddress")) or "")
    host, _, port = address.rpartition("://")[2].partition(":")
    for service in scene.things:
        if service.kind == "Service" and service.name == host.partition(".")[0]:
            ports = [str(one.get("port")) for one in service.get("spec", "ports") or ()]
            if (port or "6379") not in ports:
                where = (*path, "gcsFaultToleranceOptions", "redisAddress")
                yield thing.wrong(
                    where, f"Service {service.name} has no port {port or 6379} (it has: {', '.join(ports)})"
                )


def _started(thing: Thing) -> Iterator[Finding]:
    """The head's container ports against the ports that its processes are started with."""
    for path, group, role in groups_of(thing):
        parameters: dict[str, Any] = group.get("rayStartParams") or {}
        container = find(group, ("template", "spec", "containers", 0)) or {}
        for index, port in enumerate(container.get("ports") or ()):
            parameter, usual = _HEAD_PORTS.get(str(port.get("name")), ("", 0))
            wanted = str(parameters.get(parameter, usual))
            asked = parameter and (role == "head" or parameter == "metrics-export-port")
            if asked and wanted.isdigit() and str(port.get("containerPort")) != wanted:
                where = (*path, "template", "spec", "containers", 0, "ports", index, "containerPort")
                said = f"{port.get('containerPort')}, but Ray listens on {wanted} (rayStartParams.{parameter})"
                yield thing.wrong(where, said)
