"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: values that the API server refuses."""

from __future__ import annotations

from k8s_mistakes import CLUSTER, HEAD, JOB, REDIS, WORKER, Mistakes
from k8s_object_mistakes import POLICIES, STORE

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

ACCOUNT = "          serviceAccountName: ray-head\n"
NAME = "          - name: ray-head\n"


def of_pod(lines: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """The head's pod says more."""
    return JOB, ACCOUNT, f"{ACCOUNT}          {lines}\n", f"{HEAD}.{path}", words


def of_container(lines: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """The head's container says more."""
    return JOB, NAME, f"{NAME}            {lines}\n", f"{CONTAINER}.{path}", words


STORE_MOUNT, STORE_CLAIM = "{name: store, mountPath: /mnt/store}", "{claimName: store}"
DNS = "    ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n"
LEVEL = "pod-security.kubernetes.io/enforce"


def beside(lines: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """An object stands before the claim."""
    return STORE, "apiVersion: v1\n", f"{lines}---\napiVersion: v1\n", path, words


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
SCALER = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: s}\n"

VALUES: Mistakes = {
    "Secret in plain text": beside(f"{SECRET}data: {{a: pass-word}}\n", "data.a", "is not in base64"),
    "Secret without its padding": beside(f"{SECRET}data: {{a: YWI}}\n", "data.a", "stringData takes plain text"),
    "binary data in plain text": beside(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\nbinaryData: {a: a b}\n", "binaryData.a", "not in base64"
    ),
    "fewest of a scaler above most": beside(
        f"{SCALER}spec: {{minReplicas: 3, maxReplicas: 2, scaleTargetRef: {{kind: Deployment, name: a}}}}\n",
        "spec.minReplicas", "above maxReplicas (2)",
    ),
    "object twice": beside(f"{SECRET}---\n{SECRET}", "metadata.name", "pvc.yaml has this object too"),
    "object twice in one namespace": beside(
        f"{SECRET}---\n{SECRET.replace('name: s', 'name: s, namespace: toolace')}", "metadata.name", "this object too",
    ),
    "object without a name": beside(SECRET.replace("name: s", ""), "metadata.name", "name is missing"),
    "job without a name": (JOB, "  name: train\n", "  labels: {a: b}\n", "metadata.name", "name is missing"),
    "store that is read only": (
        JOB, STORE_MOUNT, STORE_MOUNT.replace("}", ", readOnly: true}"),
        f"{CONTAINER}.volumeMounts[3].readOnly", "is written there by the head's pods",
    ),
    "claim that is read only": (
        JOB, STORE_CLAIM, STORE_CLAIM.replace("}", ", readOnly: true}"),
        f"{HEAD}.volumes[3].persistentVolumeClaim.readOnly", "is written there by the head's pods",
    ),
    "level of a namespace": (
        "namespace.yaml", "enforce: restricted", "enforce: restrictd",
        f"metadata.labels[{LEVEL}]", "'restrictd' is none of privileged, baseline, restricted",
    ),
    "claim without a size": (STORE, "{storage: 100Gi}", "{}", "spec.resources.requests.storage", "storage is missing"),
    "access of a claim": (STORE, "ReadWriteMany]", "ReadWriteAll]", "spec.accessModes[0]", "'ReadWriteAll' is none of"),
    "claim without an access": (STORE, "accessModes: [ReadWriteMany]", "accessModes: []", "spec.accessModes", "miss"),
    "access of a template's claim": (
        REDIS, "[ReadWriteOnce]", "[ReadWriteOne]", "spec.volumeClaimTemplates[0].spec.accessModes[0]", "none of",
    ),
    "type of a policy": (POLICIES, "[Ingress, Egress]", "[Ingres, Egress]", "spec.policyTypes[0]", "'Ingres' is none"),
    "names of addresses": of_pod("dnsPolicy: ClusterFrist", "dnsPolicy", "'ClusterFrist' is none of"),
    "pull of an image": of_container("imagePullPolicy: IfAbsent", "imagePullPolicy", "'IfAbsent' is none of"),
    "spread": of_pod(
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: Schedule}]",
        "topologySpreadConstraints[0].whenUnsatisfiable", "'Schedule' is none of",
    ),
    "toleration": of_pod("tolerations: [{key: a, effect: NoSchedul}]", "tolerations[0].effect", "'NoSchedul' is none"),
    "medium of a volume": (JOB, "medium: Memory", "medium: memory", f"{HEAD}.volumes[2].emptyDir.medium", "'memory'"),
    "restart of a set": (
        REDIS, "      automountServiceAccountToken", "      restartPolicy: Never\n      automountServiceAccountToken",
        f"{OF_REDIS}.restartPolicy", "'Never' is none of Always",
    ),
    "port that is none": (
        REDIS, "containerPort: 6379", "containerPort: 66379", f"{OF_REDIS}.containers[0].ports[0].containerPort",
        "66379 is no port",
    ),
    "port of a service that is none": (REDIS, "port: 6379,", "port: 0,", "spec.ports[0].port", "0 is no port"),
    "long name of a port": (
        JOB, "name: gcs-server,", "name: port-of-the-gcs-server,", f"{CONTAINER}.ports[0].name", "no name of a port",
    ),
    "value of a label": (
        JOB, "toolace/node: train-head", "toolace/node: train head",
        f"{CLUSTER}.headGroupSpec.template.metadata.labels[toolace/node]", "no value of a label",
    ),
    "volume of two sources": (
        JOB, "{name: dshm, emptyDir: {", "{name: dshm, configMap: {name: a, optional: true}, emptyDir: {",
        f"{HEAD}.volumes[2]", "several sources: configMap, emptyDir",
    ),
    "variable of two values": of_container(
        "env: [{name: HF_HOME, value: /a, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]",
        "env[0].valueFrom", "HF_HOME has a value already",
    ),
    "dashboard for itself": (
        JOB, "dashboard-host: 0.0.0.0", "dashboard-host: 127.0.0.1",
        f"{CLUSTER}.headGroupSpec.rayStartParams.dashboard-host", "no submitter and no operator",
    ),
    "policy without names": (
        POLICIES, DNS, DNS.replace("53", "5353"),
        "spec.egress", "the head's pods of train cannot ask for names",
    ),
    "half a GPU": (
        JOB, 'limits: {cpu: "4", memory: 12Gi}', 'limits: {cpu: "4", memory: 12Gi, nvidia.com/gpu: "0.5"}',
        f"{WORKER}.template.spec.containers[0].resources.limits[nvidia.com/gpu]", "no whole number",
    ),
}  # fmt: skip
