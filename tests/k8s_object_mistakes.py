"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: shapes, names of each other, sizes, rights."""

from __future__ import annotations

from k8s_mistakes import BUDGET, CLUSTER, HEAD, JOB, REDIS, ROUNDS, SERVICE, WORKER, Mistakes

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
    "group of budgets": (BUDGET, "policy/v1", "policyy/v1", "apiVersion", "is a kind of policy/v1"),
    "group of Ray": (SERVICE, "ray.io/v1\n", "ray.oi/v1\n", "apiVersion", "is a kind of ray.io/v1"),
    "group of others": (METRICS, "monitoring.coreos.com", "monitoring.coreos.co", "apiVersion", "coreos.com?"),
    "version misspelled": (STORE, "apiVersion: v1", "apiVersio: v1", "apiVersion", "is missing (there is 'apiVersio')"),
    "kind misspelled": (STORE, "kind: Pers", "kinds: Pers", "kind", "kind is missing (there is 'kinds')"),
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

TRAIN, SERVE = "{app.kubernetes.io/component: train}", "{app.kubernetes.io/component: serve}"
CONTAINER = f"{HEAD}.containers[0]"
HEAD_STARTS = '{num-cpus: "0", dashboard-host'

EACH_OTHER: Mistakes = {
    "target of a service": (
        REDIS,
        "targetPort: redis",
        "targetPort: rediss",
        "spec.ports[0].targetPort",
        "no container",
    ),
    "target of the metrics": (
        METRICS,
        "targetPort: metrics",
        "targetPort: metric",
        "spec.ports[0].targetPort",
        "has a port",
    ),
    "port of a probe": (
        REDIS,
        "tcpSocket: {port: redis}",
        "tcpSocket: {port: rediss}",
        "spec.template.spec.containers[0].readinessProbe.tcpSocket.port",
        "has no port 'rediss'",
    ),
    "port of Redis": (
        SERVICE,
        "redis:6379",
        "redis:6380",
        "spec.rayClusterConfig.gcsFaultToleranceOptions.redisAddress",
        "no port 6380",
    ),
    "port of the dashboard": (
        JOB,
        "containerPort: 8265",
        "containerPort: 8266",
        f"{CONTAINER}.ports[1].containerPort",
        "8265",
    ),
    "port that the head is started with": (
        JOB,
        HEAD_STARTS,
        HEAD_STARTS.replace("{", '{port: "6380", '),
        f"{CONTAINER}.ports[0].containerPort",
        "on 6380",
    ),
    "selector of a set": (
        REDIS,
        "    matchLabels: {app.kubernetes.io/component: redis}",
        "    matchLabels: {app.kubernetes.io/component: redi}",
        "spec.selector.matchLabels",
        "of its own template",
    ),
    "monitor of nothing": (
        METRICS,
        "matchLabels: {app.kubernetes.io/component: metrics}",
        "matchLabels: {app.kubernetes.io/component: metric}",
        "spec.selector.matchLabels",
        "selects nothing",
    ),
    "monitored port": (
        METRICS,
        "- port: metrics",
        "- port: metric",
        "spec.endpoints[0].port",
        "no port 'metric' there",
    ),
    "policy about nobody": (
        POLICIES,
        f"  podSelector:\n    matchLabels: {SERVE}",
        "  podSelector:\n    matchLabels: {app.kubernetes.io/component: sevre}",
        "spec.podSelector.matchLabels",
        "did you mean serve?",
    ),
    "policy that lets nobody": (
        POLICIES,
        "redis}\n    ports",
        "rediss}\n    ports",
        "spec.egress[1].to[0].podSelector.matchLabels",
        "did you mean redis?",
    ),
    "cluster that may not talk to itself": (
        POLICIES,
        f"  egress:\n  - to:\n    - podSelector:\n        matchLabels: {TRAIN}\n  - to: # promotion",
        "  egress:\n  - to:",
        "spec.egress",
        "the head's pods of train cannot reach the head's pods of train",
    ),
    "submitter that may not submit": (
        POLICIES,
        "component: submit}\n    - namespace",
        "component: redis}\n    - namespace",
        "spec.ingress",
        "the submit's pods",
    ),
    "budget of more than there is": (BUDGET, "minAvailable: 1", "minAvailable: 2", "spec.minAvailable", "1 such pods"),
}

RUNNING: Mistakes = {
    "parameter of the start": (
        JOB,
        HEAD_STARTS,
        HEAD_STARTS.replace("cpus", "cpu"),
        f"{CLUSTER}.headGroupSpec.rayStartParams.num-cpu",
        "did you mean num-cpus?",
    ),
    "number of the start": (
        JOB,
        HEAD_STARTS,
        HEAD_STARTS.replace('"0"', "none"),
        f"{CLUSTER}.headGroupSpec.rayStartParams.num-cpus",
        "no whole number",
    ),
    "time to begin": (
        SERVICE,
        "timeout: 30m",
        "timeout: 30 minutes",
        "metadata.annotations[ray.io/initializing-timeout]",
        "no dur",
    ),
    "submitter without an end": (
        JOB,
        "restartPolicy: Never",
        "restartPolicy: Always",
        "spec.submitterPodTemplate.spec.restartPolicy",
        "a Job takes",
    ),
    "root": (JOB, "runAsUser: 1000", "runAsUser: 0", f"{HEAD}.securityContext.runAsUser", "restricted"),
    "rights to be had later": (
        JOB,
        "allowPrivilegeEscalation: false",
        "allowPrivilegeEscalation: true",
        f"{CONTAINER}.securityContext.allowPrivilegeEscalation",
        "must be false",
    ),
    "rights of the autoscaler": (
        SERVICE,
        "allowPrivilegeEscalation: false",
        "privileged: true",
        "spec.rayClusterConfig.autoscalerOptions.securityContext.privileged",
        "must be false",
    ),
    "capabilities": (
        JOB,
        "drop: [ALL]",
        "drop: [NET_RAW]",
        f"{CONTAINER}.securityContext.capabilities.drop",
        "drop ALL",
    ),
    "seccomp": (
        REDIS,
        "        seccompProfile: {type: RuntimeDefault}\n",
        "",
        "spec.template.spec.containers[0].securityContext.seccompProfile",
        "RuntimeDefault",
    ),
    "volume of the host": (
        JOB,
        "{name: tmp, emptyDir: {}}",
        "{name: tmp, hostPath: {path: /tmp}}",
        "spec.submitterPodTemplate.spec.volumes[0].hostPath",
        "no such volumes",
    ),
    "autoscaler without a token": (
        JOB,
        "serviceAccountName: ray-head",
        "serviceAccountName: ray-worker",
        f"{HEAD}.serviceAccountName",
        "has no token",
    ),
    "no limits": (
        JOB,
        '              limits: {cpu: "4", memory: 12Gi}\n',
        "",
        f"{WORKER}.template.spec.containers[0].resources.limits",
        "no limit of cpu and memory",
    ),
    "requests below limits": (
        JOB,
        'requests: {cpu: "4", memory: 12Gi}',
        'requests: {cpu: "2", memory: 12Gi}',
        f"{WORKER}.template.spec.containers[0].resources.requests",
        "are not limits",
    ),
    "training that never fits": (
        JOB,
        ROUNDS,
        f"{ROUNDS} --set train.workers=9",
        "spec.entrypoint",
        "at most 8 fit the cluster's nodes",
    ),
    "engine that fits no node": (
        SERVICE,
        "cpus: 2\n",
        "cpus: 5\n",
        "spec.serveConfigV2.applications[0].args",
        "at most 0 fit",
    ),
}
