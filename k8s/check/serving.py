"""RayService: the Serve configuration inside, and what its applications import."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from k8s.check import runtime_env
from k8s.check.documents import NotReadError, read
from k8s.check.findings import Finding, Path, Thing, find, has
from k8s.check.image import image_for, image_of
from k8s.check.import_paths import brings_code, import_problem, of_deployments, without_imports
from k8s.check.mounted import Mounted
from k8s.check.ray_objects import main_container, pods_of
from k8s.check.rendering import Scene
from k8s.check.served_app import BUILDERS, WHERE, check_app

if TYPE_CHECKING:
    from pydantic import ValidationError


def check_serving(scene: Scene) -> Iterator[Finding]:
    """The RayServices of a scene."""
    for thing in scene.things:
        if thing.group == "ray.io" and thing.kind == "RayService":
            yield from _service(thing, scene)


def _service(thing: Thing, scene: Scene) -> Iterator[Finding]:
    text = thing.get(*WHERE)
    if not isinstance(text, str) or not text.strip():
        yield thing.wrong(WHERE, "serveConfigV2 is missing: there is nothing to serve")
        return
    try:
        loaded = read(text)
    except NotReadError as error:
        yield thing.wrong((*WHERE, *error.path), str(error))
        return
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    try:
        ServeDeploySchema.model_validate(without_imports(loaded))
    except ValidationError as error:
        for path, said in refused(error, loaded):
            yield thing.wrong((*WHERE, *path), f"{said} (Ray Serve's schema)")
        return
    except (AttributeError, TypeError, ValueError) as error:  # what its validators take for granted
        yield thing.wrong(WHERE, f"Ray Serve's schema cannot read it: {error}")
        return
    for path in unknown_fields(ServeDeploySchema, loaded):
        yield thing.wrong((*WHERE, *path), f"there is no field {path[-1]!r} here (Ray Serve's schema)")
    applications = loaded.get("applications") or []
    if not applications:
        yield thing.wrong((*WHERE, "applications"), "no application: there is nothing to serve")
    for index, application in enumerate(applications):
        yield from _scaling(thing, (*WHERE, "applications", index, "deployments"), application.get("deployments") or ())
        yield from _application(thing, scene, loaded, (*WHERE, "applications", index), application)
    yield from _http(thing, loaded)
    yield from _grpc(thing, loaded)
    if thing.get("spec", "excludeHeadPodFromServeSvc") and loaded.get("proxy_location") in ("HeadOnly", "Disabled"):
        where = (*WHERE, "proxy_location")
        yield thing.wrong(where, f"{loaded['proxy_location']}, but excludeHeadPodFromServeSvc: the service has no pods")


def refused(error: ValidationError, data: Any) -> Iterator[tuple[Path, str]]:
    """The fields of some data that pydantic refuses, each once, with why.

    Of a field that may be one of several types pydantic tells why it is none of them, each at a place of its own below.
    """
    told: dict[Path, list[str]] = {}
    for item in error.errors():
        *around, last = item["loc"] or ("",)
        path: Path = ()
        for key in around:
            path = (*path, key) if has(data, (*path, key)) else path
        if item["loc"] and (item["type"] == "missing" or has(data, (*path, last))):
            path = (*path, last)
        told.setdefault(path, []).append(item["msg"])
    yield from ((path, "; or: ".join(dict.fromkeys(said))) for path, said in told.items())


def unknown_fields(model: Any, data: Any) -> Iterator[Path]:
    """Paths of keys that a pydantic model and those in it do not have; Serve's own leave some of them unnoticed."""
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from ((index, *path) for path in unknown_fields(model, item))
    if not isinstance(data, dict):
        return
    fields = {name: one for key, one in model.model_fields.items() for name in (key, one.alias) if name}
    for key, value in data.items():
        if key not in fields:
            yield (str(key),)
            continue
        for inner in _models(fields[key].annotation):
            yield from ((str(key), *path) for path in unknown_fields(inner, value))


