"""RayService: the Serve configuration inside, the application's arguments, and the times that must fit each other."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from typing import Any

import yaml

from k8s.check import runtime_env
from k8s.check.contents import main_container, mounts
from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.image import Image, below, image_for, image_of, importable
from k8s.check.ray_objects import pods_of
from k8s.check.references import Known
from k8s.check.rendering import Scene
from toolace.config import apply_override
from toolace.errors import ToolaceError
from toolace.serving.config import ServeConfig
from toolace.setting_errors import describe_errors

WHERE: Path = ("spec", "serveConfigV2")


def check_serving(scene: Scene) -> Iterator[Finding]:
    """The RayServices of a scene."""
    for thing in scene.things:
        if thing.group == "ray.io" and thing.kind == "RayService":
            yield from _service(thing, Known(scene))


def _service(thing: Thing, known: Known) -> Iterator[Finding]:
    text = thing.get(*WHERE)
    if not isinstance(text, str) or not text.strip():
        yield thing.wrong(WHERE, "serveConfigV2 is missing: there is nothing to serve")
        return
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield thing.wrong(WHERE, f"is not YAML: {error}")
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
        yield from _application(thing, known, loaded, (*WHERE, "applications", index), application)
    yield from _http(thing, loaded)


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
    thing: Thing, known: Known, loaded: dict[str, Any], path: Path, application: dict[str, Any]
) -> Iterator[Finding]:
    pods = list(pods_of(thing))
    head = main_container(pods, "head")
    image = image_of(str(head[1].get("image", ""))) if head else None
    environments: list[tuple[Path, Any]] = [((*path, "runtime_env"), application.get("runtime_env"))]
    for index, deployment in enumerate(application.get("deployments") or ()):
        where = (*path, "deployments", index, "ray_actor_options", "runtime_env")
        environments.append((where, find(deployment, ("ray_actor_options", "runtime_env"))))
    for where, given in environments:
        for inner, said in runtime_env.problems(given, image, []) if given else ():
            yield thing.wrong((*where, *inner), said)
    target = str(application.get("import_path", ""))
    image = image or (image_for("", target) if head else None)
    if image is None or application.get("runtime_env", {}).get("working_dir"):
        return
    if problem := import_problem(image, target):
        yield thing.wrong((*path, "import_path"), problem)
    elif target == "serve_apps.refine:build_app":
        yield from _arguments(thing, known, (*path, "args"), application.get("args") or {}, loaded)


def import_problem(image: Image, target: str) -> str | None:
    """What is wrong with an import path `module:name` in an image."""
    module, colon, name = target.partition(":")
    if not colon:
        module, _, name = target.rpartition(".")
    file = image.module(module)
    if file is None:
        top = module.partition(".")[0]
        foreign = top not in ("serve_apps", "ray_jobs", "toolace", "k8s", "tests", "benchmarks") and importable(module)
        return None if foreign else f"the image has no module {module!r}"
    return None if name in _names(ast.parse(file.read_text(encoding="utf-8"))) else f"{module} has no {name!r}"


def _names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def _arguments(
    thing: Thing, known: Known, path: Path, given: dict[str, Any], loaded: dict[str, Any]
) -> Iterator[Finding]:
    from pydantic import ValidationError

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
    yield from _keys(thing, known, path, config)
    yield from _times(thing, path, config, loaded)
    folders = [folder for pod in pods_of(thing) for _, c in pod.containers() for folder in mounts(c)]
    if config.model.path.startswith("/") and not below(config.model.path, folders):
        yield thing.wrong((*path, "model", "path"), f"{config.model.path} is on no volume of the pods")


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
        if pod.role != "worker":
            continue
        container = next(iter(pod.spec.get("containers") or [{}]))
        mount = next((m for m in container.get("volumeMounts") or () if m.get("mountPath") == folder), None)
        volumes = {v.get("name"): v for v in pod.spec.get("volumes") or ()}
        volume = volumes.get(mount["name"]) if mount else None
        secret = find(volume, ("secret", "secretName"))
        if mount is None:
            yield thing.wrong((*path, "auth", "keys_file"), f"the workers mount nothing at {folder or '/'}")
        elif secret and not known.missing("Secret", secret) and (problem := known.missing("Secret", secret, file)):
            yield thing.wrong((*path, "auth", "keys_file"), problem)


def _times(thing: Thing, path: Path, config: ServeConfig, loaded: dict[str, Any]) -> Iterator[Finding]:
    """deadline <= drain <= the pod's and the old cluster's time to go, and no HTTP timeout below the deadline."""
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
