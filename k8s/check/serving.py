"""RayService: the Serve configuration inside, and what its applications import."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from typing import Any

from k8s.check import runtime_env
from k8s.check.documents import NotReadError, read
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import Image, image_for, image_of, importable, source_of
from k8s.check.mounted import Mounted
from k8s.check.ray_objects import main_container, pods_of
from k8s.check.rendering import Scene
from k8s.check.served_app import BUILDERS, WHERE, check_app


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
        ServeDeploySchema.model_validate(loaded)
    except ValidationError as error:
        for item in error.errors():
            yield thing.wrong((*WHERE, *item["loc"]), f"{item['msg']} (Ray Serve's schema)")
        return
    for path in unknown_fields(ServeDeploySchema, loaded):
        yield thing.wrong((*WHERE, *path), f"there is no field {path[-1]!r} here (Ray Serve's schema)")
    applications = loaded.get("applications") or []
    if not applications:
        yield thing.wrong((*WHERE, "applications"), "no application: there is nothing to serve")
    for index, application in enumerate(applications):
        yield from _application(thing, scene, loaded, (*WHERE, "applications", index), application)
    yield from _http(thing, loaded)
    if thing.get("spec", "excludeHeadPodFromServeSvc") and loaded.get("proxy_location") in ("HeadOnly", "Disabled"):
        where = (*WHERE, "proxy_location")
        yield thing.wrong(where, f"{loaded['proxy_location']}, but excludeHeadPodFromServeSvc: the service has no pods")


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
    if image is None or application.get("runtime_env", {}).get("working_dir"):
        return
    if problem := import_problem(image, target):
        yield thing.wrong((*path, "import_path"), problem)
    elif target.replace(":", ".") in BUILDERS:
        yield from check_app(thing, scene, path, application, loaded)


def import_problem(image: Image, target: str) -> str | None:
    """What is wrong with an import path `module:name` in an image."""
    module, colon, name = target.partition(":")
    if not colon:
        module, _, name = target.rpartition(".")
    file, theirs = image.module(module), False
    if file is None:
        top = module.partition(".")[0]
        theirs = top not in ("serve_apps", "ray_jobs", "toolace", "k8s", "tests", "benchmarks") and importable(module)
        if not theirs:
            return f"the image has no module {module!r}"
        file = source_of(module)
    if file is None or (theirs and importable(f"{module}.{name}")):
        return None
    names = _names(ast.parse(file.read_text(encoding="utf-8")).body)
    return None if name in names or not names.isdisjoint(("*", "__getattr__")) else f"{module} has no {name!r}"


def _names(body: list[ast.stmt]) -> set[str]:
    """What the statements of a module, and those in its conditions, bind; `*` where that is not written there."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        for part in ("body", "orelse", "finalbody", "handlers"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = getattr(node, part, [])
                names |= _names([*inner, *(one for each in inner for one in getattr(each, "body", []))])
    return names
