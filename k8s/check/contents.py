"""Objects against the image that they name: commands, environment variables, versions, and where a run may lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from k8s.check.commands import CommandLine
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.foreign import foreign_problem
from k8s.check.groups import RAY
from k8s.check.image import Image, image_of, images, is_ours
from k8s.check.jobs import check_job
from k8s.check.mounted import mounted
from k8s.check.promotion import Promotion, check_promotions
from k8s.check.ray_objects import Pod, cluster_of, main_container, pods_of, started_by
from k8s.check.rendering import EXPECTS, Scene
from k8s.check.variables import unknown

_HARDWARE = re.compile(r"(:[^/:]*?)(?:-(?:gpu|cpu|cu[0-9]+|aarch64))+$")
"""The ending of a tag that says for which hardware a variant of one image is."""


def check_contents(scene: Scene) -> Iterator[Finding]:
    """What the objects of a scene want of their images and is not there; and promotions between them."""
    promotions: list[Promotion] = []
    for thing in scene.things:
        pods = list(pods_of(thing))
        for pod in pods:
            for path, container in pod.containers():
                yield from _container(pod, path, container, scene)
        yield from _ray_version(thing, pods)
        yield from _one_image(thing, pods)
        if thing.group == RAY and thing.kind == "RayJob":
            yield from check_job(thing, promotions, scene)
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
    reference = str(container.get("image") or "")
    image = image_of(reference)
    if not reference:
        yield thing.wrong((*path, "image"), "image is missing")
    elif image is None and is_ours(reference):
        there = ", ".join(images())
        yield thing.wrong((*path, "image"), f"no Dockerfile of cluster/ builds {reference!r}; there is: {there}")
    if image:
        yield from (thing.wrong(where, said) for where, said in expected_variables(thing, container, scene.expanded))
        yield from _taken_variables(container, scene)
    for index, variable in enumerate(container.get("env") or ()):
        name = str(variable.get("name"))
        if any(find(variable, ("valueFrom", field)) for field in ("fieldRef", "resourceFieldRef")):
            continue  # what the cluster tells of a pod is for the command line or a program of one's own
        if (image or pod.role) and (problem := unknown(name, ours=image is not None, own=scene.expanded)):
            yield thing.wrong((*path, "env", index, "name"), problem)
    command, given = _words(container, "command"), _words(container, "command", "args")
    if image is None:
        if problem := foreign_problem(reference, given):
            yield thing.wrong((*path, _at_fault(container, problem, [])), problem)
        return
    volumes, folder = mounted(pod, container, scene), container.get("workingDir")
    if folder and not CommandLine(image, volumes).has_folder(str(folder)):
        yield thing.wrong((*path, "workingDir"), f"the image has no folder {str(folder)!r}")
        folder = None
    line = partial(CommandLine, image, volumes, folder)
    joined = started_by(pod, path, container)
    if joined is not None:
        alone = list(line().check_text(" ".join(command)))
        for problem in line().check_text(joined):
            yield thing.wrong((*path, _at_fault(container, problem, alone)), problem)
    elif given:
        alone = list(line().check(command)) if command else []
        for problem in line().check(given):
            yield thing.wrong((*path, _at_fault(container, problem, alone)), problem)
    hooks = [("lifecycle", "preStop"), ("lifecycle", "postStart")]
    hooks += [(f"{kind}Probe",) for kind in ("liveness", "readiness", "startup")]  # type: ignore[misc]
    for hook in hooks:
        where = (*path, *hook, "exec", "command")
        words = thing.get(*where)
        if words:
            yield from _command(thing, where, line(), list(map(str, words)))


def _words(container: dict[str, Any], *fields: str) -> list[str]:
    return [str(word) for field in fields for word in container.get(field) or ()]


def _at_fault(container: dict[str, Any], problem: str, alone: list[str]) -> str:
    """The list, `command` or `args`, that holds the words at fault.

    That is the one list with the words that the problem quotes. Where it is not told so, it is the command if something
    is wrong with that `alone` in the same way.
    """
    quoted = re.findall(r"'([^']+)'", problem)
    words = {name: _words(container, name) for name in ("command", "args")}
    held = [name for name in words if any(one in word for one in quoted for word in words[name])]
    if len(held) == 1:
        return held[0]
    return "command" if problem in alone or not container.get("args") else "args"


def expected_variables(thing: Thing, container: dict[str, Any], own: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """Keys that the annotation expects of a Secret or ConfigMap whose keys become variables, and that nothing reads."""
    taken = {
        f"{kind}/{find(source, (field, 'name'))}"
        for source in container.get("envFrom") or ()
        if not source.get("prefix")
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap"))
    }
    for word in str(thing.get("metadata", "annotations", EXPECTS) or "").split():
        place, _, key = word.rpartition("/")
        if place in taken and (problem := unknown(key, ours=True, own=own)):
            yield ("metadata", "annotations", EXPECTS), f"{word}: {problem}"


def _taken_variables(container: dict[str, Any], scene: Scene) -> Iterator[Finding]:
    """Keys of a Secret or ConfigMap of the scene that become variables, and that nothing reads."""
    for source in container.get("envFrom") or ():
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            name = find(source, (field, "name"))
            for thing in [one for one in scene.things if name and (one.kind, one.name) == (kind, name)]:
                for part in ("data", "stringData"):
                    for key in thing.get(part) or {}:
                        if problem := unknown(f"{source.get('prefix') or ''}{key}", ours=True, own=scene.expanded):
                            yield thing.wrong((part, str(key)), problem)


def _command(thing: Thing, path: Path, line: CommandLine, words: list[str]) -> Iterator[Finding]:
    for problem in line.check(words):
        yield thing.wrong(path, problem)


def _ray_version(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    path, spec = cluster_of(thing) or ((), {})
    for image in {image.title: image for pod in pods for image in [_image_of_ray(pod)] if image}.values():
        locked = image.versions.get("ray")
        if path and spec.get("rayVersion") and locked and spec["rayVersion"] != locked:
            yield thing.wrong((*path, "rayVersion"), f"{spec['rayVersion']}, but {image.title} has Ray {locked}")


def _image_of_ray(pod: Pod) -> Image | None:
    found = main_container([pod], pod.role)
    return image_of(str(found[1].get("image", ""))) if found else None


def _one_image(thing: Thing, pods: list[Pod]) -> Iterator[Finding]:
    """Head, workers and submitter have one image, apart from an ending that names the hardware."""
    found = [one for pod in pods if (one := main_container([pod], pod.role)) and one[1].get("image")]
    names = [_HARDWARE.sub(r"\1", str(container["image"])) for _, container in found]
    if thing.group != RAY or len(set(names)) < 2:
        return
    most = max(names, key=lambda name: (image_of(name) is not None, names.count(name)))
    for (path, container), name in zip(found, names, strict=True):
        if name != most and (image_of(name) or not is_ours(name)):
            said = f"{container['image']}, but head, workers and submitter must be one image, and others have {most}"
            yield thing.wrong((*path, "image"), said)


def foreign_images(scene: Scene) -> Iterator[str]:
    """Images of Ray's clusters about whose content nothing is known here."""
    for pod in (pod for thing in scene.things for pod in pods_of(thing) if pod.role):
        found = main_container([pod], pod.role)
        if found and found[1].get("image") and image_of(str(found[1]["image"])) is None:
            yield str(found[1]["image"])
