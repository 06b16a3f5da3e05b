"""Import paths in manifests: held against the image's files and the installed packages, without importing anything."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

from k8s.check.brought import brought_by
from k8s.check.findings import Path, find
from k8s.check.image import Image, importable, source_of

_POLICY: Path = ("policy", "policy_function")
_OF_DEPLOYMENTS: tuple[Path, ...] = (
    ("request_router_config", "request_router_class"),
    ("autoscaling_config", *_POLICY),
)
_OURS = ("serve_apps", "ray_jobs", "toolace", "k8s", "tests", "benchmarks")


def import_problem(image: Image, target: str) -> str | None:
    """What is wrong with an import path `module:name` in an image."""
    module, colon, name = target.partition(":")
    if not colon:
        module, _, name = target.rpartition(".")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        return f"{target!r} is no import path: give module:name, such as package.module:function"
    file, theirs = image.module(module), False
    if file is None:
        theirs = module.partition(".")[0] not in _OURS and importable(module)
        if not theirs:
            return f"the image has no module {module!r}"
        file = source_of(module)
    if file is None or (theirs and importable(f"{module}.{name}")):
        return None
    names = _names(ast.parse(file.read_text(encoding="utf-8")).body)
    return None if name in names or not names.isdisjoint(("*", "__getattr__")) else f"{module} has no {name!r}"


def brings_code(runtime_env: Any, target: str) -> bool:
    """Whether the module of an import path may come with a runtime environment, about which nothing is known here."""
    return bool(find(runtime_env, ("working_dir",))) or brought_by(runtime_env).has_module(target.partition(":")[0])


def of_deployments(application: Any) -> Iterator[tuple[Path, str, bool]]:
    """Import paths beside the application's own: path, text, and whether its runtime environment brings code."""
    environment = application.get("runtime_env")
    policy: Path = ("autoscaling_policy", "policy_function")
    if isinstance(text := find(application, policy), str):
        yield policy, text, brings_code(environment, text)
    for index, deployment in enumerate(application.get("deployments") or ()):
        place: Path = ("deployments", index)
        mine = find(deployment, ("ray_actor_options", "runtime_env"))
        actors = find(deployment, ("deployment_actors",))
        fields = [*_OF_DEPLOYMENTS]
        fields += [("deployment_actors", at, "actor_class") for at in range(len(actors or ()))]
        for field in fields:
            if isinstance(text := find(deployment, field), str):
                yield (*place, *field), text, brings_code(environment, text) or brings_code(mine, text)


def without_imports(loaded: Any) -> Any:
    """A copy of a Serve configuration, or of a deployment's autoscaling, without what Ray's schemas would import."""
    loaded = copy.deepcopy(loaded)
    applications = find(loaded, ("applications",))
    holders = [(loaded, _POLICY)]
    for application in applications if isinstance(applications, list) else ():
        deployments = find(application, ("deployments",))
        for deployment in deployments if isinstance(deployments, list) else ():
            holders += [(deployment, field) for field in _OF_DEPLOYMENTS]
    for node, (*parents, last) in holders:
        holder = find(node, parents)
        if isinstance(holder, dict) and isinstance(holder.get(last), str):
            del holder[last]
    return loaded


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
