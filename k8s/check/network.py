"""Network policies: those who must talk to each other may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Thing, find
from k8s.check.neighbours import check_neighbours
from k8s.check.ray_objects import Pod, cluster_of, pods_of, selects
from k8s.check.rendering import Scene

_HEAD_SERVICE = re.compile(r"://([a-z0-9-]+)-head-svc[a-z0-9.-]*:([0-9]+)")
_OTHER_PORT = 20002
"""One of the ports that Ray's workers choose."""


def check_network(scene: Scene) -> Iterator[Finding]:
    """Connections that a scene needs, and that its policies do not allow; and slips in the names of others."""
    policies = [thing for thing in scene.things if thing.kind == "NetworkPolicy"]
    if not policies:
        return
    yield from check_neighbours(scene)
    pods = [pod for thing in scene.things for pod in pods_of(thing) if pod.role]
    lost = [pod for pod in pods if _is_denied_all(pod, policies)]
    for pod in lost:
        said = f"{_who(pod)} may not talk to anybody: of the policies only those without rules select these labels"
        yield pod.thing.wrong((*pod.path[:-1], "metadata", "labels"), said)
    yield from _without_names([pod for pod in pods if pod not in lost], policies)
    told: set[tuple[str, str]] = set()
    for thing in scene.things:
        for start, end, port in _needed(thing, scene):
            if start in lost or end in lost:
                continue
            for policy, direction in _refusals(policies, start, end, port):
                if (policy.name, direction) not in told:
                    said = f"{_who(start)} cannot reach {_who(end)} at port {port}: no policy of theirs allows it"
                    yield policy.wrong(("spec", direction), said)
                told.add((policy.name, direction))


def _is_denied_all(pod: Pod, policies: list[Thing]) -> bool:
    """Whether policies shut a pod off in both directions, as one does that denies all, and none opens anything."""
    mine = [
        [one for one in policies if _is_about(one, direction, pod) and _same_space(one, pod)]
        for direction in ("ingress", "egress")
    ]
    rules = [one.get("spec", direction) for both in mine for one in both for direction in ("ingress", "egress")]
    return all(mine) and not any(rules)


def _without_names(pods: list[Pod], policies: list[Thing]) -> Iterator[Finding]:
    """Pods of Ray that may call some and cannot ask for their addresses: they know each other by name."""
    for pod in pods:
        mine = [one for one in policies if _is_about(one, "egress", pod) and _same_space(one, pod)]
        if mine and not any(_lets_ask(rule) for one in mine for rule in one.get("spec", "egress") or ()):
            policy = next((one for one in mine if one.get("spec", "egress")), mine[0])
            yield policy.wrong(("spec", "egress"), f"{_who(pod)} cannot ask for names: no rule allows port 53, UDP")


def _lets_ask(rule: dict[str, Any]) -> bool:
    """Whether a rule lets pods of other namespaces, or addresses, be asked at DNS' port."""
    peers = rule.get("to") or [{"ipBlock": {}}]
    ports = rule.get("ports") or [{"port": 53, "protocol": "UDP"}]
    return any("ipBlock" in peer or "namespaceSelector" in peer for peer in peers) and any(
        one.get("protocol", "TCP") == "UDP" and (one.get("port") in (None, 53, "dns", "53") or "endPort" in one)
        for one in ports
    )


def _who(pod: Pod) -> str:
    return f"the {pod.role}'s pods of {pod.thing.name}" if pod.role else f"the pods of {pod.thing.name}"


def _needed(thing: Thing, scene: Scene) -> Iterator[tuple[Pod, Pod, int]]:
    """Who calls whom on behalf of an object, at which port."""
    pods = list(pods_of(thing)) if thing.group == "ray.io" else []
    heads, nodes = [p for p in pods if p.role == "head"], [p for p in pods if p.role in ("head", "worker")]
    for start in nodes:
        yield from ((start, end, 6379) for end in heads)
        yield from ((start, end, _OTHER_PORT) for end in nodes)
    yield from ((start, end, 8265) for start in pods if start.role == "submit" for end in heads)
    for name, port in _HEAD_SERVICE.findall(str(thing.get("spec", "entrypoint") or "")):
        others = (one for one in scene.things if one.name == name and cluster_of(one))
        yield from (
            (start, end, int(port)) for one in others for end in pods_of(one) if end.role == "head" for start in heads
        )
    _, spec = cluster_of(thing) or ((), {})
    address = str(find(spec, ("gcsFaultToleranceOptions", "redisAddress")) or "")
    host, _, port = address.rpartition("://")[2].partition(":")
    services = (one for one in scene.things if one.kind == "Service" and one.name == host.partition(".")[0])
    for service in services:
        labels = service.get("spec", "selector") or {}
        ends = [pod for one in scene.things for pod in pods_of(one) if labels and labels.items() <= pod.labels.items()]
        listed = [one for one in service.get("spec", "ports") or () if str(one.get("port")) == (port or "6379")]
        targets = [one.get("targetPort", one["port"]) for one in listed]
        yield from ((start, end, _number(end, one)) for one in targets for end in ends for start in heads)


def _number(pod: Pod, port: int | str) -> int:
    """A port that may be given by a name that a container has for it."""
    named = (one for _, container in pod.containers() for one in container.get("ports") or ())
    numbers = [one.get("containerPort") for one in named if one.get("name") == port]
    return int(numbers[0] if numbers else port if str(port).isdigit() else 0)


def _refusals(policies: list[Thing], start: Pod, end: Pod, port: int) -> Iterator[tuple[Thing, str]]:
    """For each direction in which a connection is refused: a policy that speaks of the pod, and the direction."""
    for direction, peers, own, other in (("egress", "to", start, end), ("ingress", "from", end, start)):
        mine = [one for one in policies if _is_about(one, direction, own) and _same_space(one, own)]
        rules = [rule for one in mine for rule in one.get("spec", direction) or ()]
        if mine and not any(_allows(rule, peers, other, end, port) for rule in rules):
            yield next((one for one in mine if one.get("spec", direction)), mine[0]), direction


def _same_space(policy: Thing, pod: Pod) -> bool:
    return bool(policy.get("metadata", "namespace") == pod.thing.get("metadata", "namespace"))


def _is_about(policy: Thing, direction: str, pod: Pod) -> bool:
    types = policy.get("spec", "policyTypes") or ["Ingress", *(["Egress"] if policy.get("spec", "egress") else [])]
    return direction.capitalize() in types and selects(policy.get("spec", "podSelector") or {}, pod)


def _allows(rule: dict[str, Any], peers: str, other: Pod, end: Pod, port: int) -> bool:
    ports = rule.get("ports") or []
    if ports and not any(_is_port(one, end, port) for one in ports):
        return False
    given = rule.get(peers) or []
    return not given or any(_is_peer(one, other) for one in given)


def _is_port(given: dict[str, Any], end: Pod, port: int) -> bool:
    if given.get("protocol", "TCP") != "TCP":
        return False
    first = given.get("port")
    return first is None or _number(end, first) <= port <= int(given.get("endPort") or _number(end, first))


def _is_peer(peer: dict[str, Any], pod: Pod) -> bool:
    """Whether a pod is among those of a rule. Addresses and other labels of namespaces pass: they are not here."""
    if "ipBlock" in peer:
        return True
    space = find(peer, ("namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"))
    mine = pod.thing.get("metadata", "namespace")
    if space and mine and space != mine:
        return False
    if space and not mine:
        return False
    return selects(peer.get("podSelector") or {}, pod)
