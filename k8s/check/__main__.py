"""Check manifests: python -m k8s.check [DIR] [--crds FOLDER]

Prints one line a finding and ends with exit code 1 where there is any; 2 where it could not check. What was left out,
and why, goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from k8s.check.clusters import unknown_clusters
from k8s.check.contents import check_contents, foreign_images
from k8s.check.documents import shown
from k8s.check.findings import Finding, printable
from k8s.check.identity import check_identity
from k8s.check.image import ROOT
from k8s.check.lists import check_lists
from k8s.check.network import check_network
from k8s.check.ports import check_ports
from k8s.check.quantities import check_quantities
from k8s.check.references import check_references
from k8s.check.rendering import Scene, read_scenes
from k8s.check.rights import check_rights
from k8s.check.room import check_room
from k8s.check.rules import check_ray
from k8s.check.schemas import Schemas
from k8s.check.selectors import check_policy_labels, check_selectors
from k8s.check.serving import check_serving
from k8s.check.start import check_start
from k8s.check.unchecked import checked, checked_alone
from k8s.check.values import check_values
from toolace.errors import ToolaceError

CRDS = Path(os.environ.get("KUBERAY_CRDS") or ROOT.parent / "shared" / "kuberay-crds")

PARTS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    check_identity,
    check_quantities,
    check_lists,
    check_values,
    check_ray,
    check_start,
    check_contents,
    check_serving,
    check_references,
    check_selectors,
    check_ports,
    check_network,
    check_rights,
    check_room,
)

ACROSS = (check_references, check_selectors, check_ports, check_network)
"""Parts that look for names, of which some are missing where a file could not be read."""
_SEVERAL = ("entrypoint", "command", "args", "spec.ingress", "spec.egress", "annotations[toolace/expects]")
"""Fields in which more than one thing may be wrong."""


def check(folder: Path, crds: Path = CRDS) -> tuple[list[Finding], set[str]]:
    """Findings of a folder, in order, each once; and what could not be checked, with the reason.

    Raises `ToolaceError` where there is nothing to check, or nothing to render with.
    """
    scenes, findings = read_scenes(folder)
    schemas = Schemas(crds)
    for scene in scenes:
        for thing in scene.things:
            schemas.declare(thing)
    told: list[Finding] = []
    for scene in scenes:
        for thing in scene.things:
            told += checked_alone(schemas.check, thing)
        for part in PARTS:
            if not (scene.partial and part in ACROSS):
                findings += checked(part, scene, told)
    if not any(scene.partial for scene in scenes):
        everything = Scene(shown(folder), [thing for scene in scenes for thing in scene.things])
        findings += checked(lambda one: check_policy_labels([one]), everything, told)
    findings = told + findings
    foreign: set[str] = set()
    unread: set[str] = set()
    for scene in scenes:
        with suppress(Exception):  # of which the parts speak
            foreign.update(foreign_images(scene))
            unread.update(unknown_clusters(scene))
    named = ", ".join(sorted(foreign))
    if foreign:
        unread.add(f"what is in {named}: no images of cluster/, so commands and variables there are not checked")
    return _one_each(findings), schemas.skipped | unread


def _one_each(findings: list[Finding]) -> list[Finding]:
    """Findings in order, each once, and of an object's field the first: later rules often speak of the same slip."""
    first = {(one.file, one.path, one.message.rpartition("(")[2]): one for one in reversed(findings)}
    several = [one for one in findings if one.path == "." or one.path.endswith(_SEVERAL)]
    return sorted({*first.values(), *several})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m k8s.check", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "k8s", metavar="DIR", help="default: k8s/")
    parser.add_argument(
        "--crds", type=Path, default=CRDS, help="KubeRay's definitions ($KUBERAY_CRDS; ../shared/kuberay-crds)"
    )
    arguments = parser.parse_args()
    try:
        findings, skipped = check(arguments.folder, arguments.crds)
    except ToolaceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for reason in sorted(skipped):
        print(f"skipped: {printable(reason)}", file=sys.stderr)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings in {printable(str(arguments.folder))}", file=sys.stderr)
    sys.exit(2 if any(one.unchecked for one in findings) else 1 if findings else 0)


if __name__ == "__main__":
    main()
