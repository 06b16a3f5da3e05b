"""Where a command line stands, and which places it finds: in the image, on volumes, or made by earlier commands."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from k8s.check import base_image
from k8s.check.image import ROOT, Image, below
from k8s.check.mounted import Mounted

_UNKNOWN = frozenset("$*?[{`")
"""Characters of words that become others in the shell."""


@dataclass
class Places:
    """The places that commands in an image find. `mounted`: the volumes of their container."""

    image: Image
    mounted: Mounted
    at: str
    """The folder where the next command runs; with a `$` in it where that is not known."""
    made: list[str] = field(default_factory=list)
    """Places that earlier commands may have made."""
    has_run: bool = False
    """Whether a program ran of which nobody here knows what it has made beside its results."""

    def is_there(self, place: str) -> bool:
        """Whether a place is in the image, on a volume, made earlier, or not known."""
        full = self.full(place)
        if "$" in full or place.startswith("~") or below(full, self.made):
            return True
        return self.mounted.holds(self.image, full)

    def full(self, place: str) -> str:
        """The absolute path of a place."""
        return posixpath.normpath(posixpath.join(self.at, place))

    def has(self, place: str) -> bool:
        """Whether what a program reads is there, be it elsewhere or its input."""
        return "://" in place or place == "-" or self.is_there(place)

    def text(self, place: str) -> str | None:
        """The text of a file in a volume or in the image; None where it is not known here."""
        full = self.full(place)
        file = self.image.file(full)
        if self.mounted.has(full):
            return self.mounted.files.get(full)
        return file.read_text(encoding="utf-8") if file else None

    def missing(self, place: str) -> str:
        """The finding about a place that is not there."""
        return f"the image has no file {place!r} (from {self.at})"

    def lacks(self, place: str) -> bool:
        """Whether a folder that the image fills, or leaves empty, has not what an ordinary program reads there.

        Other folders are left alone, as are places that a program may have made that ran before.
        """
        full = self.full(place)
        folder = posixpath.dirname(full)
        filled = folder != self.image.workdir and below(folder, [self.image.workdir]) and self.image.holds(folder)
        if (
            not _UNKNOWN.isdisjoint(place)
            or not below(full, [self.image.workdir, *base_image.EMPTY])
            or self.has(place)
        ):
            return False
        return filled or not self.has_run

    def change(self, folder: str) -> str | None:
        """Go to a folder. What is wrong with that, if anything."""
        if folder.startswith(("-", "~")) or not _UNKNOWN.isdisjoint(folder):
            self.at = posixpath.join(self.at, "$PWD")
        elif not self.is_there(folder):
            return f"the image has no folder {folder!r} (from {self.at})"
        else:
            self.at = self.full(folder)
        return None

    def model_problem(self, model: str) -> str | None:
        """Why a model is not to be had in the image; None for a hub's and those in object storage."""
        if model.startswith("builtin:"):
            return shipped_problem(model)
        local = model.startswith((".", "/", "~")) or model.count("/") > 1 or model.startswith("runs/")
        if not local or self.has(model):
            return None
        return f"model {model!r} is not in the image, and on no volume of the pod that something fills"


def shipped_problem(model: str) -> str | None:
    """Why a model `builtin:NAME` is none that ships."""
    shipped = sorted(file.parent.name for file in (ROOT / "toolace" / "assets").glob("*/config.json"))
    name = model.removeprefix("builtin:")
    return None if name in shipped else f"no model {model!r} ships. There is: builtin:{', builtin:'.join(shipped)}"
