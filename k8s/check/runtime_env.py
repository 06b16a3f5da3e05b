"""Runtime environments of Ray, of jobs and of what is served: fields, values, variables."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

from k8s.check.findings import Path
from k8s.check.image import Image
from k8s.check.import_paths import brings_code, import_problem
from k8s.check.mounted import Mounted
from k8s.check.variables import unknown


def problems(given: Any, image: Image | None, mounted: Mounted, own: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """What is wrong with a runtime environment, with the path in it.

    `image`: the project's that it is for, if any. `own`: names of variables that commands beside it expand.
    """
    if not isinstance(given, dict):
        yield (), "is not a mapping"
        return
    from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig

    # Ray keeps `nsight`, say, under another name than the one that it takes.
    fields = RuntimeEnv.known_fields | {name for name in signature(RuntimeEnv).parameters if not name.startswith("_")}
    fields -= {"kwargs"}
    for key in sorted(map(str, given.keys() - fields)):
        yield (key,), f"there is no field {key!r} in a runtime environment"
    config = given.get("config")
    odd = sorted(config.keys() - RuntimeEnvConfig.known_fields) if isinstance(config, dict) else []
    for key in odd:
        yield ("config", key), f"there is no field {key!r} in a runtime environment's config: Ray ignores it"
    known = {key: value for key, value in given.items() if key in fields}
    if odd:
        del known["config"]
    # Ray looks for folders on this machine; they are meant to be in the image.
    for field in ("working_dir", "py_modules"):
        places = _places(known.get(field))
        for place in places:
            if image and not mounted.holds(image, place):
                yield (field,), f"the image has no folder {place!r}"
        if places:
            del known[field]
    # So it does for lists of packages, where a field names a file: the one of this checkout says nothing.
    for field, place in _lists(known):
        if image and not mounted.holds(image, place):
            yield (field,), f"the image has no file {place!r}: Ray opens it where the job is sent, in {image.workdir}"
        del known[field]
    hook = known.get("worker_process_setup_hook")
    if image and isinstance(hook, str) and ":" in hook:
        yield ("worker_process_setup_hook",), f"{hook!r} has a colon: Ray takes a path such as package.module.function"
    elif image and isinstance(hook, str) and not brings_code(given, hook) and (problem := import_problem(image, hook)):
        yield ("worker_process_setup_hook",), problem
    python = known.get("py_executable")
    if image and isinstance(python, str) and python.split():
        program = python.split()[0]
        if not (mounted.holds(image, program) if "/" in program else program in image.commands()):
            yield ("py_executable",), f"the image has no command {program!r}"
    try:
        RuntimeEnv(**known)
    except Exception as error:  # Ray raises several unrelated types here
        yield (), f"Ray refuses it: {error}"
        return
    for name in known.get("env_vars") or {}:
        if problem := unknown(str(name), ours=image is not None, own=own):
            yield ("env_vars", str(name)), problem


def _lists(known: dict[str, Any]) -> list[tuple[str, str]]:
    """Fields that name a file of packages or a folder of conda's, and its place. A conda environment's name is none."""
    found = [(field, known.get(field)) for field in ("pip", "uv", "conda")]
    named = [(field, place) for field, place in found if isinstance(place, str)]
    return [
        (field, place)
        for field, place in named
        if field != "conda" or place.startswith("/") or place.endswith((".yaml", ".yml"))
    ]


def _places(value: Any) -> list[str]:
    """Those of one or several folders that are paths, not addresses."""
    return [
        str(place) for place in (value if isinstance(value, list) else [value]) if place and "://" not in str(place)
    ]
