"""What is in the project's images, read from their Dockerfiles: files, commands, versions."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import posixpath
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = ROOT / "cluster"
_SHELL = "sh bash env cd exec export test true false echo sleep cat ls cp rm mkdir"
SYSTEM = frozenset([*_SHELL.split(), "python", "python3", "pip", "wget"])
"""Commands of the base image, and words of its shell, that manifests may use."""


@dataclass
class Image:
    """One image: `title` as its label says it, where commands run, and the files of the repository in it."""

    title: str
    workdir: str
    files: dict[str, Path] = field(default_factory=dict)
    """Absolute path in the image: the same file here."""
    environment: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    """Locked version by package."""

    def file(self, path: str) -> Path | None:
        """The file here that is at a path in the image, relative ones from the working directory."""
        return self.files.get(posixpath.normpath(posixpath.join(self.workdir, path)))

    def module(self, name: str) -> Path | None:
        """The file of a module that is imported from PYTHONPATH or from the installed package."""
        parts = name.split(".")
        if parts[0] == "toolace":  # installed into site-packages
            base = ROOT.joinpath(*parts)
            return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)
        for folder in self.environment.get("PYTHONPATH", self.workdir).split(":"):
            for end in (".py", "/__init__.py"):
                found = self.files.get(posixpath.join(folder, *parts) + end)
                if found is not None:
                    return found
        return None


@cache
def images() -> dict[str, Image]:
    """The project's images by title."""
    found = (
        read_dockerfile(file) for file in sorted(DOCKERFILES.glob("Dockerfile.*")) if file.suffix != ".dockerignore"
    )
    return {image.title: image for image in found}


def image_of(reference: str) -> Image | None:
    """The image that a reference such as `registry/toolace-cpu:0.1.0` means; None for somebody else's."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return images().get(name)


def image_for(reference: str, text: str) -> Image | None:
    """The image that a reference means; for one by another name, ours where a command or path speaks of our files."""
    ours = re.search(r"(?<![\w./-])(ray_jobs/|serve_apps\.|toolace(?=[ .]))", text)
    return image_of(reference) or (next(iter(images().values()), None) if ours else None)


def is_ours(reference: str) -> bool:
    """Whether a reference looks like an image of this project, be it one that nothing builds."""
    return reference.rpartition("/")[2].startswith("toolace")


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    split = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in split]


def read_dockerfile(file: Path) -> Image:
    """The last stage of a Dockerfile. What it copies from an earlier stage is the Python installation."""
    image = Image(file.name, "/")
    for word, rest in instructions(file.read_text(encoding="utf-8")):
        if word == "FROM":
            image = Image(file.name, "/", versions=image.versions)
        elif word == "WORKDIR":
            image.workdir = rest
        elif word == "LABEL":
            labels = dict(part.split("=", 1) for part in shlex.split(rest))
            image.title = labels.get("org.opencontainers.image.title", image.title)
        elif word == "ENV":
            image.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
            for source in sources:
                _copy(image, source, target)
    return image


def _copy(image: Image, source: str, target: str) -> None:
    place = posixpath.normpath(posixpath.join(image.workdir, target))
    here = ROOT / source
    if here.is_dir():
        for file in sorted(here.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                image.files[posixpath.join(place, file.relative_to(here).as_posix())] = file
    elif here.is_file():
        image.files[posixpath.join(place, here.name) if target.endswith("/") else place] = here
        if here.parent.name == "requirements":
            pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", here.read_text(encoding="utf-8"), re.MULTILINE)
            image.versions |= {name.lower(): version for name, version in pins}


@cache
def commands() -> frozenset[str]:
    """Console scripts of the packages here, which are those of the lock, and the base image's commands."""
    scripts = {entry.name for entry in importlib.metadata.entry_points(group="console_scripts")}
    return SYSTEM | scripts | {"toolace"}


def importable(module: str) -> bool:
    """Whether a module of an installed package is here."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
