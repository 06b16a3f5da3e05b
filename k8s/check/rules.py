"""What KubeRay's operator refuses, ignores or leaves undone though the schema allows it.

From `validation.go` of version 1.7.0, with the feature gates that it has by default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Thing
from k8s.check.quantities import amount
from k8s.check.ray_objects import cluster_of, groups_of
from k8s.check.rendering import Scene

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST = {"RayCluster": 53, "RayJob": 47, "RayService": 47}
_MODES = ("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode")
_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")
_MANAGERS = ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
CEL_RULES = {
    "self == oldSelf": "about changes alone",
    "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']": "_managed",
    "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))": "_deletion",
    "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))": "_deletion",
    "!(has(self.jobStatus) && has(self.jobDeploymentStatus))": "_deletion",
    "has(self.jobStatus) || has(self.jobDeploymentStatus)": "_deletion",
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
    yield from _cluster(thing)
    yield from _groups(thing)
    if thing.kind == "RayJob":
        yield from _job(thing)
    elif thing.kind == "RayService":
        yield from _service(thing)
    elif thing.kind == "RayCronJob":
        yield thing.wrong(["kind"], "the operator has RayCronJob behind a feature gate that is off by default")


def _name(thing: Thing) -> Iterator[Finding]:
    longest = _LONGEST.get(thing.kind, 63)
    if not _DNS_1035.fullmatch(thing.name):
        yield thing.wrong(
            ["metadata", "name"], f"{thing.name!r} is no name: lower-case letters, digits and dashes, a letter first"
        )
    elif len(thing.name) > longest:
        yield thing.wrong(["metadata", "name"], f"{len(thing.name)} characters, at most {longest} for a {thing.kind}")


def _managed(thing: Thing) -> Iterator[Finding]:
    path, _ = cluster_of(thing) or (("spec",), {})
    for where in dict.fromkeys([("spec", "managedBy"), (*path, "managedBy")]):
        manager = thing.get(*where)
        if manager is not None and manager not in _MANAGERS:
            yield thing.wrong(where, f"{manager!r} is none of {', '.join(_MANAGERS)}")


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


def _job(thing: Thing) -> Iterator[Finding]:
    spec: dict[str, Any] = thing.data["spec"]
    mode = spec.get("submissionMode", "K8sJobMode")
    ends = bool(spec.get("shutdownAfterJobFinishes"))
    if mode not in _MODES:
        yield thing.wrong(["spec", "submissionMode"], f"{mode!r} is none of {', '.join(_MODES)}")
    if not spec.get("rayClusterSpec") and not spec.get("clusterSelector"):
        yield thing.wrong(["spec", "rayClusterSpec"], "neither rayClusterSpec nor clusterSelector says where to run")
    if spec.get("clusterSelector") and not spec["clusterSelector"].get("ray.io/cluster"):
        yield thing.wrong(["spec", "clusterSelector"], "names no cluster by the label ray.io/cluster")
    if not str(spec.get("entrypoint") or "").strip() and mode != "InteractiveMode":
        yield thing.wrong(["spec", "entrypoint"], "entrypoint is missing")
    lasting = spec.get("ttlSecondsAfterFinished") or 0
    if lasting < 0:
        yield thing.wrong(["spec", "ttlSecondsAfterFinished"], f"{lasting} is below 0")
    if lasting > 0 and not ends:
        yield thing.wrong(["spec", "ttlSecondsAfterFinished"], "needs shutdownAfterJobFinishes: true")
    if spec.get("suspend") and not ends:
        yield thing.wrong(["spec", "suspend"], "needs shutdownAfterJobFinishes: true")
    if spec.get("clusterSelector") and (ends or spec.get("suspend")):
        name = "shutdownAfterJobFinishes" if ends else "suspend"
        yield thing.wrong(["spec", name], "not with clusterSelector: the cluster belongs to others")
    tries = spec.get("backoffLimit") or 0
    if tries < 0:
        yield thing.wrong(["spec", "backoffLimit"], f"{tries} is below 0")
    elif tries and (mode == "InteractiveMode" or spec.get("clusterSelector")):
        yield thing.wrong(["spec", "backoffLimit"], "must be 0 with InteractiveMode or clusterSelector")
    for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(key) is not None and spec[key] <= 0:
            yield thing.wrong(["spec", key], f"{spec[key]} is not above 0")
    if mode == "SidecarMode":
        for key in ("submitterPodTemplate", "submitterConfig"):
            if key in spec:
                yield thing.wrong(["spec", key], "has no place in SidecarMode")
        policy = thing.get("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "restartPolicy")
        if policy not in (None, "Never"):
            where = ["spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "restartPolicy"]
            yield thing.wrong(where, f"{policy}, but SidecarMode wants Never or none")
    yield from _deletion(thing, ends)
    yield from _entrypoint_resources(thing)


def _deletion(thing: Thing, ends: bool) -> Iterator[Finding]:
    strategy = thing.get("spec", "deletionStrategy")
    if not isinstance(strategy, dict):
        return
    rules = strategy.get("deletionRules")
    legacy = [key for key in ("onSuccess", "onFailure") if key in strategy]
    if rules and legacy:
        yield thing.wrong(["spec", "deletionStrategy", legacy[0]], "not together with deletionRules")
    elif not rules and len(legacy) < 2:
        yield thing.wrong(["spec", "deletionStrategy"], "needs deletionRules, or both onSuccess and onFailure")
    if rules and ends:
        yield thing.wrong(["spec", "shutdownAfterJobFinishes"], "not together with deletionStrategy.deletionRules")
    scales = thing.get("spec", "rayClusterSpec", "enableInTreeAutoscaling")
    for index, rule in enumerate(rules or ()):
        where: list[str | int] = ["spec", "deletionStrategy", "deletionRules", index]
        condition = rule.get("condition") or {}
        if ("jobStatus" in condition) == ("jobDeploymentStatus" in condition):
            yield thing.wrong([*where, "condition"], "wants either jobStatus or jobDeploymentStatus")
        if rule.get("policy") == "DeleteWorkers" and scales:
            yield thing.wrong([*where, "policy"], "DeleteWorkers does not go with autoscaling")
        if rule.get("policy") == "DeleteWorkers" and thing.get("spec", "clusterSelector"):
            yield thing.wrong([*where, "policy"], "not with clusterSelector: the cluster belongs to others")


def _entrypoint_resources(thing: Thing) -> Iterator[Finding]:
    text = thing.get("spec", "entrypointResources")
    if text is None:
        return
    try:
        value = json.loads(text)
    except (TypeError, ValueError) as error:
        yield thing.wrong(["spec", "entrypointResources"], f"is not JSON: {error}")
        return
    if not isinstance(value, dict):
        yield thing.wrong(["spec", "entrypointResources"], "is not a JSON object of resources")


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
