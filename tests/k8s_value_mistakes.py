"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: values that the API server refuses."""

from __future__ import annotations

from k8s_mistakes import CLUSTER, HEAD, JOB, REDIS, WORKER, Mistakes

CONTAINER = f"{HEAD}.containers[0]"
OF_REDIS = "spec.template.spec"
DSHM = "            - {name: dshm, mountPath: /dev/shm}\n"
VOLUME = "          - {name: tmp, emptyDir: {}}\n          - {name: home, emptyDir: {}}\n          - {name: dshm"
REDIS_PORTS = "        ports: [{name: redis, containerPort: 6379}]\n"

TWICE: Mistakes = {
    "volume": (
        JOB, VOLUME, VOLUME.replace("- {name: dshm", "- {name: tmp, emptyDir: {}}\n          - {name: dshm"),
        f"{HEAD}.volumes[2].name", "an earlier entry has name 'tmp' too",
    ),
    "mounted place": (
        JOB, DSHM, f"{DSHM}            - {{name: store, mountPath: /tmp}}\n",
        f"{CONTAINER}.volumeMounts[3].mountPath", "an earlier entry has mountPath '/tmp' too",
    ),
    "variable": (
        JOB, "          - name: ray-head\n",
        "          - name: ray-head\n            env: [{name: HF_HOME, value: /a}, {name: HF_HOME, value: /b}]\n",
        f"{CONTAINER}.env[1].name", "an earlier entry has name 'HF_HOME' too",
    ),
    "port": (
        JOB, "{name: metrics, containerPort: 8080}]", "{name: metrics, containerPort: 8080}, {containerPort: 8080}]",
        f"{WORKER}.template.spec.containers[0].ports[1].containerPort",
        "has containerPort 8080, protocol 'TCP' too",
    ),
    "container": (
        JOB, "          - name: ray-worker\n",
        "          - {name: ray-worker, image: redis:7}\n          - name: ray-worker\n",
        f"{WORKER}.template.spec.containers[1].name", "an earlier entry has name 'ray-worker' too",
    ),
    "port of a plain pod": (
        REDIS, REDIS_PORTS, REDIS_PORTS.replace("}]", "}, {name: two, containerPort: 6379, protocol: TCP}]"),
        f"{OF_REDIS}.containers[0].ports[1].containerPort", "an earlier entry has containerPort 6379",
    ),
    "variable of a plain pod": (
        REDIS, "        env:\n", "        env:\n        - {name: REDIS_PASSWORD, value: none}\n",
        f"{OF_REDIS}.containers[0].env[1].name", "an earlier entry has name 'REDIS_PASSWORD' too",
    ),
}  # fmt: skip

BY_DEFINITION: Mistakes = {
    "port of a service": (
        JOB, "    headGroupSpec:\n",
        "    headGroupSpec:\n      headService: {spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}}\n",
        f"{CLUSTER}.headGroupSpec.headService.spec.ports[1].port", "an earlier entry has port 80, protocol 'TCP' too",
    ),
    "host": (
        JOB, "          serviceAccountName: ray-head\n",
        "          serviceAccountName: ray-head\n          hostAliases: [{ip: 10.0.0.1}, {ip: 10.0.0.1}]\n",
        f"{HEAD}.hostAliases[1].ip", "an earlier entry has ip '10.0.0.1' too",
    ),
}  # fmt: skip
"""What the lists of KubeRay's definitions say of their keys."""
