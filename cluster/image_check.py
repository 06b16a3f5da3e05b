"""The steps of a Dockerfile, done in a clean environment on this machine: python -m cluster.image_check [DIR]

COPY and RUN are carried out as they stand, in the order of the file, with a virtual environment in the place of the
base image's Python. What needs the base image's own system is left out and said: packages of the distribution, users.
Then commands are tried in the image's working directory, with its environment.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from k8s.check.image import ROOT, instructions

TRIED = (
    'python -c "import toolace, vllm, serve_apps.refine; print(toolace.__file__)"',
    "toolace doctor",
    "ray --version",
    "python ray_jobs/train_rounds.py --config configs/demo.yaml --set root={place}/runs --dry-run",
    "python cluster/drain.py --help",
)
"""What must work in the image; `{place}` is a directory for what they write."""


class Build:
    """A Dockerfile being carried out below a directory, whose folder `image` stands for the top of the image."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.workdir = place / "image"
        self.environment = {
            "PATH": f"{place / 'venv' / 'bin'}{os.pathsep}/usr/local/bin:/usr/bin:/bin",
            "HOME": str(place / "home"),
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")},
        }
        (place / "home").mkdir(parents=True)
        venv.create(place / "venv", with_pip=True)

    def follow(self, dockerfile: Path) -> None:
        """Carry out all instructions. Raises `CalledProcessError` for a RUN that fails."""
        for word, rest in instructions(dockerfile.read_text(encoding="utf-8")):
            if word == "WORKDIR":
                self.workdir = self._at(rest)
                self.workdir.mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    self.environment[name] = str(self._at(value)) if value.startswith("/") else value
            elif word == "COPY" and not rest.startswith("--from"):
                *sources, target = shlex.split(rest)
                for source in sources:
                    self._copy(ROOT / source, target)
            elif word == "RUN" and "apt-get" in rest:
                print(f"left out, for it needs the base image's system: {rest}", flush=True)
            elif word == "RUN":
                self.run(rest)

    def run(self, command: str) -> None:
        """Run a command of the image."""
        print(f"$ {command}", flush=True)
        subprocess.run(["sh", "-c", command], cwd=self.workdir, env=self.environment, check=True)

    def _at(self, path: str) -> Path:
        return self.place / "image" / path.lstrip("/")

    def _copy(self, source: Path, target: str) -> None:
        place = self.workdir / target
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            return
        place = place / source.name if target.endswith("/") else place
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cluster.image_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dockerfile", type=Path, default=ROOT / "cluster" / "Dockerfile.cpu")
    parser.add_argument("place", nargs="?", type=Path, help="an empty or new directory; unset: one that is deleted")
    options = parser.parse_args(arguments)
    place = (options.place or Path(tempfile.mkdtemp(prefix="toolace-image-"))).resolve()
    if place.exists() and any(place.iterdir()):
        print(f"error: {place} is not empty. Give a new directory", file=sys.stderr)
        return 1
    try:
        build = Build(place)
        build.follow(options.dockerfile)
        for command in TRIED:
            build.run(command.format(place=shlex.quote(str(place))))
    except subprocess.CalledProcessError as error:
        print(f"error: {error.cmd[-1]!r} of {options.dockerfile} ended with {error.returncode}", file=sys.stderr)
        return 1
    finally:
        if options.place is None:
            shutil.rmtree(place, ignore_errors=True)
    print(f"{options.dockerfile.name}: all steps and commands work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
