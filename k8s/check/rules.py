"""What KubeRay's operator refuses, ignores or leaves undone though the schema allows it.

From `validation.go` of version 1.7.0, with the feature gates that it has by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from k8s.check.findings import Finding, Thing
from k8s.check.job_rules import check_job
from k8s.check.quantities import amount
from k8s.check.ray_objects import cluster_of, groups_of
from k8s.check.rendering import Scene

_OF_RAY = (
    *("cluster", "node-type", "group", "is-ray-node", "identifier", "serve", "ft-enabled", "kuberay-version"),
    *("initializing-timeout", "overwrite-container-cmd", "enable-serve-service", "disable-provisioned-head-restart"),
    *("originated-from-cr-name", "originated-from-crd", "hash-without-replicas-and-workers-to-delete"),
    *("num-worker-groups", "gang-scheduling-enabled", "scheduler-name", "priority-class-name", "headless-worker-svc"),
    "external-storage-namespace",
)
"""What the operator and its schedulers read or write below `ray.io/`, in labels and annotations."""
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST = {"RayCluster": 53, "RayJob": 47, "RayService": 47}
_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")
_MANAGERS = ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
CEL_RULES = {
    "self == oldSelf": "about changes alone",
    "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']": "_managed",
    "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))": "job_rules._deletion",
    "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))": "job_rules._deletion",
    "!(has(self.jobStatus) && has(self.jobDeploymentStatus))": "job_rules._deletion",
    "has(self.jobStatus) || has(self.jobDeploymentStatus)": "job_rules._deletion",
}
"""The rules that KubeRay's definitions hold beside their schemas, and what here stands for each: a test compares."""
TOKEN_SINCE = (2, 52)
V2_SINCE = (2, 47)


def check_ray(scene: Scene) -> Iterator[Finding]:
    """The rules of the objects of Ray in a scene."""
    for thing in scene.things:
        if thing.group == "ray.io" and isinstance(thing.get("spec"), dict):
            yield from _object(thing)


def _object(thing: Thing) -> Iterator[Finding]:
    yield from _name(thing)
    yield from _managed(thing)
    yield from _metadata(thing)
    yield from _cluster(thing)
    yield from _groups(thing)
    if thing.kind == "RayJob":
        yield from check_job(thing)
    elif thing.kind == "RayService":
        yield from _service(thing)
    elif thing.kind == "RayCronJob":
        yield thing.wrong(["kind"], "the operator has RayCronJob behind a feature gate that is off by default")


def _name(thing: Thing) -> Iterator[Finding]:
    longest, field, name = _LONGEST.get(thing.kind, 63), "name", thing.name
    if not name and thing.get("metadata", "generateName"):
        field, name = "generateName", f"{thing.get('metadata', 'generateName')}12345"  # as long as the server's ending
    if not _DNS_1035.fullmatch(name):
        said = f"{name!r} is no name: lower-case letters, digits and dashes, a letter first"
        yield thing.wrong(["metadata", field], said)
    elif len(name) > longest:
        yield thing.wrong(["metadata", field], f"{len(name)} characters, at most {longest} for a {thing.kind}")


def _managed(thing: Thing) -> Iterator[Finding]:
    path, _ = cluster_of(thing) or (("spec",), {})
    for where in dict.fromkeys([("spec", "managedBy"), (*path, "managedBy")]):
        manager = thing.get(*where)
        if manager is not None and manager not in _MANAGERS:
            yield thing.wrong(where, f"{manager!r} is none of {', '.join(_MANAGERS)}")


def _metadata(thing: Thing) -> Iterator[Finding]:
    """Labels and annotations that mean something to an operator."""
    for path in [("metadata",), *((*where, "template", "metadata") for where, _, _ in groups_of(thing))]:
        for field in ("labels", "annotations"):
            for key in thing.get(*path, field) or {}:
                prefix, _, name = str(key).partition("/")
                near = get_close_matches(name, _OF_RAY, 1, 0.8) if prefix == "ray.io" else []
                if near and name not in _OF_RAY:
                    yield thing.wrong((*path, field, key), f"no operator reads {key}: did you mean ray.io/{near[0]}?")