def _models(annotation: Any) -> list[Any]:
    """The one pydantic model in an annotation such as `Optional[list[Model]]`; none where there are several."""
    from pydantic import BaseModel

    parts = typing.get_args(annotation)
    if not parts:
        return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
    if typing.get_origin(annotation) is dict:
        return []
    found = [model for part in parts for model in _models(part)]
    return found if len(found) == 1 else []


def _scaling(thing: Thing, path: Path, deployments: Any) -> Iterator[Finding]:
    """How deployments scale: Serve's schema takes any mapping there, and its controller refuses what does not fit."""
    from pydantic import ValidationError
    from ray.serve.config import AutoscalingConfig

    for index, deployment in enumerate(deployments):
        given = deployment.get("autoscaling_config")
        if not isinstance(given, dict):
            continue
        usual = {"min_replicas": 1, "max_replicas": 100} if deployment.get("num_replicas") == "auto" else {}
        try:
            AutoscalingConfig.model_validate(without_imports(usual | given))
        except ValidationError as error:
            for inner, said in refused(error, given):
                where = (*path, index, "autoscaling_config", *inner)
                yield thing.wrong(where, f"{said} (Ray Serve's AutoscalingConfig)")


def _http(thing: Thing, loaded: dict[str, Any]) -> Iterator[Finding]:
    options = loaded.get("http_options") or {}
    if options.get("host", "0.0.0.0") in ("127.0.0.1", "localhost"):
        yield thing.wrong((*WHERE, "http_options", "host"), "only the pod itself reaches it there: use 0.0.0.0")
    port = options.get("port", 8000)
    declared = {
        entry.get("containerPort"): entry.get("name")
        for pod in pods_of(thing)
        for _, container in pod.containers()
        for entry in container.get("ports") or ()
    }
    named = [number for number, name in declared.items() if name == "serve"]
    if (named and port not in named) or (not named and port != 8000):
        yield thing.wrong((*WHERE, "http_options", "port"), f"{port}, but no container port named serve is {port}")


def _grpc(thing: Thing, loaded: dict[str, Any]) -> Iterator[Finding]:
    """What the proxies import: they run in the image alone, whatever an application's runtime environment brings."""
    where: Path = ("grpc_options", "grpc_servicer_functions")
    head = main_container(list(pods_of(thing)), "head")
    for index, target in enumerate(find(loaded, where) or ()):
        image = image_for(str(head[1].get("image", "")), target) if head else None
        if image and (problem := import_problem(image, target)):
            yield thing.wrong((*WHERE, *where, index), problem)


def _application(
    thing: Thing, scene: Scene, loaded: dict[str, Any], path: Path, application: dict[str, Any]
) -> Iterator[Finding]:
    pods = list(pods_of(thing))
    head = main_container(pods, "head")
    image = image_of(str(head[1].get("image", ""))) if head else None
    environments: list[tuple[Path, Any]] = [((*path, "runtime_env"), application.get("runtime_env"))]
    for index, deployment in enumerate(application.get("deployments") or ()):
        where = (*path, "deployments", index, "ray_actor_options", "runtime_env")
        environments.append((where, find(deployment, ("ray_actor_options", "runtime_env"))))
    for where, given in environments:
        for inner, said in runtime_env.problems(given, image, Mounted(), scene.expanded) if given else ():
            yield thing.wrong((*where, *inner), said)
    target = str(application.get("import_path", ""))
    image = image or (image_for("", target) if head else None)
    if image is None:
        return
    for inner, text, brought in of_deployments(application):
        if not brought and (problem := import_problem(image, text)):
            yield thing.wrong((*path, *inner), problem)
    if brings_code(application.get("runtime_env"), target):
        return
    if problem := import_problem(image, target):
        yield thing.wrong((*path, "import_path"), problem)
    elif target.replace(":", ".") in BUILDERS:
        yield from check_app(thing, scene, path, application, loaded)
