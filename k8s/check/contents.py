"""Objects against the image that they name: commands, environment variables, versions, and where a run may lie."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import yaml

from k8s.check import runtime_env
from k8s.check.commands import CommandLine, foreign_problem
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import below, image_for, image_of, images, is_ours
from k8s.check.mounted import mounted
from k8s.check.promotion import Promotion, check_promotions
from k8s.check.ray_objects import Pod, cluster_of, lasting_mounts, main_container, mounts, pods_of
from k8s.check.rendering import EXPECTS, Scene
from k8s.check.room import check_run
from k8s.check.variables import unknown

_STORES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
"""Schemes that pyarrow's filesystems know, and that every node reaches."""


def check_contents(scene: Scene) -> Iterator[Finding]:
    """What the objects of a scene want of their images and is not there; and promotions between them."""
    promotions: list[Promotion] = []
    for thing in scene.things:
        pods = list(pods_of(thing))
        for pod in pods:
            for path, container in pod.containers():
                yield from _container(pod, path, container, scene)
        yield from _ray_version(thing, pods)
        if thing.group == "ray.io" and thing.kind == "RayJob":
            yield from _job(thing, pods, promotions, scene)
    yield from check_promotions(scene, promotions)
    if scene.rendered:
        yield from _one_version(scene)


def _one_version(scene: Scene) -> Iterator[Finding]:
    """Objects of one overlay that want different versions of one of our images."""
    first: dict[str, str] = {}
    for pod in [pod for thing in scene.things for pod in pods_of(thing)]:
        for path, container in pod.containers():
            reference = str(container.get("image", ""))
            image = image_of(reference)
            other = first.setdefault(image.title, reference) if image else reference
            if other != reference:
                yield pod.thing.wrong((*path, "image"), f"{reference}, but other objects of the overlay have {other}")


def _container(pod: Pod, path: Path, container: dict[str, Any], scene: Scene) -> Iterator[Finding]:
    thing = pod.thing
    reference = str(container.get("image", ""))
    image = image_of(reference)
    if image is None and is_ours(reference):
        there = ", ".join(images())
        yield thing.wrong((*path, "image"), f"no Dockerfile of cluster/ builds {reference!r}; there is: {there}")
    if image:
        yield from (thing.wrong(where, said) for where, said in expected_variables(thing, container))
        yield from _taken_variables(container, scene)
    for index, variable in enumerate(container.get("env") or ()):
        name = str(variable.get("name"))
        if any(find(variable, ("valueFrom", field)) for field in ("fieldRef", "resourceFieldRef")):
            continue  # what the cluster tells of a pod is for the command line or a program of one's own
        if (image or pod.role) and (problem := unknown(name, ours=image is not None)):
            yield thing.wrong((*path, "env", index, "name"), problem)
    given = [*(container.get("command") or ()), *(container.get("args") or ())]
    end = "command" if container.get("command") else "args"
    if image is None:
        if problem := foreign_problem(reference, list(map(str, given))):
            yield thing.wrong((*path, end), problem)
        return
    volumes, folder = mounted(pod, container, scene), container.get("workingDir")
    if folder and not CommandLine(image, volumes).has_folder(str(folder)):
        yield thing.wrong((*path, "workingDir"), f"the image has no folder {str(folder)!r}")
        folder = None
    line = partial(CommandLine, image, volumes, folder)
    if given:
        yield from _command(thing, (*path, end), line(), list(map(str, given)))
    hooks = [("lifecycle", "preStop"), ("lifecycle", "postStart")]
    hooks += [(f"{kind}Probe",) for kind in ("liveness", "readiness", "startup")]  # type: ignore[misc]
    for hook in hooks:
        where = (*path, *hook, "exec", "command")
        words = thing.get(*where)
        if words:
            yield from _command(thing, where, line(), list(map(str, words)))


