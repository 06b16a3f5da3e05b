"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: shapes, names of each other, sizes, rights."""

from __future__ import annotations

from k8s_mistakes import BUDGET, CLUSTER, HEAD, JOB, REDIS, SERVICE, WORKER, Mistakes

POLICIES, STORE, METRICS = "networkpolicies.yaml", "pvc.yaml", "metrics.yaml"

GENERAL: Mistakes = {
    "field of metadata": (
        JOB, "  name: train\n", "  name: train\n  lables: {a: b}\n",
        "metadata.lables", "no field 'lables'",
    ),
    "annotation that is no text": (
        JOB, "    toolace/expects:", "    toolace/tries: 2\n    toolace/expects:",
        "metadata.annotations[toolace/tries]", "2 is not of type 'string'",
    ),
    "manager that is none": (JOB, "  backoffLimit", "  managedBy: me\n  backoffLimit", "spec.managedBy", "none of"),
    "manager of a cluster": (JOB, "    rayVer", "    managedBy: me\n    rayVer", f"{CLUSTER}.managedBy", "none of"),
    "group of Kubernetes": (
        POLICIES, "networking.k8s.io", "networking.k8s.oi", "apiVersion", "did you mean networking.k8s.io?"
    ),
    "group of budgets": (BUDGET, "policy/v1", "policyy/v1", "apiVersion", "did you mean policy?"),
    "group of Ray": (SERVICE, "ray.io/v1\n", "ray.oi/v1\n", "apiVersion", "did you mean ray.io?"),
    "group of others": (METRICS, "monitoring.coreos.com", "monitoring.coreos.co", "apiVersion", "coreos.com?"),
    "version misspelled": (STORE, "apiVersion: v1", "apiVersio: v1", ".", "is missing (there is 'apiVersio')"),
    "kind misspelled": (STORE, "kind: Pers", "kinds: Pers", ".", "kind is missing (there is 'kinds')"),
    "no mapping": (STORE, "apiVersion: v1", "- a\n---\napiVersion: v1", ".", "not a mapping"),
    "memory": (
        REDIS, 'limits: {cpu: "1", memory: 1Gi}', 'limits: {cpu: "1", memory: 1Gib}',
        "spec.template.spec.containers[0].resources.limits.memory", "'1Gib' is no quantity",
    ),
    "storage": (STORE, "100Gi", "100GiB", "spec.resources.requests.storage", "'100GiB' is no quantity"),
    "cores": (
        JOB, '{cpu: "4", memory: 12Gi}', '{cpu: "4 cores", memory: 12Gi}',
        f"{WORKER}.template.spec.containers[0].resources.requests.cpu", "no quantity",
    ),
    "size of a volume": (JOB, "Limit: 3Gi", "Limit: 3 Gi", f"{HEAD}.volumes[2].emptyDir.sizeLimit", "no quantity"),
    "less than nothing": (STORE, "100Gi", "-100Gi", "spec.resources.requests.storage", "below 0"),
}  # fmt: skip
