"""Changes of the shipped manifests, and manifests of others, in which nothing is wrong."""

from __future__ import annotations

from k8s_image_mistakes import RUN
from k8s_mistakes import JOB, SERVICE
from k8s_place_mistakes import CONFIG, END_OF_JOB, IMAGE, NAMED, RAY_HEAD, RAY_WORKER, STARTS

Changes = tuple[tuple[str, str, str], ...]
RESTRICTED = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"
VOLUMES = "          volumes:\n          - {name: tmp, emptyDir: {}}\n          - {name: home, emptyDir: {}}\n"


def filled(at: str, container: str) -> Changes:
    """Another container of the head's pod has its disk."""
    given = f"image: 'busybox:1.36', {RESTRICTED}, volumeMounts: [{{name: tmp, mountPath: /tmp}}]"
    return (JOB, at, container.replace("GIVEN", given)), (JOB, CONFIG, "/tmp/t.yaml")


def environment(names: str, command: str) -> Changes:
    """The head has variables, and the job is another command."""
    given = ", ".join(f'{{name: {name}, value: "1"}}' for name in names.split())
    return (JOB, RAY_HEAD, f"{RAY_HEAD}            env: [{given}]\n"), (JOB, RUN, command)


IMPORT = "      import_path: serve_apps.refine:build_app\n"


def deployed(said: str, application: str = "") -> Changes:
    """The application says more, and of a deployment."""
    return ((SERVICE, IMPORT, f"      {application}deployments: [{{name: ingress, {said}}}]\n{IMPORT}"),)


STORE_VOLUME = "          - {name: store, persistentVolumeC"
QUEUE = f"{NAMED}  labels: {{kueue.x-k8s.io/queue-name: toolace}}\n"

RUNTIME_ENV = '  runtimeEnvYAML: |\n    env_vars:\n      RAY_JOB_STOP_WAIT_TIME_S: "60"\n'

CHANGED: dict[str, Changes] = {
    "a policy of scaling that comes with a zip": deployed(
        'autoscaling_config: {policy: {policy_function: "autoscaling_policy:scheduled_batch_processing_policy"}}',
        'runtime_env: {working_dir: "https://example.com/code.zip"}\n      ',
    ),
    "a policy of scaling of Ray, and more replicas than one": deployed(
        'num_replicas: auto, autoscaling_config: {min_replicas: 2, policy: {policy_function: '
        '"ray.serve.autoscaling_policy:default_autoscaling_policy"}}',
    ),
    "a disk that a container before it fills": filled(
        f"          containers:\n{RAY_HEAD}",
        f"          initContainers:\n          - {{name: a, GIVEN}}\n          containers:\n{RAY_HEAD}",
    ),
    "a disk that a container beside it fills": filled(VOLUMES, f"          - {{name: a, GIVEN}}\n{VOLUMES}"),
    "own variables": environment("BUCKET RUNS", RUN.replace("/mnt/store/runs", "s3://$BUCKET/${RUNS}")),
    "own variable of a hook": (
        (SERVICE, "            # Replicas", '            env: [{name: DRAIN_S, value: "690"}]\n            # Replicas'),
        (SERVICE, '--deadline, "690"]', '--deadline, "$(DRAIN_S)"]'),
    ),
    "own variable of a text": environment("SHARD", f"python -c 'import os; os.environ[\"SHARD\"]'; {RUN}"),
    "a sidecar that may use more than it asks for": (
        (JOB, VOLUMES, "          - {name: a, image: 'fluent/fluent-bit:3.1', resources: {requests: {cpu: 50m}, "
         f"limits: {{cpu: 100m}}}}, {RESTRICTED}}}\n{VOLUMES}"),
    ),
    "a name of the server's": ((JOB, "  name: train\n", "  generateName: train-\n"),),
    "rules of a deletion": (
        (JOB, END_OF_JOB, "  deletionStrategy: {deletionRules: [{policy: DeleteCluster, condition: {jobStatus: FAILED, "
         "ttlSeconds: 5}}, {policy: DeleteSelf, condition: {jobStatus: FAILED, ttlSeconds: 9}}]}\n"),
    ),
    "resources of the start": (
        (JOB, STARTS, STARTS.replace("{", r"{resources: '" + r'"{\"disk\": 2}"' + "', ")),
        (JOB, "rayStartParams: {}", "rayStartParams: {resources: '{\"disk\": 2}'}"),
    ),
    "what an entrypoint asks for": (
        (JOB, "  backoffLimit: 2\n", "  backoffLimit: 2\n  entrypointNumCpus: 4\n  entrypointNumGpus: 0.5\n"
         """  entrypointResources: '{"disk": 1.5, "node:__internal_head__": 0.001}'\n"""),
        (JOB, "rayStartParams: {}", """rayStartParams: {num-gpus: "1", resources: '{"disk": 2}'}"""),
    ),
    "a hook of the image, and packages of a volume": (
        (JOB, "    env_vars:\n", "    worker_process_setup_hook: toolace.settings_file.parse_yaml\n"
         "    pip: /mnt/store/packages.txt\n    env_vars:\n"),
    ),
    "a runtime environment that is empty": ((JOB, RUNTIME_ENV, '  runtimeEnvYAML: ""\n'),),
    "a runtime environment of a remark": ((JOB, RUNTIME_ENV, "  runtimeEnvYAML: |\n    # Nothing yet.\n"),),
    "profilers": ((JOB, "    env_vars:\n", "    nsight: default\n    rocprof_sys: default\n    env_vars:\n"),),
    "a hook that comes with a zip": (
        (JOB, "    env_vars:\n", "    worker_process_setup_hook: mine.hook\n"
         "    working_dir: https://example.com/code.zip\n    env_vars:\n"),
    ),
    "the certificates that every namespace has": (
        (JOB, STORE_VOLUME, "          - {name: ca, configMap: {name: kube-root-ca.crt, "
         "items: [{key: ca.crt, path: a}]}}\n" + STORE_VOLUME),
    ),
    "a queue of Kueue, whose webhook says suspend": ((JOB, NAMED, QUEUE),),
    "a queue of Kueue beside what its webhook changes": (
        (JOB, NAMED, QUEUE), (JOB, "  backoffLimit: 2\n", "  backoffLimit: 2\n  suspend: false\n"),
    ),
    "images for other hardware": (
        (JOB, RAY_HEAD + IMAGE, f"{RAY_HEAD}            image: rayproject/ray:2.60.0"),
        (JOB, RAY_WORKER + IMAGE, f"{RAY_WORKER}            image: rayproject/ray:2.60.0-gpu"),
        (JOB, "- name: submit\n        image: toolace-cpu", "- name: submit\n        image: rayproject/ray:2.60.0"),
        (JOB, RUN, "python /home/ray/mine.py"),
    ),
}  # fmt: skip

