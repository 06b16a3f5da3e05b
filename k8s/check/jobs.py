"""RayJobs against the image of the cluster that they run on: entrypoint, runtime environment, and where results go."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from k8s.check import runtime_env
from k8s.check.brought import REMOTE, Brought, brought_by
from k8s.check.clusters import check_selector, cluster_for
from k8s.check.commands import CommandLine
from k8s.check.credentials import check_credentials
from k8s.check.documents import NotReadError, read
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import Image, below, image_for, image_of
from k8s.check.mounted import Elsewhere, Mounted, mounted
from k8s.check.promotion import Promotion
from k8s.check.ray_objects import Pod, lasting_mounts, main_container, pods_of, started_by
from k8s.check.references import Known
from k8s.check.rendering import Scene
from k8s.check.room import check_run
from k8s.check.variables import unknown

_WHERE: Path = ("spec", "entrypoint")
_ENVIRONMENT: Path = ("spec", "runtimeEnvYAML")
_STORES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
"""Schemes that pyarrow's filesystems know, and that every node reaches."""


def check_job(thing: Thing, promotions: list[Promotion], scene: Scene) -> Iterator[Finding]:
    """What a RayJob wants of the image and is not there. What it promotes is added to `promotions`."""
    yield from check_selector(thing, scene)
    cluster = cluster_for(thing, scene)
    pods = list(pods_of(cluster)) if cluster else []
    entrypoint = thing.get(*_WHERE)
    text = entrypoint if isinstance(entrypoint, str) else ""
    environment: Any = None
    said = thing.get(*_ENVIRONMENT)
    if isinstance(said, str):
        try:
            environment = read(said)
        except NotReadError as error:
            yield thing.wrong((*_ENVIRONMENT, *error.path), str(error))
        else:
            ours = cluster is None and image_for("", text) is not None
            if environment is not None:  # nothing but comments, which the operator takes as no runtime environment
                yield from _runtime_env(thing, pods, scene, environment, ours=ours)
    brought = brought_by(environment)
    line = _line(pods, scene, text, environment, brought) if cluster else _line_elsewhere(text, brought)
    if line is None or not text:
        return
    for problem in line.check_text(text):
        yield thing.wrong(_WHERE, problem)
    for name, place in line.writes:
        yield from _lasting(thing, pods, name, place)
    if line.settings is None:
        return
    if cluster:
        yield from check_run(thing, _WHERE, line.settings, cluster)
        if "://" in line.settings.root:
            yield from check_credentials(cluster, Known(scene), line.settings.root)
    promotions.append(Promotion(thing, line.settings.rounds.promote, line.settings.root, cluster))


def _line(pods: list[Pod], scene: Scene, text: str, environment: Any, brought: Brought) -> CommandLine | None:
    """The command line of an entrypoint on the head of a cluster; None where its image is not ours."""
    head = main_container(pods, "head")
    if head is None:
        return None
    path, container = head
    reference = find(environment, ("image_uri",)) or find(environment, ("container", "image")) or container.get("image")
    image = image_for(str(reference or ""), text)
    if image is None:
        return None
    pod = next(one for one in pods if one.role == "head")
    volumes, folder = mounted(pod, container, scene), brought.folder
    if folder and folder != REMOTE and not volumes.holds(image, folder):  # of which its own check speaks
        volumes.open.append(posixpath.normpath(posixpath.join(image.workdir, folder)))
    line = CommandLine(image, volumes, folder or container.get("workingDir"), brought)
    joined = started_by(pod, path, container)
    for begins in (("command",), ("args",)) if joined is None else ():
        line.ran_before(shlex.join(map(str, find(container, begins) or ())))
    line.ran_before(joined or "")
    line.ran_before(shlex.join(map(str, find(container, ("lifecycle", "postStart", "exec", "command")) or ())))
    return line


def _line_elsewhere(text: str, brought: Brought) -> CommandLine | None:
    """The command line of an entrypoint on a cluster that is not known: only what is the project's own is checked."""
    image = image_for("", text)
    if image is None:
        return None
    volumes = Elsewhere(own=(f"{image.workdir}/ray_jobs",))
    return CommandLine(image, volumes, brought.folder, replace(brought, packages=True))


def _lasting(thing: Thing, pods: list[Pod], name: str, place: str) -> Iterator[Finding]:
    """Where results go must outlive the pods, and be the same place for all of them."""
    scheme, remote, rest = place.partition("://")
    if remote:
        if scheme not in _STORES or not rest.strip("/"):
            yield thing.wrong(
                _WHERE, f"{name} {place!r} is no place that is known: a path, s3://BUCKET/... or gs://..."
            )
        return
    nodes = [pod for pod in pods if pod.role in ("head", "worker")]
    lost = [pod for pod in nodes if not below(place, lasting_mounts(pod))]
    if lost:
        who = " and ".join(f"the {role}'s" for role in dict.fromkeys(pod.role for pod in lost))
        said = f"{name} {place!r} is on no lasting volume of {who} pods: mount a claim there, or use s3://"
        yield thing.wrong(_WHERE, said)
    for pod in (one for one in nodes if one not in lost):
        for path in _read_only(pod, place):
            yield pod.thing.wrong(path, f"{name} {place!r} is written there by the {pod.role}'s pods")


def _read_only(pod: Pod, place: str) -> Iterator[Path]:
    """What makes a place in a volume of a pod one that cannot be written: the mount, or the claim."""
    volumes = {volume.get("name"): index for index, volume in enumerate(pod.spec.get("volumes") or ())}
    for index, mount in enumerate(find(pod.spec, ("containers", 0, "volumeMounts")) or ()):
        if not below(place, [str(mount.get("mountPath"))]):
            continue
        if mount.get("readOnly"):
            yield (*pod.path, "containers", 0, "volumeMounts", index, "readOnly")
        claim = ("volumes", volumes.get(mount.get("name"), -1), "persistentVolumeClaim", "readOnly")
        if find(pod.spec, claim):
            yield (*pod.path, *claim)


def _runtime_env(thing: Thing, pods: list[Pod], scene: Scene, loaded: Any, *, ours: bool) -> Iterator[Finding]:
    """What is wrong with a runtime environment. `ours`: a command of the project runs on a cluster that is unknown."""
    pod = next((one for one in pods if one.role == "head"), None)
    head = main_container(pods, "head")
    image: Image | None = image_of(str(head[1].get("image", ""))) if head else None
    volumes = mounted(pod, head[1], scene) if pod and head else Mounted()
    for path, problem in runtime_env.problems(loaded, image, volumes, scene.expanded):
        yield thing.wrong((*_ENVIRONMENT, *path), problem)
    variables = find(loaded, ("env_vars",))
    for name in variables if ours and isinstance(variables, dict) else ():
        if str(name).startswith("TOOLACE_") and (said := unknown(str(name), ours=True, own=scene.expanded)):
            yield thing.wrong((*_ENVIRONMENT, "env_vars", str(name)), said)
