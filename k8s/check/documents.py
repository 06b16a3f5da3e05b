"""Files as documents, and documents as objects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s.check.findings import Finding
from toolace.errors import ConfigError
from toolace.settings_file import parse_yaml

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


def shown(file: Path) -> str:
    """A file as findings name it: relative to the working directory where it is below it."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative


def documents(file: Path, findings: list[Finding]) -> Iterator[Any]:
    """The documents of a YAML file; what cannot be read is a finding."""
    try:
        text = file.read_text(encoding="utf-8")
        for part in [text] if file.suffix == ".json" else _SEPARATOR.split(text):
            yield parse_yaml(part, "it")
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        findings.append(Finding(shown(file), ".", str(error)))


def items(document: Any) -> list[Any]:
    """The objects of a document: those in a List, or itself."""
    listed = isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list)
    return list(document["items"]) if listed else [document]


def settings_of(file: Path, findings: list[Finding]) -> dict[str, Any] | None:
    """The settings of a kustomization file; None where it has none, which is a finding."""
    found = list(documents(file, findings))
    if found and not isinstance(found[0], dict):
        findings.append(Finding(shown(file), ".", "a kustomization is a mapping"))
    return found[0] if found and isinstance(found[0], dict) else None
