"""The shipped manifests with something planted in them, and what the checker says of a place."""

from __future__ import annotations

import shutil
from pathlib import Path

from k8s.check.findings import Finding

SHIPPED = Path(__file__).resolve().parent.parent / "k8s"
NO_CRDS = Path("no-such-folder")


def plant(folder: Path, tmp_path: Path, file: str, old: str, new: str) -> Path:
    """A copy of a folder with one mistake in it."""
    copy = tmp_path / "manifests"
    shutil.copytree(folder, copy)
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r} any more: plant the mistake elsewhere"
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return copy


def at(findings: list[Finding], file: str, path: str) -> list[str]:
    return [one.message for one in findings if Path(one.file).name == file and one.path == path]