def expected_variables(thing: Thing, container: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Keys that the annotation expects of a Secret or ConfigMap whose keys become variables, and that nothing reads."""
    taken = {
        f"{kind}/{find(source, (field, 'name'))}"
        for source in container.get("envFrom") or ()
        if not source.get("prefix")
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap"))
    }
    for word in str(thing.get("metadata", "annotations", EXPECTS) or "").split():
        place, _, key = word.rpartition("/")
        if place in taken and (problem := unknown(key, ours=True)):
            yield ("metadata", "annotations", EXPECTS), f"{word}: {problem}"


def _taken_variables(container: dict[str, Any], scene: Scene) -> Iterator[Finding]:
    """Keys of a Secret or ConfigMap of the scene that become variables, and that nothing reads."""
    for source in container.get("envFrom") or ():
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            name = find(source, (field, "name"))
            for thing in [one for one in scene.things if name and (one.kind, one.name) == (kind, name)]:
                for part in ("data", "stringData"):
                    for key in thing.get(part) or {}:
                        if problem := unknown(f"{source.get('prefix') or ''}{key}", ours=True):
                            yield thing.wrong((part, str(key)), problem)


def _command(thing: Thing, path: Path, line: CommandLine, words: list[str]) -> Iterator[Finding]:
    for problem in line.check(words):
        yield thing.wrong(path, problem)


def _ray_version(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    path, spec = cluster_of(thing) or ((), {})
    used: dict[str, Path] = {}
    for pod in pods:
        for container_path, container in pod.containers():
            image = image_of(str(container.get("image", "")))
            if image is None:
                continue
            used.setdefault(str(container.get("image")), container_path)
            locked = image.versions.get("ray")
            if path and spec.get("rayVersion") and locked and spec["rayVersion"] != locked:
                yield thing.wrong((*path, "rayVersion"), f"{spec['rayVersion']}, but {image.title} has Ray {locked}")
    if thing.group == "ray.io" and len(used) > 1:
        names = ", ".join(used)
        yield thing.wrong(
            (*list(used.values())[-1], "image"), f"head, workers and submitter must be one image: {names}"
        )


def _job(thing: Thing, pods: list[Pod], promotions: list[Promotion], scene: Scene) -> Iterator[Finding]:
    yield from _runtime_env(thing, pods)
    head = main_container(pods, "head")
    entrypoint = thing.get("spec", "entrypoint")
    image = image_for(str(head[1].get("image", "")), str(entrypoint)) if head else None
    if head is None or image is None or not isinstance(entrypoint, str):
        return
    pod = next(one for one in pods if one.role == "head")
    line = CommandLine(image, mounted(pod, head[1], scene), head[1].get("workingDir"))
    where = ("spec", "entrypoint")
    for problem in line.check_text(entrypoint):
        yield thing.wrong(where, problem)
    for name, place in line.writes:
        yield from _lasting(thing, where, pods, name, place)
    if line.settings is None:
        return
    yield from check_run(thing, where, line.settings)
    promotions.append(Promotion(thing, line.settings.rounds.promote, line.settings.root))


def _lasting(thing: Thing, where: Path, pods: list[Pod], name: str, place: str) -> Iterator[Finding]:
    """Where results go must outlive the pods, and be the same place for all of them."""
    scheme, remote, rest = place.partition("://")
    if remote:
        if scheme not in _STORES or not rest.strip("/"):
            yield thing.wrong(where, f"{name} {place!r} is no place that is known: a path, s3://BUCKET/... or gs://...")
        return
    for pod in pods:
        if pod.role in ("head", "worker") and not below(place, lasting_mounts(pod)):
            who = f"the {pod.role}'s pods"
            yield thing.wrong(
                where, f"{name} {place!r} is on no lasting volume of {who}: mount a claim there, or use s3://"
            )
        elif pod.role in ("head", "worker"):
            for path in _read_only(pod, place):
                yield thing.wrong(path, f"{name} {place!r} is written there by the {pod.role}'s pods")


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


def _runtime_env(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    text = thing.get("spec", "runtimeEnvYAML")
    if not isinstance(text, str):
        return
    where = ("spec", "runtimeEnvYAML")
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield thing.wrong(where, f"is not YAML: {error}")
        return
    head = main_container(pods, "head")
    image, places = (image_of(str(head[1].get("image", ""))), mounts(head[1])) if head else (None, [])
    for path, problem in runtime_env.problems(loaded, image, places):
        yield thing.wrong((*where, *path), problem)
