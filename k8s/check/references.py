"""Names that objects use of each other: what is mounted, taken into the environment, run as or selected exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.check.findings import Finding, Path, Thing, find
from k8s.check.quantities import amount
from k8s.check.ray_objects import Pod, cluster_of, pods_of
from k8s.check.rendering import EXPECTS, Scene

_NAME: Path = ("metadata", "name")
_MAKES_SECRET: dict[str, tuple[Path, ...]] = {
    "ExternalSecret": (("spec", "target", "name"), _NAME),
    "SealedSecret": (("spec", "template", *_NAME), _NAME),
    "Certificate": (("spec", "secretName"),),
}
"""Objects of others from which an operator makes a Secret, and where its name stands."""


class Known:
    """Objects of a scene by kind and name, and the keys of Secrets and ConfigMaps; None where these are not known."""

    def __init__(self, scene: Scene) -> None:
        # Kubernetes puts this one into every namespace.
        self._keys: dict[tuple[str, str], set[str] | None] = {("ConfigMap", "kube-root-ca.crt"): {"ca.crt"}}
        own = {thing.name for thing in scene.things if thing.kind == "Namespace"}
        self._usual = own.pop() if len(own) == 1 else None
        self._spaces: dict[tuple[str, str], set[str | None]] = {}
        for thing in scene.things:
            keys = None
            if thing.kind in ("Secret", "ConfigMap"):
                parts = (thing.data.get(part) for part in ("data", "stringData", "binaryData"))
                keys = {key for part in parts if isinstance(part, dict) for key in part}
            self._keys[thing.kind, thing.name] = keys
            self._spaces.setdefault((thing.kind, thing.name), set()).add(self.space(thing))
            if thing.kind in ("RayCluster", "RayService"):  # services that the operator makes
                self._keys |= {("Service", f"{thing.name}-{end}"): None for end in ("head-svc", "serve-svc")}
            for place in _MAKES_SECRET.get(thing.kind, ()):
                if name := thing.get(*place):
                    self._keys.setdefault(("Secret", str(name)), None)
                    break
        for thing in scene.things:
            for word in str((thing.get("metadata", "annotations") or {}).get(EXPECTS, "")).split():
                kind, _, rest = word.partition("/")
                name, _, key = rest.partition("/")
                found = self._keys.setdefault((kind, name), set() if key else None)
                if found is not None and key:
                    found.add(key)

    def keys(self, kind: str, name: str) -> set[str]:
        """The keys of a Secret or ConfigMap, as far as they are known."""
        return self._keys.get((kind, name)) or set()

    def space(self, thing: Thing) -> str | None:
        """The namespace of an object; None where that is the one of whoever applies it."""
        found = thing.get("metadata", "namespace") or self._usual
        return None if found is None else str(found)

    def elsewhere(self, thing: Thing, kind: str, name: str) -> str | None:
        """What is wrong with a reference to an object that only another namespace has."""
        there, mine = self._spaces.get((kind, name), set()), self.space(thing)
        if not there or {None, mine} & there or mine is None:
            return None
        return f"{kind} {name!r} is in the namespace {', '.join(sorted(map(str, there)))}, and this object in {mine}"

    def missing(self, kind: str, name: str, key: str | None = None) -> str | None:
        """What is wrong with a reference; None where it holds."""
        if (kind, name) not in self._keys:
            others = ", ".join(sorted(other for of, other in self._keys if of == kind)) or "none"
            return (
                f"there is no {kind} {name!r} (there is: {others}). Add it, or say in the annotation {EXPECTS} that it "
                "is made by hand"
            )
        keys = self._keys[kind, name]
        if key is not None and keys is not None and key not in keys:
            return f"{kind} {name!r} has no key {key!r} (it has: {', '.join(sorted(keys)) or 'none'})"
        return None


def check_references(scene: Scene) -> Iterator[Finding]:
    """Every reference of a scene that leads nowhere."""
    known = Known(scene)
    for thing in scene.things:
        for pod in pods_of(thing):
            yield from _pod(pod, known)
        yield from _ray(thing, known)
        if thing.kind == "Ingress":
            yield from _ingress(thing, known)


def _reference(thing: Thing, path: Path, known: Known, kind: str, name: Any, key: Any = None) -> Iterator[Finding]:
    problem = name and (known.missing(kind, str(name), None if key is None else str(key)))
    if problem := problem or (name and known.elsewhere(thing, kind, str(name))):
        yield thing.wrong(path, problem)


def _pod(pod: Pod, known: Known) -> Iterator[Finding]:
    thing, spec = pod.thing, pod.spec
    account = spec.get("serviceAccountName")
    if account and account != "default":
        yield from _reference(thing, (*pod.path, "serviceAccountName"), known, "ServiceAccount", account)
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        yield from _reference(
            thing, (*pod.path, "imagePullSecrets", index, "name"), known, "Secret", secret.get("name")
        )
    names = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        names.add(volume.get("name"))
        yield from _volume(thing, (*pod.path, "volumes", index), volume, known)
    for claim in thing.get("spec", "volumeClaimTemplates") or ():
        names.add(find(claim, ("metadata", "name")))
    containers = list(pod.containers())
    if pod.role == "head":  # the operator puts the autoscaler beside Ray, and a volume for the logs of both
        cluster, options = cluster_of(thing) or ((), {})
        autoscaler = ((*cluster, "autoscalerOptions"), options.get("autoscalerOptions") or {})
        logs = {"ray-logs"} if options.get("enableInTreeAutoscaling") else set()
        yield from _mounts(thing, [*containers, autoscaler], names | logs)
    else:
        yield from _mounts(thing, containers, names)
    for path, container in containers:
        yield from _environment(thing, path, container, known)
        yield from _limits(thing, path, container)


def _mounts(thing: Thing, containers: list[tuple[Path, dict[str, Any]]], names: set[Any]) -> Iterator[Finding]:
    for path, container in containers:
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("name") not in names:
                there = ", ".join(sorted(map(str, names))) or "none"
                where = (*path, "volumeMounts", index, "name")
                yield thing.wrong(where, f"the pod has no volume {mount.get('name')!r} (it has: {there})")


def _ingress(thing: Thing, known: Known) -> Iterator[Finding]:
    places: list[Path] = [("spec", "defaultBackend")]
    for index, rule in enumerate(thing.get("spec", "rules") or ()):
        paths = find(rule, ("http", "paths")) or ()
        places += [("spec", "rules", index, "http", "paths", at, "backend") for at in range(len(paths))]
    for place in places:
        where = (*place, "service", "name")
        yield from _reference(thing, where, known, "Service", thing.get(*where))


def _volume(thing: Thing, path: Path, volume: dict[str, Any], known: Known) -> Iterator[Finding]:
    claim = find(volume, ("persistentVolumeClaim", "claimName"))
    where = (*path, "persistentVolumeClaim", "claimName")
    yield from _reference(thing, where, known, "PersistentVolumeClaim", claim)
    places = [((*path, kind), kind, volume.get(kind)) for kind in ("secret", "configMap")]
    for index, source in enumerate(find(volume, ("projected", "sources")) or ()):
        places += [
            ((*path, "projected", "sources", index, kind), kind, source.get(kind)) for kind in ("secret", "configMap")
        ]
    for at, kind, source in places:
        if not isinstance(source, dict) or source.get("optional"):
            continue
        field = "secretName" if kind == "secret" and "secretName" in source else "name"
        named = "Secret" if kind == "secret" else "ConfigMap"
        yield from _reference(thing, (*at, field), known, named, source.get(field))
        for index, item in enumerate(source.get("items") or ()):
            if not known.missing(named, str(source.get(field))):
                place = (*at, "items", index, "key")
                yield from _reference(thing, place, known, named, source.get(field), item.get("key"))


def _environment(thing: Thing, path: Path, container: dict[str, Any], known: Known) -> Iterator[Finding]:
    for index, variable in enumerate(container.get("env") or ()):
        yield from value_from(thing, (*path, "env", index), variable, known)
    for index, source in enumerate(container.get("envFrom") or ()):
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            named = source.get(field)
            if isinstance(named, dict) and not named.get("optional"):
                where = (*path, "envFrom", index, field, "name")
                yield from _reference(thing, where, known, kind, named.get("name"))


def value_from(thing: Thing, path: Path, variable: Any, known: Known) -> Iterator[Finding]:
    """A variable's value from a Secret or ConfigMap: both and the key must be there."""
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        named = find(variable, ("valueFrom", field))
        if isinstance(named, dict) and not named.get("optional"):
            end = "key" if not known.missing(kind, str(named.get("name"))) else "name"
            where = (*path, "valueFrom", field, end)
            yield from _reference(thing, where, known, kind, named.get("name"), named.get("key"))


def _limits(thing: Thing, path: Path, container: dict[str, Any]) -> Iterator[Finding]:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    for name, asked in (resources.get("requests") or {}).items():
        wanted, allowed = amount(asked), amount(limits.get(name))
        if wanted is not None and allowed is not None and wanted > allowed:
            where = (*path, "resources", "requests", name)
            yield thing.wrong(where, f"asks for {asked}, above its limit {limits[name]}")


def _ray(thing: Thing, known: Known) -> Iterator[Finding]:
    path, spec = cluster_of(thing) or ((), {})
    secret = find(spec, ("authOptions", "secretName"))
    yield from _reference(thing, (*path, "authOptions", "secretName"), known, "Secret", secret, "auth_token")
    for field in ("redisPassword", "redisUsername"):
        place = (*path, "gcsFaultToleranceOptions", field)
        yield from value_from(thing, place, find(spec, ("gcsFaultToleranceOptions", field)), known)
    address = str(find(spec, ("gcsFaultToleranceOptions", "redisAddress")) or "")
    host = address.rpartition("://")[2].partition(":")[0]
    if host and "." not in host and (problem := known.missing("Service", host)):
        yield thing.wrong((*path, "gcsFaultToleranceOptions", "redisAddress"), problem)
