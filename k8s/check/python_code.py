"""Python inside a command line, `python -c TEXT`, and what the image has to import."""

from __future__ import annotations

import ast
import importlib.metadata
import posixpath
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from k8s.check.image import ROOT, Image, importable
from k8s.check.import_paths import import_problem

_OURS = ("toolace", "ray_jobs", "serve_apps", "cluster", "k8s", "benchmarks", "tests")


_OF_OTHER_VERSIONS = frozenset(
    (
        "asynchat", "asyncore", "distutils", "imp", "smtpd", "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt",
        "imghdr", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau",
        "telnetlib", "uu", "xdrlib",
    )
)  # fmt: skip
"""Modules of the image's Python that newer ones do not have."""


def import_problems(image: Image, text: str, brought: Callable[[str], bool] = lambda name: False) -> Iterator[str]:
    """Imports that the image has not: of modules, and of names in the project's own.

    `brought`: whether a module of others may be there beside the image.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        if "$" not in text:
            yield f"is no Python: {error.msg}: {text[:60]!r}"
        return
    tried = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules, names = [alias.name for alias in node.names], []
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules, names = [node.module], [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            if module.partition(".")[0] not in _OURS:
                may_be = id(node) in tried or "sys.path" in text or brought(module)
                if not may_be and (problem := _others_problem(image, module.partition(".")[0])):
                    yield problem
                continue
            if not _has(image, module):
                yield f"the image has no module {module!r}"
                continue
            wanted = [name for name in names if name != "*" and not name.startswith("__")]
            missing = [name for name in wanted if not _has(image, f"{module}.{name}")]
            yield from (problem for name in missing for problem in served_problem(image, f"{module}:{name}"))


def _others_problem(image: Image, name: str) -> str | None:
    """Why a module of others is not in the image. Where packages of the image are not here, only a slip can be told."""
    if name in _OF_OTHER_VERSIONS or importable(name) or _has(image, name):
        return None
    near = get_close_matches(name, _known(), 1, 0.8)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"the image has no module {name!r}{hint}" if near or all(map(_is_here, image.versions)) else None


@cache
def _known() -> tuple[str, ...]:
    return (*sys.stdlib_module_names, *importlib.metadata.packages_distributions())


@cache
def _is_here(package: str) -> bool:
    try:
        return bool(importlib.metadata.distribution(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def served_problem(image: Image, target: str) -> Iterator[str]:
    """What is wrong with an import path `module:name`."""
    if problem := import_problem(image, target):
        yield problem


def module_problem(image: Image, name: str) -> str | None:
    """Why `python -m NAME` runs nothing."""
    return None if image.module(name) or importable(name) else f"the image has no module {name!r}"


def runnable(image: Image, name: str) -> Path | None:
    """The file of the project that `python -m NAME` runs; None where that is another's."""
    file = image.module(name)
    return image.module(f"{name}.__main__") if file and file.name == "__init__.py" else file


def _has(image: Image, name: str) -> bool:
    """Whether the image has a module, or a folder that can be imported as one."""
    parts = name.split(".")
    if image.module(name) is not None or (parts[0] == "toolace" and ROOT.joinpath(*parts).is_dir()):
        return True
    folders = image.environment.get("PYTHONPATH", image.workdir).split(":")
    starts = tuple(f"{posixpath.join(folder, *parts)}/" for folder in folders)
    return parts[0] != "toolace" and any(file.startswith(starts) for file in image.files)
