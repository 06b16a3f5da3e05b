"""Which Ray cluster a job runs on: its own, one of the scene that it selects, or one that nobody here knows."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from k8s.check.findings import Finding, Path, Thing
from k8s.check.groups import RAY
from k8s.check.rendering import Scene

NAME = "ray.io/cluster"
"""The label by which a selector names a cluster: the operator reads no other."""
_SELECTOR: Path = ("spec", "clusterSelector")


def cluster_for(job: Thing, scene: Scene) -> Thing | None:
    """The object with the cluster that a RayJob runs on; None where it is not in the scene."""
    selector = job.get(*_SELECTOR)
    if not isinstance(selector, dict) or not selector:
        return job
    there = list(_clusters(job, scene))
    if NAME in selector:
        return next((one for one in there if one.name == str(selector[NAME])), None)
    found = [one for one in there if selector.items() <= (one.get("metadata", "labels") or {}).items()]
    return found[0] if len(found) == 1 else None


def check_selector(job: Thing, scene: Scene) -> Iterator[Finding]:
    """A selector with a slip in the name of a cluster of the scene."""
    name = str(job.get(*_SELECTOR, NAME) or "")
    if not name or cluster_for(job, scene):
        return
    near = next((one.name for one in _clusters(job, scene) if _is_slip(name, one.name)), None)
    if near:
        yield job.wrong((*_SELECTOR, NAME), f"there is no RayCluster {name!r}: did you mean {near}?")


def unknown_clusters(scene: Scene) -> Iterator[str]:
    """What is not checked of jobs that run on clusters of which nothing is here."""
    for job in scene.things:
        if job.group == RAY and job.kind == "RayJob" and job.get("spec", "entrypoint") and not cluster_for(job, scene):
            yield (
                f"what RayJob {job.name} runs on a cluster that it selects and that is not among the objects: only "
                "what is this project's own is checked there"
            )


def _clusters(job: Thing, scene: Scene) -> Iterator[Thing]:
    space = job.get("metadata", "namespace")
    for thing in scene.things:
        if thing.group == RAY and thing.kind == "RayCluster":
            theirs = thing.get("metadata", "namespace")
            if theirs == space or None in (theirs, space):
                yield thing


def _is_slip(name: str, known: str) -> bool:
    """Whether a name is another with a slip in a word; other numbers and short words make a name of its own."""
    words, others = name.split("-"), known.split("-")
    if len(words) != len(others):
        return False
    return all(
        one == two
        or (
            min(len(one), len(two)) > 3
            and [letter for letter in one if letter.isdigit()] == [letter for letter in two if letter.isdigit()]
            and (sorted(one) == sorted(two) or SequenceMatcher(None, one, two).ratio() > 0.85)
        )
        for one, two in zip(words, others, strict=True)
    )
