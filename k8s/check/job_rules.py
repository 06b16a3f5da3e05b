"""What KubeRay's operator refuses of a RayJob though the schema allows it: modes, times, and what goes after it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing
from k8s.check.room import check_entrypoint

_MODES = ("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode")
_OF_CLUSTERS = ("DeleteWorkers", "DeleteCluster")
_DELETED_IN_ORDER = (*_OF_CLUSTERS, "DeleteSelf")


def check_job(thing: Thing) -> Iterator[Finding]:
    """The rules of a RayJob."""
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
    where: Path = ("spec", "deletionStrategy")
    rules = strategy.get("deletionRules")
    legacy = [key for key in ("onSuccess", "onFailure") if key in strategy]
    if rules and legacy:
        yield thing.wrong((*where, legacy[0]), "not together with deletionRules")
    elif not rules and len(legacy) < 2:
        yield thing.wrong(where, "needs deletionRules, or both onSuccess and onFailure")
    if rules and ends:
        yield thing.wrong(["spec", "shutdownAfterJobFinishes"], "not together with deletionStrategy.deletionRules")
    places: list[Path] = [(*where, "deletionRules", index) for index in range(len(rules or ()))]
    for place in [*places, *((*where, key) for key in legacy)]:
        if thing.get(*place, "policy") == "DeleteWorkers" and thing.get(
            "spec", "rayClusterSpec", "enableInTreeAutoscaling"
        ):
            yield thing.wrong((*place, "policy"), "DeleteWorkers does not go with autoscaling")
        if thing.get(*place, "policy") in _OF_CLUSTERS and thing.get("spec", "clusterSelector"):
            yield thing.wrong((*place, "policy"), "not with clusterSelector: the cluster belongs to others")
    yield from _order(thing, places)


def _order(thing: Thing, places: list[Path]) -> Iterator[Finding]:
    """Of the rules for one outcome none is there twice, and what holds the rest goes last."""
    times: dict[tuple[str, str], dict[str, int]] = {}
    for place in places:
        condition = thing.get(*place, "condition") or {}
        if ("jobStatus" in condition) == ("jobDeploymentStatus" in condition):
            yield thing.wrong((*place, "condition"), "wants either jobStatus or jobDeploymentStatus")
            continue
        outcome = next((key, str(condition[key])) for key in ("jobStatus", "jobDeploymentStatus") if key in condition)
        policy, seconds = str(thing.get(*place, "policy")), condition.get("ttlSeconds") or 0
        others = times.setdefault(outcome, {})
        if policy in others:
            yield thing.wrong(place, f"an earlier rule says {policy} for {' '.join(outcome)} too")
        others.setdefault(policy, seconds)
    for (kind, ending), rules in times.items():
        known = [policy for policy in _DELETED_IN_ORDER if policy in rules]
        for first, then in itertools.pairwise(known):
            if rules[then] < rules[first]:
                place = next(
                    one
                    for one in places
                    if thing.get(*one, "policy") == then and thing.get(*one, "condition", kind) == ending
                )
                said = f"{rules[then]} s: {then} is before {first} ({rules[first]} s), which it takes with it"
                yield thing.wrong((*place, "condition", "ttlSeconds"), said)


def _entrypoint_resources(thing: Thing) -> Iterator[Finding]:
    where = ("spec", "entrypointResources")
    text = thing.get(*where)
    asked: dict[str, Any] = {}
    try:
        asked = {} if text is None else json.loads(text)
    except (TypeError, ValueError) as error:
        yield thing.wrong(where, f"is not JSON: {error}")
    if not isinstance(asked, dict) or any(isinstance(one, bool | str | list | dict | None) for one in asked.values()):
        yield thing.wrong(where, f"{text!r} is not a JSON object of numbers, such as '{{\"disk\": 2}}'")
        return
    below = [(where, f"{value} of {name!r}", value) for name, value in asked.items()]
    for field in ("entrypointNumCpus", "entrypointNumGpus"):
        value = thing.get("spec", field)
        below += [(("spec", field), str(value), value)] if isinstance(value, int | float) else []
    wrong = [(path, said) for path, said, value in below if value < 0]
    for path, said in wrong:
        yield thing.wrong(path, f"{said} is below 0")
    if not wrong:
        yield from check_entrypoint(thing)
