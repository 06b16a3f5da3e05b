"""Mistakes planted into the shipped manifests: file, what stands there, the mistake, and of the finding the field that
it must name, and words."""

from __future__ import annotations

Mistakes = dict[str, tuple[str, str, str, str, str]]


JOB, SERVICE, REDIS, BUDGET = "rayjob.yaml", "rayservice.yaml", "redis.yaml", "pdb.yaml"
CLUSTER = "spec.rayClusterSpec"
HEAD = f"{CLUSTER}.headGroupSpec.template.spec"
WORKER = f"{CLUSTER}.workerGroupSpecs[0]"
ARGS = "spec.serveConfigV2.applications[0].args"
SERVED = "spec.rayClusterConfig.workerGroupSpecs[0].template.spec"
ROUNDS = "train_rounds.py --config configs/demo.yaml"

MISTAKES: Mistakes = {
    "name with capitals": (JOB, "name: train\n", "name: Train\n", "metadata.name", "is no name"),
    "name too long": (JOB, "name: train\n", f"name: {'t' * 48}\n", "metadata.name", "at most 47"),
    "no entrypoint": (JOB, f"python ray_jobs/{ROUNDS} --set root=/mnt/store/runs", '""', "spec.entrypoint", "missing"),
    "script that is not there": (JOB, ROUNDS, "train_round.py", "spec.entrypoint", "no file 'ray_jobs/train_round.py'"),
    "config that is not there": (
        JOB, "configs/demo.yaml", "configs/dmo.yaml",
        "spec.entrypoint", "no file 'configs/dmo",
    ),
    "setting that is none": (JOB, "--set root=", "--set rot=", "spec.entrypoint", "rot"),
    "setting out of bounds": (JOB, "--set root=", "--set probe.k=0 --set root=", "spec.entrypoint", "probe.k"),
    "option that is none": (JOB, "--set root", "--sett root", "spec.entrypoint", "--sett"),
    "program that is none": (JOB, "entrypoint: python", "entrypoint: pyton", "spec.entrypoint", "no command 'pyton'"),
    "module that is none": (
        JOB, f"python ray_jobs/{ROUNDS}", "python -m toolace.rouns", "spec.entrypoint", "no module"
    ),
    "subcommand that is none": (
        JOB, f"python ray_jobs/{ROUNDS}", "toolace rum", "spec.entrypoint", "no command 'rum'"
    ),
    "run on the node's own disk": (JOB, "/mnt/store/runs", "/tmp/runs", "spec.entrypoint", "no lasting volume"),
    "relative run": (JOB, "/mnt/store/runs", "runs", "spec.entrypoint", "no lasting volume"),
    "promotion to nobody": (
        JOB, "--set root", "--set rounds.promote=http://toolace-head-svc:8265 --set root", "spec.entrypoint",
        "no service 'toolace-head-svc'",
    ),
    "promotion to another port": (
        JOB, "--set root", "--set rounds.promote=http://toolace-serve-head-svc:8000 --set root", "spec.entrypoint",
        "listens on 8265",
    ),
    "ttl without an end": (
        JOB, "shutdownAfterJobFinishes: true", "shutdownAfterJobFinishes: false", "spec.ttlSecondsAfterFinished",
        "needs shutdownAfterJobFinishes",
    ),
    "suspended without an end": (
        JOB, "shutdownAfterJobFinishes: true\n  ttlSecondsAfterFinished: 600", "suspend: true", "spec.suspend",
        "needs shutdownAfterJobFinishes",
    ),
    "deletion rules and an end": (
        JOB, "  ttlSecondsAfterFinished: 600",
        "  deletionStrategy: {deletionRules: [{policy: DeleteCluster, condition: {jobStatus: FAILED}}]}",
        "spec.shutdownAfterJobFinishes", "deletionRules",
    ),
    "mode that is none": (JOB, "K8sJobMode", "K8SJobMode", "spec.submissionMode", "is none of"),
    "tries of an interactive job": (JOB, "K8sJobMode", "InteractiveMode", "spec.backoffLimit", "must be 0"),
    "submitter beside a sidecar": (JOB, "K8sJobMode", "SidecarMode", "spec.submitterPodTemplate", "SidecarMode"),
    "deadline of nothing": (JOB, "Seconds: 14400", "Seconds: 0", "spec.activeDeadlineSeconds", "not above 0"),
    "field of a runtime environment": (JOB, "env_vars:", "env_var:", "spec.runtimeEnvYAML.env_var", "no field"),
    "value of a runtime environment": (JOB, '_S: "60"', "_S: 60", "spec.runtimeEnvYAML", "Ray refuses it"),
    "variable that Ray does not read": (
        JOB, "RAY_JOB_STOP_WAIT_TIME_S", "RAY_JOB_STOP_WAIT_S", "spec.runtimeEnvYAML.env_vars.RAY_JOB_STOP_WAIT_S",
        "Ray reads no variable",
    ),
    "variable that nothing reads": (
        JOB, "          - name: ray-head\n",
        "          - name: ray-head\n            env: [{name: TOOLACE_CASHE, value: /x}]\n",
        f"{HEAD}.containers[0].env[0].name", "toolace reads no variable",
    ),
    "version of Ray": (JOB, '"2.60.0"', '"2.59.0"', f"{CLUSTER}.rayVersion", "has Ray 2.60.0"),
    "token before tokens": (JOB, '"2.60.0"', '"2.51.0"', f"{CLUSTER}.rayVersion", "2.52.0 or newer"),
    "image that nothing builds": (
        JOB, "- name: ray-head\n            image: toolace-cpu", "- name: ray-head\n            image: toolace-cup",
        f"{HEAD}.containers[0].image", "no Dockerfile",
    ),
    "two images": (
        JOB, "- name: ray-worker\n            image: toolace-cpu", "- name: ray-worker\n            image: toolace-gpu",
        f"{WORKER}.template.spec.containers[0].image", "must be one image",
    ),
    "restart under autoscaler v2": (
        JOB, "          serviceAccountName: ray-head",
        "          restartPolicy: Always\n          serviceAccountName: ray-head",
        f"{HEAD}.restartPolicy", "autoscaler v2",
    ),
    "fewest above most": (JOB, "minReplicas: 1", "minReplicas: 3", f"{WORKER}.minReplicas", "above maxReplicas"),
    "no numbers without autoscaling": (
        JOB, "enableInTreeAutoscaling: true", "enableInTreeAutoscaling: false", f"{WORKER}.idleTimeoutSeconds",
        "needs autoscaling",
    ),
    "labels of the start": (
        JOB, "rayStartParams: {}", "rayStartParams: {labels: a=b}", f"{WORKER}.rayStartParams.labels", "not allowed"
    ),
    "resources twice": (
        JOB, "rayStartParams: {}", 'rayStartParams: {num-cpus: "4"}\n      resources: {CPU: "4"}',
        f"{WORKER}.resources", "given twice",
    ),
    "gated field": (
        JOB, "    enableInTree", "    networkPolicy: {mode: DenyAll}\n    enableInTree",
        f"{CLUSTER}.networkPolicy", "gate",
    ),
    "upgrade inside a job": (
        JOB, "    enableInTree", "    upgradeStrategy: {type: Recreate}\n    enableInTree",
        f"{CLUSTER}.upgradeStrategy", "belongs to a RayCluster",
    ),
    "token Secret": (
        JOB, "secretName: ray-token", "secretName: ray-tokn",
        f"{CLUSTER}.authOptions.secretName", "no Secret",
    ),
    "Secret without a token": (
        JOB, "secretName: ray-token", "secretName: redis",
        f"{CLUSTER}.authOptions.secretName", "no key",
    ),
    "claim": (
        JOB, "claimName: store", "claimName: stor", f"{HEAD}.volumes[3].persistentVolumeClaim.claimName",
        "no PersistentVolumeClaim 'stor'",
    ),
    "account": (
        JOB, "serviceAccountName: ray-head", "serviceAccountName: ray-heat", f"{HEAD}.serviceAccountName",
        "no ServiceAccount",
    ),
    "volume": (
        JOB, "{name: dshm, mountPath: /dev/shm}", "{name: shm, mountPath: /dev/shm}",
        f"{HEAD}.containers[0].volumeMounts[2].name", "no volume 'shm'",
    ),
    "request above limit": (
        JOB, 'requests: {cpu: "4", memory: 12Gi}', 'requests: {cpu: "4", memory: 13Gi}',
        f"{WORKER}.template.spec.containers[0].resources.requests.memory", "above its limit",
    ),
    "budget of a share": (BUDGET, "minAvailable: 1", "minAvailable: 50%", "spec.minAvailable", "integer"),
    "budget of what may go": (BUDGET, "minAvailable: 1", "maxUnavailable: 1", "spec.maxUnavailable", "does not work"),
    "budget of nobody": (BUDGET, "train-head}", "train-heads}", "spec.selector.matchLabels", "selects no pod"),
    "password's key": (
        REDIS, "{name: redis, key: password}", "{name: redis, key: pasword}",
        "spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef.key", "no key 'pasword'",
    ),
    "Redis that is not there": (
        SERVICE, "redisAddress: redis:6379", "redisAddress: rediss:6379",
        "spec.rayClusterConfig.gcsFaultToleranceOptions.redisAddress", "no Service 'rediss'",
    ),
    "head service with a name": (
        SERVICE, "    headGroupSpec:\n", "    headGroupSpec:\n      headService: {metadata: {name: mine}}\n",
        "spec.rayClusterConfig.headGroupSpec.headService.metadata.name", "must not be set",
    ),
    "upgrade without a gateway": (
        SERVICE, "type: NewCluster", "type: NewClusterWithIncrementalUpgrade",
        "spec.upgradeStrategy.clusterUpgradeOptions.gatewayClassName", "missing",
    ),
    "field of Serve": (
        SERVICE, "proxy_location", "proxy_locaton", "spec.serveConfigV2.proxy_locaton", "Ray Serve's schema"
    ),
    "import path": (
        SERVICE, "serve_apps.refine:", "serve_apps.refin:",
        "spec.serveConfigV2.applications[0].import_path", "no module",
    ),
    "builder": (
        SERVICE, ":build_app", ":build_ap", "spec.serveConfigV2.applications[0].import_path", "has no 'build_ap'"
    ),
    "argument that is none": (
        SERVICE, "max_rounds_cap:", "max_round_cap:",
        f"{ARGS}.refinement.max_round_cap", "max_round",
    ),
    "argument out of bounds": (SERVICE, "cpus: 2", "cpus: 0", f"{ARGS}.replicas.cpus", "greater than 0"),
    "keys that nobody mounts": (
        SERVICE, "keys_file: /etc/toolace/keys/", "keys_file: /etc/toolace/", f"{ARGS}.auth.keys_file", "mount nothing"
    ),
    "no keys": (
        SERVICE, "auth: {keys_file: /etc/toolace/keys/keys.txt}", "auth: {}", f"{ARGS}.auth.keys_file", "no API keys"
    ),
    "model on no volume": (SERVICE, "builtin:tiny_base", "/mnt/models/m", f"{ARGS}.model.path", "on no volume"),
    "drain below the longest request": (SERVICE, "drain_s: 660", "drain_s: 60", f"{ARGS}.replicas.drain_s", "longest"),
    "pod gone before the drain": (
        SERVICE, "terminationGracePeriodSeconds: 720", "terminationGracePeriodSeconds: 60",
        f"{SERVED}.terminationGracePeriodSeconds", "below replicas.drain_s",
    ),
    "old cluster gone before the drain": (
        SERVICE, "rayClusterDeletionDelaySeconds: 720\n", "rayClusterDeletionDelaySeconds: 60\n",
        "spec.rayClusterDeletionDelaySeconds", "below replicas.drain_s",
    ),
    "hook that is not there": (
        SERVICE, "cluster/drain.py", "cluster/drane.py", f"{SERVED}.containers[0].lifecycle.preStop.exec.command",
        "no file 'cluster/drane.py'",
    ),
    "port that nobody declares": (
        SERVICE, "port: 8000, req", "port: 8001, req",
        "spec.serveConfigV2.http_options.port", "8001",
    ),
    "not YAML inside": (SERVICE, "proxy_location: EveryNode", "proxy_location: [", "spec.serveConfigV2", "as YAML"),
    "key twice": (
        JOB, "  backoffLimit: 2\n", "  backoffLimit: 2\n  backoffLimit: 3\n",
        "spec.backoffLimit", "given twice",
    ),
}  # fmt: skip

