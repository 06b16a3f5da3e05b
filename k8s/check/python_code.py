"""Python inside a command line, `python -c TEXT`, and what the image has to import."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from pathlib import Path

from k8s.check.image import ROOT, Image, importable
from k8s.check.import_paths import import_problem

_OURS = ("toolace", "ray_jobs", "serve_apps", "cluster", "k8s", "benchmarks", "tests")


def import_problems(image: Image, text: str) -> Iterator[str]:
    """Imports of the project's modules, and of names in them, that the image has not."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        if "$" not in text:
            yield f"is no Python: {error.msg}: {text[:60]!r}"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules, names = [alias.name for alias in node.names], []
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules, names = [node.module], [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            if module.partition(".")[0] not in _OURS:
                continue
            if not _has(image, module):
                yield f"the image has no module {module!r}"
                continue
            wanted = [name for name in names if name != "*" and not name.startswith("__")]
            missing = [name for name in wanted if not _has(image, f"{module}.{name}")]
            yield from (problem for name in missing for problem in served_problem(image, f"{module}:{name}"))


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
