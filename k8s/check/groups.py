"""API groups: Kubernetes' own, and those of other projects that manifests often hold."""

from __future__ import annotations

from difflib import get_close_matches

BUILT_IN = frozenset(
    ["", "apps", "batch", "autoscaling", "policy"]
    + [
        f"{name}.k8s.io"
        for name in (
            "admissionregistration", "apiextensions", "apiregistration", "authentication", "authorization",
            "certificates", "coordination", "discovery", "events", "flowcontrol.apiserver", "internal.apiserver",
            "networking", "node", "rbac.authorization", "resource", "scheduling", "storage", "storagemigration",
        )
    ]
)  # fmt: skip
RAY = "ray.io"
RAY_KINDS = ("RayCluster", "RayJob", "RayService", "RayCronJob")
"""The kinds of KubeRay 1.7; definitions may have others."""
OTHERS = frozenset(
    (
        "monitoring.coreos.com", "kueue.x-k8s.io", "jobset.x-k8s.io", "leaderworkerset.x-k8s.io", "cluster.x-k8s.io",
        "multicluster.x-k8s.io",
        "gateway.networking.k8s.io", "inference.networking.k8s.io", "inference.networking.x-k8s.io",
        "snapshot.storage.k8s.io", "metrics.k8s.io", "policy.networking.k8s.io", "autoscaling.k8s.io",
        "cert-manager.io", "acme.cert-manager.io", "trust.cert-manager.io", "external-secrets.io",
        "secrets-store.csi.x-k8s.io", "bitnami.com", "keda.sh", "argoproj.io", "kustomize.toolkit.fluxcd.io",
        "source.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "networking.istio.io", "security.istio.io",
        "telemetry.istio.io", "cilium.io", "crd.projectcalico.org", "projectcalico.org", "traefik.io",
        "projectcontour.io", "karpenter.sh", "karpenter.k8s.aws", "eks.amazonaws.com", "cloud.google.com",
        "networking.gke.io", "compute.gke.io", "nvidia.com", "resource.nvidia.com", "scheduling.run.ai",
        "scheduling.volcano.sh", "batch.volcano.sh", "scheduling.x-k8s.io", "kai.scheduler", "kubeflow.org",
        "trainer.kubeflow.org", "serving.knative.dev", "serving.kserve.io", "sparkoperator.k8s.io",
        "opentelemetry.io", "grafana.integreatly.org", "loki.grafana.com", "kyverno.io", "templates.gatekeeper.sh",
        "constraints.gatekeeper.sh", "velero.io", "redis.redis.opstreelabs.in", "databases.spotahome.com",
        "postgresql.cnpg.io", "minio.min.io", "ceph.rook.io", "objectbucket.io", "longhorn.io",
        "route.openshift.io", "security.openshift.io", "operators.coreos.com",
    )
)  # fmt: skip
"""Groups whose schemas are not at hand: their objects are left out, with a word."""

_REMOVED = frozenset(("extensions", "auditregistration.k8s.io", "settings.k8s.io"))
"""Groups that Kubernetes had."""


def is_anothers(group: str) -> bool:
    """Whether a group may be one of another project, which has kinds of its own. A name without a dot cannot."""
    own = group in BUILT_IN or group in _REMOVED
    return not own and "." in group and (group in OTHERS or not f".{group}".endswith(".k8s.io"))


def misplaced(kind: str, group: str, places: dict[str, tuple[str, ...]]) -> str | None:
    """Why an object of a kind cannot be in a group. `places`: Kubernetes' kinds, each with its API versions."""
    if kind in RAY_KINDS:
        return None if group == RAY else f"{kind} is a kind of {RAY}/v1"
    if group not in BUILT_IN and not is_anothers(group) and kind in places:
        return f"{kind} is a kind of {' or '.join(places[kind])}"
    return f"Kubernetes has no group {group!r} any more" if group in _REMOVED else None


def misspelled_group(group: str) -> str | None:
    """Why a group looks like a slip; None for one that is known, or like no other."""
    known = sorted((BUILT_IN | OTHERS | {RAY}) - {""})
    near = get_close_matches(group, known, 1, 0.8)
    return f"no API group {group!r} is known: did you mean {near[0]}?" if near and group not in known else None
