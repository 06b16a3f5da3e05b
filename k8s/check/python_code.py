"""Python inside a command line: `python -c TEXT`."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator

from k8s.check.image import ROOT, Image

_OURS = ("toolace", "ray_jobs", "serve_apps", "cluster", "k8s", "benchmarks", "tests")


def import_problems(image: Image, text: str) -> Iterator[str]:
    """Imports of the project's modules that the image has not."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        if "$" not in text:
            yield f"is no Python: {error.msg}: {text[:60]!r}"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in _OURS and not _has(image, name):
                yield f"the image has no module {name!r}"


def _has(image: Image, name: str) -> bool:
    """Whether the image has a module, or a folder that can be imported as one."""
    parts = name.split(".")
    if image.module(name) is not None or (parts[0] == "toolace" and ROOT.joinpath(*parts).is_dir()):
        return True
    folders = image.environment.get("PYTHONPATH", image.workdir).split(":")
    starts = tuple(f"{posixpath.join(folder, *parts)}/" for folder in folders)
    return parts[0] != "toolace" and any(file.startswith(starts) for file in image.files)
