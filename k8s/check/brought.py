"""What comes to a command beside its image: the files, modules and programs of a Ray runtime environment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from k8s.check.findings import find

REMOTE = "$WORKING_DIR"
"""The folder of a command whose files come from elsewhere: a word that the shell alone would know."""
_OURS = ("toolace", "ray_jobs", "serve_apps")
_PACKAGES = ("pip", "uv", "conda")


@dataclass(frozen=True)
class Brought:
    """What a command may find that its image has not. `folder`: where it runs, if its environment says so."""

    folder: str | None = None
    modules: bool = False
    """Whether there are modules of which nothing is known here."""
    packages: bool = False
    """Whether packages are installed, with modules and programs."""
    own: bool = False
    """Whether the project's own package may be among them, in another version."""
    paths: frozenset[str] = frozenset()
    """`PATH` and `PYTHONPATH` where the environment sets them."""

    def has_module(self, name: str) -> bool:
        """Whether a module that the image has not may be among what is brought."""
        return self.modules or (self.packages and (name.partition(".")[0] not in _OURS or self.own))

    def replaces(self) -> bool:
        """Whether modules that the image has too may be found before them."""
        return self.own or self.folder == REMOTE

    def has_program(self, name: str, known: Iterable[str]) -> bool:
        """Whether a program that the image has not may be brought. Packages bring any, files none with a slip in it."""
        return self.packages or (self.folder == REMOTE and not get_close_matches(name, known, 1, 0.85))


NOTHING = Brought()
ANYTHING = Brought(REMOTE, modules=True, packages=True, own=True)


def brought_by(environment: Any) -> Brought:
    """What a runtime environment brings."""
    if not isinstance(environment, dict):
        return Brought()
    folder = str(environment.get("working_dir") or "") or None
    remote = folder is not None and ("://" in folder or "$" in folder or folder.endswith(".zip"))
    packages = [given for field in _PACKAGES if (given := environment.get(field))]
    modules = environment.get("py_modules")
    named = json.dumps([folder if remote else None, modules, packages], default=str)
    # What a list of packages holds, or a conda environment by its name, is not known here.
    unread = any(isinstance(one, str) or isinstance(find(one, ("packages",)), str) for one in packages)
    variables = environment.get("env_vars")
    return Brought(
        REMOTE if remote else folder,
        modules=remote or bool(modules),
        packages=bool(packages),
        own=unread or "toolace" in named,
        paths=frozenset({"PATH", "PYTHONPATH"}.intersection(variables if isinstance(variables, dict) else ())),
    )
