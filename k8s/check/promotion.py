"""From training to serving: a job that promotes its model reaches an endpoint that can read it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import below
from k8s.check.ray_objects import Pod, cluster_of, lasting_mounts, pods_of
from k8s.check.rendering import EXPECTS, Scene

ENTRYPOINT: Path = ("spec", "entrypoint")


@dataclass(frozen=True)
class Promotion:
    """What a job that trains does with its model in the end: the setting rounds.promote; and its root.

    `cluster`: the object with the cluster that it runs on; None where that is not known.
    """

    job: Thing
    promote: str
    root: str
    cluster: Thing | None

    @property
    def host(self) -> str:
        """The first part of the name of the service that it calls; empty where it calls none."""
        return self.promote.partition("://")[2].partition("/")[0].partition(":")[0].partition(".")[0]

    @property
    def port(self) -> str:
        return self.promote.partition("://")[2].partition("/")[0].partition(":")[2]


def check_promotions(scene: Scene, promotions: list[Promotion]) -> Iterator[Finding]:
    """Promotions that go wrong, and those that a kustomization expects and no job makes.

    The annotation of a kustomization.yaml is that of objects, with `Promotion/NAME` for a RayService.
    """
    heads = {f"{thing.name}-head-svc": thing for thing in scene.things if thing.kind in ("RayService", "RayCluster")}
    services = {thing.name for thing in scene.things if thing.kind == "Service"}
    for one in promotions:
        if one.promote == "local":
            if one.cluster is not one.job:  # what others serve on their cluster is not known
                continue
            said = "rounds.promote=local: nothing is served on the training cluster itself"
            yield one.job.wrong(ENTRYPOINT, said)
        elif one.host and one.host not in heads and one.host not in services:
            there = ", ".join(sorted(heads)) or "none"
            said = f"rounds.promote: there is no service {one.host!r} (heads that are there: {there})"
            yield one.job.wrong(ENTRYPOINT, said)
        elif one.host in heads:
            yield from _pair(one, heads[one.host])
    for name in (word.partition("/")[2] for word in scene.expects if word.startswith("Promotion/")):
        if not any(one.host == f"{name}-head-svc" for one in promotions):
            said = (
                f"no job promotes its model into {name}: rounds.promote=http://{name}-head-svc:8265 is in no entrypoint"
            )
            yield Finding(scene.file, f"metadata.annotations[{EXPECTS}]", said)


def _pair(one: Promotion, service: Thing) -> Iterator[Finding]:
    if one.port != "8265":
        said = f"rounds.promote: the dashboard of {one.host} listens on 8265, not on {one.port or 80}"
        yield one.job.wrong(ENTRYPOINT, said)
    if one.cluster is None:
        return
    (path, mine), (_, theirs) = cluster_of(one.cluster) or ((), {}), cluster_of(service) or ((), {})
    tokens = [find(spec, ("authOptions", "secretName")) for spec in (mine, theirs)]
    if tokens[0] != tokens[1]:
        said = (
            f"the token of Secret {tokens[0]!r}, but {service.name}, into which it promotes, has that of {tokens[1]!r}"
        )
        yield one.cluster.wrong((*path, "authOptions", "secretName"), said)
    if "://" in one.root:
        return
    wanted = {str(place) for pod in _ray(one.cluster) if (place := _place(pod, one.root))}
    for pod in _ray(service):
        place = _place(pod, one.root)
        if wanted and (place is None or str(place) not in wanted):
            said = f"the {pod.role}'s pods have not at {one.root} what {one.job.name} writes there and promotes"
            yield service.wrong((*pod.path, "containers", 0, "volumeMounts"), said)


def _ray(thing: Thing) -> list[Pod]:
    return [pod for pod in pods_of(thing) if pod.role in ("head", "worker")]


def _place(pod: Pod, root: str) -> tuple[Any, str] | None:
    """Where a path of a pod is: its volume without the name that the pod has for it, and the path there."""
    for folder, volume in lasting_mounts(pod).items():
        if below(root, [folder]):
            kept = {key: value for key, value in volume.items() if key != "name"}
            claim = find(kept, ("persistentVolumeClaim", "claimName")) or kept
            return claim, posixpath.relpath(root, folder)
    return None