SHAPES: Mistakes = {
    "unknown field": (JOB, "backoffLimit: 2", "backofLimit: 2", "spec.backofLimit", "no field 'backofLimit'"),
    "wrong type": (JOB, "  backoffLimit: 2", "  backoffLimit: two", "spec.backoffLimit", "integer"),
    "keys that are no text": (
        JOB, "backoffLimit: 2", "backofLimit: 2\n  on: 2\n  1: 2", "spec.True", "no field True",
    ),
    "unknown choice": (JOB, "version: v2", "version: v3", f"{CLUSTER}.autoscalerOptions.version", "'v3' is not one of"),
    "old version": (JOB, "ray.io/v1\n", "ray.io/v1alpha1\n", "apiVersion", "no version 'v1alpha1'"),
    "field deep inside": (
        SERVICE, "topologyKey: kub", "topologyKeys: kub",
        f"{SERVED}.topologySpreadConstraints[0].topologyKey", "missing",
    ),
}  # fmt: skip

BUILT_IN: Mistakes = {
    "unknown field of Kubernetes": (
        BUDGET,
        "minAvailable",
        "minAvailabel",
        "spec.minAvailabel",
        "no field 'minAvailabel'",
    ),
    "keys that are no text": (REDIS, "  ports:", "  on: 2\n  foo: 2\n  ports:", "spec.foo", "no field 'foo'"),
    "unknown kind of Kubernetes": (REDIS, "kind: StatefulSet", "kind: StatefullSet", "kind", "has no StatefullSet"),
    "wrong type of Kubernetes": (REDIS, "replicas: 1", 'replicas: "1"', "spec.replicas", "integer"),
}


