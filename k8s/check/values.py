"""Values that the API server refuses though the schema of their kind allows any text or number."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.groups import BUILT_IN, RAY
from k8s.check.ray_objects import Pod, pods_of
from k8s.check.rendering import Scene
from k8s.check.schedules import schedule_problem

_OF_PODS: dict[str, tuple[str, ...]] = {
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "preemptionPolicy": ("PreemptLowerPriority", "Never"),
    "topologySpreadConstraints.whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "tolerations.effect": ("", "NoSchedule", "PreferNoSchedule", "NoExecute"),
    "tolerations.operator": ("Exists", "Equal"),
    "volumes.emptyDir.medium": ("", "Memory", "HugePages", "HugePages-2Mi", "HugePages-1Gi"),
    "containers.imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "containers.terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
    "containers.ports.protocol": ("TCP", "UDP", "SCTP"),
    "containers.volumeMounts.mountPropagation": ("None", "HostToContainer", "Bidirectional"),
}
_ACCESS = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_OF_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "NetworkPolicy": {"spec.policyTypes": ("Ingress", "Egress")},
    "PersistentVolumeClaim": {"spec.accessModes": _ACCESS, "spec.volumeMode": ("Filesystem", "Block")},
    "Service": {
        "spec.type": ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        "spec.ports.protocol": ("TCP", "UDP", "SCTP"),
        "spec.sessionAffinity": ("ClientIP", "None"),
    },
    "StatefulSet": {"spec.volumeClaimTemplates.spec.accessModes": _ACCESS},
    "Ingress": {"spec.rules.http.paths.pathType": ("Exact", "Prefix", "ImplementationSpecific")},
    "CronJob": {"spec.concurrencyPolicy": ("Allow", "Forbid", "Replace")},
}
"""Fields by their path, and what they may say. The steps of a path go through lists."""
_RESTARTS = {
    **dict.fromkeys(("Job", "CronJob"), ("OnFailure", "Never")),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), ("Always",)),
}
"""What the pods of a kind may say as restartPolicy, where that is less than a pod alone may."""
_PORTS = {"containerPort", "hostPort", "nodePort", "targetPort", "port", "endPort"}
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"(?!.*--)(?=.*[a-z])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def check_values(scene: Scene) -> Iterator[Finding]:
    """Values of a scene that cannot be."""
    for thing in scene.things:
        if thing.group not in (*BUILT_IN, RAY):
            continue
        for path, allowed in _OF_KINDS.get(thing.kind, {}).items():
            yield from _choices(thing, (), path, allowed)
        for pod in pods_of(thing):
            yield from _pod(pod)
            if thing.kind in ("Job", "CronJob") and pod.spec and not pod.spec.get("restartPolicy"):
                said = "restartPolicy is missing: OnFailure or Never, for the usual one is not a job's"
                yield thing.wrong((*pod.path, "restartPolicy"), said)
        if thing.kind == "CronJob" and isinstance(text := thing.get("spec", "schedule"), str):
            yield from (thing.wrong(["spec", "schedule"], said) for said in schedule_problem(text))
        yield from _claims(thing)
        yield from _coded(thing)
        least, most = thing.get("spec", "minReplicas"), thing.get("spec", "maxReplicas")
        if (
            thing.kind == "HorizontalPodAutoscaler"
            and isinstance(least, int)
            and isinstance(most, int)
            and least > most
        ):
            yield thing.wrong(["spec", "minReplicas"], f"minReplicas ({least}) is above maxReplicas ({most})")
        yield from _walk(thing, (), thing.data)


def _choices(thing: Thing, start: Path, path: str, allowed: tuple[str, ...]) -> Iterator[Finding]:
    for where, value in _values(thing.get(*start) if start else thing.data, tuple(path.split(".")), start):
        if value is not None and value not in allowed:
            yield thing.wrong(where, f"{value!r} is none of {', '.join(one for one in allowed if one)}")


def _values(node: Any, steps: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _values(item, steps, (*path, index))
    elif not steps:
        yield path, node
    elif isinstance(node, dict) and steps[0] in node:
        yield from _values(node[steps[0]], steps[1:], (*path, steps[0]))


def _pod(pod: Pod) -> Iterator[Finding]:
    thing = pod.thing
    for field, usual in _OF_PODS.items():
        allowed = _RESTARTS.get(thing.kind, usual) if field == "restartPolicy" else usual
        yield from _choices(thing, pod.path, field, allowed)
        if field.startswith("containers."):
            yield from _choices(thing, pod.path, f"initC{field[1:]}", allowed)
    for index, volume in enumerate(pod.spec.get("volumes") or ()):
        sources = [name for name in volume if name != "name"]
        if len(sources) > 1:
            yield thing.wrong((*pod.path, "volumes", index), f"has several sources: {', '.join(sources)}")
    for path, container in pod.containers():
        for index, variable in enumerate(container.get("env") or ()):
            if variable.get("value") and variable.get("valueFrom"):
                where = (*path, "env", index, "valueFrom")
                yield thing.wrong(where, f"{variable.get('name')} has a value already: one of value and valueFrom")
        names: set[str] = set()
        for index, port in enumerate(container.get("ports") or ()):
            name, where = port.get("name"), (*path, "ports", index, "name")
            if name is None:
                continue
            if not _PORT_NAME.fullmatch(str(name)) or len(str(name)) > 15:
                said = "lower-case letters, digits and dashes, 15 at the most and a letter among them"
                yield thing.wrong(where, f"{name!r} is no name of a port: {said}")
            if name in names:
                yield thing.wrong(where, f"{name!r} is the name of an earlier port of the container too")
            names.add(str(name))


def _claims(thing: Thing) -> Iterator[Finding]:
    """Claims without a size, or without a way to be used."""
    claims = [((), thing.data)] if thing.kind == "PersistentVolumeClaim" else []
    claims += [
        (("spec", "volumeClaimTemplates", index), claim)  # type: ignore[misc]
        for index, claim in enumerate(thing.get("spec", "volumeClaimTemplates") or ())
    ]
    for path, claim in claims:
        where: Path = (*path, "spec")
        if not find(claim, ("spec", "resources", "requests", "storage")):
            yield thing.wrong((*where, "resources", "requests", "storage"), "storage is missing: how much is claimed")
        if not find(claim, ("spec", "accessModes")):
            yield thing.wrong((*where, "accessModes"), "accessModes is missing")


def _coded(thing: Thing) -> Iterator[Finding]:
    """Values of a Secret or ConfigMap that are not in base64, where they must be."""
    part = {"Secret": "data", "ConfigMap": "binaryData"}.get(thing.kind) if thing.group == "" else None
    given = thing.get(part) if part else None
    for key, value in given.items() if isinstance(given, dict) else ():
        try:
            if isinstance(value, str):
                base64.b64decode(
                    re.sub(r"[\r\n]", "", value), validate=True
                )  # line ends are left out by Kubernetes too
        except ValueError as error:
            hint = "; stringData takes plain text" if thing.kind == "Secret" else ""
            yield thing.wrong([str(part), str(key)], f"is not in base64: {error}{hint}")


def _walk(thing: Thing, path: Path, node: Any) -> Iterator[Finding]:
    """Ports and labels, wherever they are."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(thing, (*path, index), item)
    for key, value in node.items() if isinstance(node, dict) else ():
        where = (*path, str(key))
        if key in _PORTS and isinstance(value, int) and not isinstance(value, bool) and not 0 < value < 65536:
            yield thing.wrong(where, f"{value} is no port: 1 to 65535")
        elif key in ("matchLabels", "labels") and isinstance(value, dict):
            for name, text in value.items():
                if not _KEY.fullmatch(str(name)):
                    yield thing.wrong((*where, str(name)), f"{name!r} is no name of a label")
                if isinstance(text, str) and not _LABEL.fullmatch(text):
                    said = "letters, digits, and - _ . between them, 63 at the most"
                    yield thing.wrong((*where, str(name)), f"{text!r} is no value of a label: {said}")
        elif key not in ("data", "stringData", "annotations"):
            yield from _walk(thing, where, value)
