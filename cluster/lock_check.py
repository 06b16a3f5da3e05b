"""Whether a lock resolves as it stands and names all that it brings: python -m cluster.lock_check [FILE]

pip resolves it without installing anything, and from an index that has wheels' metadata without downloading them:
about half a minute for the GPU image, whose wheels have several GB. It answers for the interpreter and system that it
runs on: CPython 3.11 on Linux x86-64, as in the images.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(text: str) -> dict[str, str]:
    """Version by package of a lock."""
    return {plain(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)}


def differences(pins: dict[str, str], report: dict[str, Any]) -> list[str]:
    """What pip would install and the lock does not say, and the other way round."""
    found = {plain(one["metadata"]["name"]): one["metadata"]["version"] for one in report["install"]}
    told = []
    for name in sorted({*pins, *found}):
        ours, theirs = pins.get(name), found.get(name)
        if ours is None or theirs is None or ours != theirs.partition("+")[0]:  # local builds, such as 2.13.0+cpu
            told.append(f"{name}: pinned {ours or 'not at all'}, installed {theirs or 'not at all'}")
    return told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cluster.lock_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "requirements" / "gpu.txt")
    file = parser.parse_args(arguments).file
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    command += ["--ignore-installed", "--report", "-", "--requirement", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"error: {file} does not resolve; what pip says is above", file=sys.stderr)
        return 1
    pins = pins_of(file.read_text(encoding="utf-8"))
    told = differences(pins, json.loads(done.stdout))
    for line in told:
        print(f"{file}: {line}", file=sys.stderr)
    if not told:
        print(f"{file.name}: {len(pins)} packages resolve as they are pinned")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