SAMPLE = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: raycluster-complete}
spec:
  rayVersion: '2.52.0'
  headGroupSpec:
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-head
          image: rayproject/ray:2.52.0
          ports: [{containerPort: 6379, name: gcs-server}, {containerPort: 8265, name: dashboard}]
          lifecycle: {preStop: {exec: {command: ["/bin/sh", "-c", "ray stop"]}}}
          volumeMounts: [{mountPath: /tmp/ray, name: ray-logs}]
          resources: {limits: {cpu: "1", memory: 2G}, requests: {cpu: "1", memory: 2G}}
        volumes: [{name: ray-logs, emptyDir: {}}]
  workerGroupSpecs:
  - replicas: 1
    minReplicas: 1
    maxReplicas: 10
    groupName: small-group
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-worker
          image: rayproject/ray:2.52.0
          resources: {limits: {cpu: "1", memory: 1G}, requests: {cpu: "1", memory: 1G}}
"""
USER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1.27', envFrom: [{secretRef: {name: s}}]}]}
"""
OCTAL = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers: [{name: c, image: 'nginx:1.27', volumeMounts: [{name: s, mountPath: /s}]}]
  volumes: [{name: s, secret: {secretName: s, optional: true, defaultMode: 0o440}}]
"""
DIRECTIVE = f"# Its directive comes first.\n%YAML 1.1\n---{OCTAL}"
FAILURES = """
apiVersion: batch/v1
kind: Job
metadata: {name: a}
spec:
  podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: 'nginx:1.27'}]}
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: store}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
"""
PATCH = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: store}\nspec: {storageClassName: nfs}\n"
OF_OTHERS: dict[str, dict[str, str]] = {
    "KubeRay's sample": {"a.yaml": SAMPLE},
    "a Secret of an operator": {
        "a.yaml": USER, "b.yaml": "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: s}\n"
    },
    "a Secret of an operator by another name": {
        "a.yaml": USER, "b.yaml": "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\n"
        "spec: {target: {name: s}}\n",
    },
    "a sealed Secret": {
        "a.yaml": USER, "b.yaml": "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: s}\n"
    },
    "a directive, and the octal numbers of YAML 1.2": {"a.yaml": DIRECTIVE},
    "a condition of pods whose status is the usual one": {"a.yaml": FAILURES},
    "a Secret in lines": {
        "a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: |\n    YWJj\n    ZGVm\n"
    },
    "objects of one name in folders of their own": {"a/a.yaml": CLAIM, "b/a.yaml": CLAIM},
    "an object of a company": {"a.yaml": "apiVersion: mycompany.io/v1\nkind: Foo\nmetadata: {name: a}\n"},
    "patches in the old form": {
        "kustomization.yaml": "resources: [pvc.yaml]\npatchesStrategicMerge: [p.yaml]\n", "pvc.yaml": CLAIM,
        "p.yaml": PATCH,
    },
    "transformers": {
        "kustomization.yaml": "resources: [pvc.yaml]\ntransformers: [t.yaml]\ngenerators: [g.yaml]\n",
        "pvc.yaml": CLAIM,
        "t.yaml": "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: n, namespace: foo}\n",
        "g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: m}\nliterals: [a=b]\n",
    },
}  # fmt: skip