def version_of(spec: dict[str, Any]) -> tuple[int, ...] | None:
    """`rayVersion` as numbers; None where it is absent or no version."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", str(spec.get("rayVersion", "")))
    return tuple(int(part or 0) for part in found.groups()) if found else None


def _cluster(thing: Thing) -> Iterator[Finding]:
    found = cluster_of(thing)
    if found is None:
        return
    path, spec = found
    auth = spec.get("authOptions") or {}
    version = version_of(spec)
    if auth.get("mode") == "token" and (version is None or version < TOKEN_SINCE):
        yield thing.wrong([*path, "rayVersion"], "authOptions.mode token needs rayVersion 2.52.0 or newer, and said")
    if auth.get("enableK8sTokenAuth") and thing.kind != "RayCluster":
        yield thing.wrong([*path, "authOptions", "enableK8sTokenAuth"], f"not to be had in a {thing.kind}")
    if "upgradeStrategy" in spec and thing.kind != "RayCluster":
        yield thing.wrong(
            [*path, "upgradeStrategy"], f"belongs to a RayCluster, not into the cluster of a {thing.kind}"
        )
    for field in ("networkPolicy", "tlsOptions"):
        if field in spec:
            yield thing.wrong([*path, field], "behind a feature gate that is off by default: the operator ignores it")
    yield from _fault_tolerance(thing)


def _fault_tolerance(thing: Thing) -> Iterator[Finding]:
    path, spec = cluster_of(thing) or ((), {})
    options = spec.get("gcsFaultToleranceOptions")
    annotations = thing.get("metadata", "annotations") or {}
    if options is None:
        return
    if options.get("backend") == "rocksdb":
        yield thing.wrong(
            [*path, "gcsFaultToleranceOptions", "backend"], "rocksdb is behind a feature gate that is off by default"
        )
    elif not options.get("redisAddress"):
        yield thing.wrong([*path, "gcsFaultToleranceOptions", "redisAddress"], "redisAddress is missing")
    if str(annotations.get("ray.io/ft-enabled", "true")).lower() == "false":
        yield thing.wrong(
            ["metadata", "annotations", "ray.io/ft-enabled"], "says false, but gcsFaultToleranceOptions is set"
        )
    for group, head, role in groups_of(thing):
        if role != "head":
            continue
        for name in ("redis-password", "redis-username"):
            if name in (head.get("rayStartParams") or {}):
                yield thing.wrong([*group, "rayStartParams", name], "belongs into gcsFaultToleranceOptions")
        containers = ((head.get("template") or {}).get("spec") or {}).get("containers") or ()
        for index, container in enumerate(containers):
            for at, variable in enumerate(container.get("env") or ()):
                if variable.get("name") in ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"):
                    where = [*group, "template", "spec", "containers", index, "env", at, "name"]
                    yield thing.wrong(where, f"{variable['name']} belongs into gcsFaultToleranceOptions")


def _groups(thing: Thing) -> Iterator[Finding]:
    _, spec = cluster_of(thing) or ((), {})
    scales = bool(spec.get("enableInTreeAutoscaling"))
    chosen = (spec.get("autoscalerOptions") or {}).get("version")
    v2 = scales and (chosen == "v2" or (chosen is None and (version_of(spec) or (0,)) >= V2_SINCE))
    names: set[str] = set()
    for group_path, group, role in groups_of(thing):
        parameters = group.get("rayStartParams") or {}
        twice = [name for name in _RESOURCES if name in parameters]
        if twice and group.get("resources"):
            yield thing.wrong([*group_path, "resources"], f"given twice: also as rayStartParams.{twice[0]}")
        if "labels" in parameters:
            yield thing.wrong([*group_path, "rayStartParams", "labels"], "not allowed: use the group's field labels")
        pod = (group.get("template") or {}).get("spec") or {}
        if not pod.get("containers"):
            yield thing.wrong([*group_path, "template", "spec", "containers"], "no container for Ray to run in")
        if v2 and pod.get("restartPolicy", "Never") != "Never":
            where = [*group_path, "template", "spec", "restartPolicy"]
            yield thing.wrong(where, f"{pod['restartPolicy']}, but autoscaler v2 wants Never or none")
        if role == "head":
            continue
        name = str(group.get("groupName"))
        if name in names:
            yield thing.wrong([*group_path, "groupName"], f"{name!r} is an earlier group's name too")
        names.add(name)
        if group.get("idleTimeoutSeconds") is not None and not v2:
            yield thing.wrong(
                [*group_path, "idleTimeoutSeconds"], "needs autoscaling with autoscalerOptions.version v2"
            )
        yield from _counts(thing, [*group_path], group, scales)


def _counts(thing: Thing, path: list[str | int], group: dict[str, Any], scales: bool) -> Iterator[Finding]:
    least, most, now = (group.get(key) for key in ("minReplicas", "maxReplicas", "replicas"))
    for key, value in (("minReplicas", least), ("maxReplicas", most)):
        if value is None and not scales and not group.get("suspend"):
            yield thing.wrong([*path, key], f"{key} is missing: it is needed without autoscaling")
        if isinstance(value, int) and value < 0:
            yield thing.wrong([*path, key], f"{value} is below 0")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield thing.wrong([*path, "minReplicas"], f"minReplicas ({least}) is above maxReplicas ({most})")
    elif isinstance(now, int) and isinstance(most, int) and now > most:
        yield thing.wrong(
            [*path, "replicas"], f"replicas ({now}) is above maxReplicas ({most}): the operator makes {most}"
        )
    elif isinstance(now, int) and isinstance(least, int) and now < least:
        yield thing.wrong(
            [*path, "replicas"], f"replicas ({now}) is below minReplicas ({least}): the operator makes {least}"
        )


def _service(thing: Thing) -> Iterator[Finding]:
    spec: dict[str, Any] = thing.data["spec"]
    path = ("spec", "rayClusterConfig", "headGroupSpec", "headService", "metadata", "name")
    if thing.get(*path):
        yield thing.wrong(path, "must not be set: the operator names the service, and an upgrade would hang")
    if not isinstance(spec.get("rayClusterConfig"), dict):
        yield thing.wrong(["spec", "rayClusterConfig"], "rayClusterConfig is missing")
    upgrade = spec.get("upgradeStrategy") or {}
    if upgrade.get("type") != "NewClusterWithIncrementalUpgrade":
        return
    options = upgrade.get("clusterUpgradeOptions") or {}
    where = ["spec", "upgradeStrategy", "clusterUpgradeOptions"]
    if not thing.get("spec", "rayClusterConfig", "enableInTreeAutoscaling"):
        yield thing.wrong(["spec", "upgradeStrategy", "type"], "an incremental upgrade needs autoscaling")
    if not options.get("gatewayClassName"):
        yield thing.wrong([*where, "gatewayClassName"], "gatewayClassName is missing")
    step, surge = amount(options.get("stepSizePercent")), amount(options.get("maxSurgePercent", 100))
    if step is not None and surge is not None and step > surge:
        yield thing.wrong([*where, "stepSizePercent"], f"{step:g} is above maxSurgePercent ({surge:g})")