PATCH, JOB_OF_PAIR = "overlays/train-then-serve/kustomization.yaml", "components/train-cpu/rayjob.yaml"
SERVICE_OF_PAIR = "overlays/serve/rayservice.yaml"
RENDERED: Mistakes = {
    "in a file below": (
        JOB_OF_PAIR, "claimName: store", "claimName: stor",
        f"{HEAD}.volumes[3].persistentVolumeClaim.claimName", "no Pers",
    ),
    "in a patch": (PATCH, "configs/demo.yaml", "configs/dmo.yaml", "spec.entrypoint", "no file 'configs/dmo.yaml'"),
    "in the patch alone": (JOB_OF_PAIR, "train_rounds.py", "train_round.py", "", ""),
    "address of the pair": (PATCH, "toolace-serve-head-svc", "toolace-head-svc", "spec.entrypoint", "no service"),
    "promotion that no policy lets through": (
        "base/networkpolicies.yaml", "component: serve}\n    ports: [{port: 8265}]",
        "component: serve}\n    ports: [{port: 8266}]",
        "spec.egress", "cannot reach the head's pods of toolace-serve at port 8265",
    ),
    "patch that selects nothing": (PATCH, "name: train}", "name: trian}", "patches[0]", "selects no object"),
    "promotion that nobody makes": (
        PATCH, "        --set rounds.promote=http://toolace-serve-head-svc:8265\n", "",
        "metadata.annotations[toolace/expects]", "no job promotes its model into toolace-serve",
    ),
    "token of another cluster": (
        JOB_OF_PAIR, "secretName: ray-token", "secretName: my-token",
        f"{CLUSTER}.authOptions.secretName", "has that of 'ray-token'",
    ),
    "model where nobody serves it": (
        SERVICE_OF_PAIR, "mountPath: /mnt/store", "mountPath: /mnt/models",
        "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].volumeMounts", "have not at /mnt/store/runs",
    ),
    "image that nothing has": (
        "overlays/serve/kustomization.yaml", "{name: toolace-cpu", "{name: toolace-cup",
        "images[0].name", "no object has the image 'toolace-cup'",
    ),
    "another version beside": (
        SERVICE_OF_PAIR, "image: toolace-cpu", "image: registry.example/old/toolace-cpu:0.0.9",
        "spec.rayClusterConfig.workerGroupSpecs[0].template.spec.containers[0].image", "must be one image",
    ),
    "resource that is not there": (PATCH, "- ../serve", "- ../served", ".", "kustomize:"),
    "file that nothing lists": ("components/train-cpu/kustomization.yaml", "- pdb.yaml\n", "", "", ""),
}  # fmt: skip
