"""Room: what containers may use, and whether what runs in them fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.quantities import amount
from k8s.check.ray_objects import cluster_of, groups_of, main_container, pods_of
from k8s.check.rendering import Scene
from k8s.check.start import amounts

_MANY = 10**6
"""Cores of a node that nothing limits."""
_OF_RAY = ("CPU", "GPU", "memory", "object_store_memory")


def check_room(scene: Scene) -> Iterator[Finding]:
    """Containers that Ray runs in without limits, or that may use more than they ask for."""
    for thing in scene.things:
        for pod in pods_of(thing):
            # A submitter waits for its job and runs no node of Ray.
            found = main_container([pod], pod.role) if pod.role in ("head", "worker") else None
            path, container = found or ((), {})
            resources = container.get("resources") or {}
            asked, limits = resources.get("requests") or {}, resources.get("limits") or {}
            if found and (missing := [name for name in ("cpu", "memory") if name not in limits]):
                said = f"no limit of {' and '.join(missing)}: Ray takes the whole machine for its own"
                yield thing.wrong((*path, "resources", "limits"), said)
            elif _differ(asked, limits):
                said = f"requests {asked} are not limits {limits}: Ray counts on its limits, the node on requests"
                yield thing.wrong((*path, "resources", "requests"), said)


def _differ(asked: dict[str, Any], limits: dict[str, Any]) -> bool:
    """Whether requests are other than limits; those that are not given are the limits."""
    pairs = ((amount(value), amount(limits.get(name))) for name, value in asked.items())
    return any(mine is not None and mine != most for mine, most in pairs)


def nodes(thing: Thing) -> list[tuple[float, float, int]]:
    """Logical CPUs and GPUs of a node, and how many such nodes there are at the most, by group."""
    found = []
    _, cluster = cluster_of(thing) or ((), {})
    unsaid = _MANY if cluster.get("enableInTreeAutoscaling") else 0
    for _, group, role in groups_of(thing):
        limits = find(group, ("template", "spec", "containers", 0, "resources", "limits")) or {}
        parameters = group.get("rayStartParams") or {}
        given = group.get("resources") or {}
        devices = next((value for name, value in limits.items() if str(name).endswith("gpu")), None)
        cpus = amount(parameters.get("num-cpus", given.get("CPU", limits.get("cpu", _MANY)))) or 0.0
        gpus = amount(parameters.get("num-gpus", given.get("GPU", devices))) or 0.0
        said = group.get("maxReplicas")
        most = 1 if role == "head" else int((unsaid or group.get("replicas") or 0) if said is None else said)
        found.append((cpus, gpus, most * int(group.get("numOfHosts") or 1)))
    return found


def too_large(thing: Thing, wanted: list[tuple[str, int, float, float]]) -> Iterator[str]:
    """What of `wanted` does not fit the nodes of a cluster: name, how many at once, CPUs and GPUs of each."""
    there = nodes(thing)
    for name, many, cpus, gpus in wanted:
        places = sum(most * _fit(node, (cpus, gpus)) for *node, most in there)
        if places < many:
            each = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            yield f"{name} of {each} each: at most {places} fit the cluster's nodes, {many} are needed at once"


def _fit(node: list[float], one: tuple[float, float]) -> int:
    """How many fit a node."""
    shares = [int(has / needs) for has, needs in zip(node, one, strict=True) if needs > 0]
    return min(shares, default=_MANY)


def check_entrypoint(thing: Thing) -> Iterator[Finding]:
    """Whether some node of a job's own cluster can hold what its entrypoint asks for."""
    if cluster_of(thing) is None:
        return
    cpus, gpus = (
        value if isinstance(value := thing.get("spec", f"entrypointNum{name}"), int | float) else 0
        for name in ("Cpus", "Gpus")
    )
    there = [one for one in nodes(thing) if one[2] > 0]
    for name, wanted, most in (
        ("Cpus", cpus, max((one[0] for one in there), default=0)),
        ("Gpus", gpus, max((one[1] for one in there), default=0)),
    ):
        if wanted > most:
            said = f"{wanted:g}, but no node of the cluster has more than {most:g}: the job would wait for ever"
            yield thing.wrong(["spec", f"entrypointNum{name}"], said)
            return
    if not any(has >= cpus and devices >= gpus for has, devices, _ in there):
        said = f"{gpus:g}, but no node of the cluster has so many and {cpus:g} CPUs: the job would wait for ever"
        yield thing.wrong(["spec", "entrypointNumGpus"], said)
    wanted_too = amounts(thing.get("spec", "entrypointResources")) or {}
    declared = list(_declared(thing))
    for name, many in wanted_too.items():
        if name in _OF_RAY or ":" in name or name.startswith("TPU"):
            continue  # Ray itself gives these to nodes
        most = max((float(one.get(name) or 0) for one in declared), default=0.0)
        if many > most:
            said = f"{many:g} of {name!r}, but no group has more than {most:g}: declare it in rayStartParams.resources"
            yield thing.wrong(["spec", "entrypointResources"], said)


def _declared(thing: Thing) -> Iterator[dict[str, float]]:
    """Resources that the groups of a cluster say their nodes have."""
    for _, group, _ in groups_of(thing):
        given = amounts(find(group, ("rayStartParams", "resources"))) or {}
        yield given | {str(name): amount(value) or 0.0 for name, value in (group.get("resources") or {}).items()}


def check_run(thing: Thing, where: Path, settings: Any, cluster: Thing) -> Iterator[Finding]:
    """Whether the actors and training workers of a job's run fit a cluster."""
    train, rollout = settings.train, settings.rollout
    wanted = [
        ("train.workers", train.workers, train.cpus_per_worker, train.gpus_per_worker),
        ("rollout.min_actors", rollout.min_actors, rollout.cpus_per_actor, rollout.gpus_per_actor),
    ]
    if said := "; ".join(too_large(cluster, wanted)):
        yield thing.wrong(where, said)
