"""The project's own application in a RayService: arguments, keys, model, deployments, and times that must fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s.check.commands import CommandLine
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import image_of, images
from k8s.check.mounted import mounted
from k8s.check.ray_objects import Pod, main_container, pods_of
from k8s.check.references import Known
from k8s.check.rendering import Scene
from k8s.check.room import too_large
from toolace.errors import ToolaceError
from toolace.serving.config import ServeConfig
from toolace.setting_errors import describe_errors
from toolace.settings_file import apply_override

WHERE: Path = ("spec", "serveConfigV2")
BUILDERS = ("serve_apps.refine.build_app", "toolace.serving.app.build_app")
"""Import paths of the application's builder, a dot for the colon."""
INGRESS, ENGINE = "ingress", "EngineServer:"
"""Names of its deployments; the engine's is followed by the model's."""
DRAIN = "cluster/drain.py"


def check_app(
    thing: Thing, scene: Scene, application: Path, data: dict[str, Any], loaded: dict[str, Any]
) -> Iterator[Finding]:
    """What is wrong with an application at a path. `data`: its part of the Serve configuration `loaded`."""
    from pydantic import ValidationError

    path, given = (*application, "args"), data.get("args") or {}
    nested: dict[str, Any] = {}
    try:
        for key, value in given.items():
            if "." in key:
                apply_override(nested, f"{key}={value}")
            else:
                nested[key] = value
        config = ServeConfig.model_validate(nested)
    except ToolaceError as error:
        yield thing.wrong(path, str(error))
        return
    except ValidationError as error:
        for item in error.errors():
            one = describe_errors(ValidationError.from_exception_data("args", [item]))  # type: ignore[list-item]
            yield thing.wrong((*path, *item["loc"]), one)
        return
    yield from _keys(thing, Known(scene), path, config)
    yield from _times(thing, path, config, loaded)
    room = [
        ("replicas.min_replicas", config.replicas.min_replicas, config.replicas.cpus, config.replicas.gpus),
        ("ingress_replicas", config.ingress_replicas, 1, 0),
    ]
    if said := "; ".join(too_large(thing, room)):
        yield thing.wrong(path, said)
    yield from _model(thing, scene, (*path, "model", "path"), config.model.path)
    yield from _deployments(thing, (*application, "deployments"), data.get("deployments") or [], config)


def _model(thing: Thing, scene: Scene, path: Path, model: str) -> Iterator[Finding]:
    """A model in no volume of some pod, or that does not ship."""
    for pod in pods_of(thing):
        found = main_container([pod], pod.role)
        if found is None or pod.role == "submit":
            continue
        image = image_of(str(found[1].get("image", ""))) or next(iter(images().values()))
        if problem := CommandLine(image, mounted(pod, found[1], scene)).model_problem(model):
            yield thing.wrong(path, problem)
            return


def _deployments(thing: Thing, path: Path, given: list[dict[str, Any]], config: ServeConfig) -> Iterator[Finding]:
    engine = f"{ENGINE}{config.model_id.replace('/', '--').replace('.', '_')}" if config.model_id else ENGINE
    for index, deployment in enumerate(given):
        name = str(deployment.get("name"))
        if name not in (INGRESS, engine) and (config.model_id or not name.startswith(ENGINE)):
            where = (*path, index, "name")
            yield thing.wrong(where, f"the application has no deployment {name!r} (it has: {INGRESS}, {engine})")


def _keys(thing: Thing, known: Known, path: Path, config: ServeConfig) -> Iterator[Finding]:
    auth = config.auth
    if auth.keys_file is None:
        given = {
            variable.get("name")
            for pod in pods_of(thing)
            for _, container in pod.containers()
            for variable in container.get("env") or ()
        }
        if not auth.hashed_keys and not auth.open and auth.keys_env not in given:
            where = (*path, "auth", "keys_file")
            yield thing.wrong(where, "no API keys: set auth.keys_file to a mounted Secret, or auth.open=true")
        return
    folder, _, file = auth.keys_file.rpartition("/")
    for pod in pods_of(thing):
        container = next(iter(pod.spec.get("containers") or [{}]))
        mount = next((m for m in container.get("volumeMounts") or () if m.get("mountPath") == folder), None)
        volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
        volume = volumes.get(mount["name"]) if mount else None
        secret = find(volume, ("secret", "secretName"))
        items = {item.get("path"): item.get("key") for item in find(volume, ("secret", "items")) or ()}
        if pod.role != "worker" and not items:
            continue
        if mount is None:
            yield thing.wrong((*path, "auth", "keys_file"), f"the workers mount nothing at {folder or '/'}")
        elif items and file not in items:
            there = ", ".join(map(str, items))
            yield thing.wrong((*path, "auth", "keys_file"), f"the volume has no file {file!r} (it has: {there})")
        elif (
            secret
            and not known.missing("Secret", secret)
            and (problem := known.missing("Secret", secret, items.get(file, file)))
        ):
            yield thing.wrong((*path, "auth", "keys_file"), problem)


def _times(thing: Thing, path: Path, config: ServeConfig, loaded: dict[str, Any]) -> Iterator[Finding]:
    """The longest request <= the drain <= the hook's deadline < the pod's time to go; and the old cluster's."""
    drain, deadline = config.replicas.drain_s, config.refinement.deadline_cap_ms / 1000
    if drain < deadline:
        yield thing.wrong((*path, "replicas", "drain_s"), f"{drain:g} s, below the longest request ({deadline:g} s)")
    timeout = find(loaded, ("http_options", "request_timeout_s"))
    if timeout is not None and timeout < deadline:
        where = (*WHERE, "http_options", "request_timeout_s")
        yield thing.wrong(where, f"{timeout:g} s, below the longest request ({deadline:g} s)")
    old = thing.get("spec", "rayClusterDeletionDelaySeconds")
    if (60 if old is None else old) < drain:
        where = ("spec", "rayClusterDeletionDelaySeconds")
        yield thing.wrong(where, f"{60 if old is None else old} s, below replicas.drain_s ({drain:g} s)")
    for pod in pods_of(thing):
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if pod.role == "worker" and grace < drain:
            where = (*pod.path, "terminationGracePeriodSeconds")
            yield thing.wrong(where, f"{grace} s, below replicas.drain_s ({drain:g} s)")
        if pod.role == "worker":
            yield from _hook(pod, drain, grace)


def _hook(pod: Pod, drain: float, grace: float) -> Iterator[Finding]:
    """Without the hook, Ray on the pod ends at once, and with it the requests that replicas there have."""
    found = main_container([pod], "worker")
    if found is None:
        return
    path, container = found
    words = [str(word) for word in find(container, ("lifecycle", "preStop", "exec", "command")) or ()]
    where = (*path, "lifecycle", "preStop", "exec", "command")
    if not find(container, ("lifecycle", "preStop")):
        yield pod.thing.wrong((*path, "lifecycle", "preStop"), f"missing: requests here are cut off. Run {DRAIN} there")
    said = re.search(rf"{re.escape(DRAIN)} --deadline[= ](\d+)", " ".join(words))
    if said and int(said[1]) < drain:
        yield pod.thing.wrong(where, f"--deadline {said[1]} s, below replicas.drain_s ({drain:g} s)")
    elif said and int(said[1]) >= grace:
        yield pod.thing.wrong(where, f"--deadline {said[1]} s, not below terminationGracePeriodSeconds ({grace:g} s)")
