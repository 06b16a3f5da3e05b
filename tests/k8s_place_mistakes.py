"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: files that nothing put there, and images."""

from __future__ import annotations

from k8s_image_mistakes import RUN, instead
from k8s_mistakes import ARGS, CLUSTER, HEAD, JOB, SERVICE, WORKER, Mistakes

CONFIG = "configs/demo.yaml"


def config(place: str) -> tuple[str, str, str, str, str]:
    """The job's settings are in a place."""
    return instead(RUN.replace(CONFIG, place), f"no file '{place}'")


PLACES: Mistakes = {
    "settings in a folder of the system": config("/etc/cfg/train.yaml"),
    "settings among what is shared": config("/usr/share/train.yaml"),
    "settings in what varies": config("/var/x.yaml"),
    "settings among what is served": config("/srv/x.yaml"),
    "settings on an empty disk": config("/tmp/train.yaml"),
    "settings in an empty home": config("/home/ray/train.yaml"),
    "settings in empty memory": config("/dev/shm/t.yaml"),
    "settings among devices of another pod": (
        SERVICE, "cluster/drain.py", "/tmp/drain.py",
        "spec.rayClusterConfig.workerGroupSpecs[0].template.spec.containers[0].lifecycle.preStop.exec.command",
        "no file '/tmp/drain.py'",
    ),
    "script on an empty disk": instead("python /tmp/x.py", "no file '/tmp/x.py'"),
    "script of the system": instead("bash /etc/x.sh", "no file '/etc/x.sh'"),
    "program of another name": instead("/usr/local/bin/toolacee run", "no command '/usr/local/bin/toolacee'"),
    "program in another folder": instead("/usr/bin/toolace run", "no command '/usr/bin/toolace'"),
    "program that the base has not": instead(f"curl -o /tmp/a https://a.b/c && {RUN}", "no command 'curl'"),
    "file of a package": instead(
        "python /usr/local/lib/python3.11/site-packages/ray/none.py", "no file '/usr/local/lib/python3.11"
    ),
    "model on an empty disk": instead(f"{RUN} --set model.path=/tmp/m", "model '/tmp/m' is not in the image"),
    "served model on an empty disk": (
        SERVICE, "builtin:tiny_base", "/home/ray/models/m", f"{ARGS}.model.path", "on no volume",
    ),
    "what a package has not": (
        SERVICE, "serve_apps.refine:build_app", "ray.serve:nope",
        "spec.serveConfigV2.applications[0].import_path", "ray.serve has no 'nope'",
    ),
}  # fmt: skip

RAY_HEAD, RAY_WORKER = "          - name: ray-head\n", "          - name: ray-worker\n"
IMAGE = "            image: toolace-cpu"


def image(container: str, name: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """A container of the job has another image, or none."""
    return (
        JOB,
        container + IMAGE,
        container + (name and f"            image: {name}"),
        f"{path}.containers[0].image",
        words,
    )


OF_WORKER = f"{WORKER}.template.spec"
IMAGES: Mistakes = {
    "image misspelled": image(RAY_HEAD, "tolace-cpu", HEAD, "no Dockerfile of cluster/ builds 'tolace-cpu'"),
    "image of the head": image(RAY_HEAD, "registry.example/mine:1", HEAD, "others have toolace-cpu"),
    "image of Ray beside another": image(RAY_WORKER, "rayproject/ray:2.40.0-py310", OF_WORKER, "must be one image"),
    "no image": image(RAY_WORKER, "", OF_WORKER, "image is missing"),
    "image of the submitter": (
        JOB, "- name: submit\n        image: toolace-cpu", "- name: submit\n        image: toolace-cpu:0.0.9",
        "spec.submitterPodTemplate.spec.containers[0].image", "others have toolace-cpu",
    ),
}  # fmt: skip

END_OF_JOB = "  shutdownAfterJobFinishes: true\n  ttlSecondsAfterFinished: 600\n"


def deletion(strategy: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """What the operator deletes after the job."""
    return JOB, END_OF_JOB, f"  deletionStrategy: {{{strategy}}}\n", f"spec.deletionStrategy.{path}", words


def asks(said: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """The entrypoint asks for something."""
    return JOB, "  backoffLimit: 2\n", f"  backoffLimit: 2\n  {said}\n", f"spec.{path}", words


FAILED = "condition: {jobStatus: FAILED, ttlSeconds: "
STARTS = '{num-cpus: "0", dashboard-host'
OPERATOR: Mistakes = {
    "workers deleted from an autoscaler": deletion(
        "onSuccess: {policy: DeleteWorkers}, onFailure: {policy: DeleteCluster}", "onSuccess.policy", "with autoscaling"
    ),
    "rule of a deletion twice": deletion(
        f"deletionRules: [{{policy: DeleteSelf, {FAILED}1}}}}, {{policy: DeleteSelf, {FAILED}1}}}}]",
        "deletionRules[1]", "an earlier rule says DeleteSelf",
    ),
    "job deleted before its cluster": deletion(
        f"deletionRules: [{{policy: DeleteSelf, {FAILED}1}}}}, {{policy: DeleteCluster, {FAILED}100}}}}]",
        "deletionRules[0].condition.ttlSeconds", "before DeleteCluster",
    ),
    "cores below nothing": asks("entrypointNumCpus: -1", "entrypointNumCpus", "-1 is below 0"),
    "devices below nothing": asks("entrypointNumGpus: -0.5", "entrypointNumGpus", "-0.5 is below 0"),
    "cores that no node has": asks("entrypointNumCpus: 64", "entrypointNumCpus", "of the cluster has more than 4"),
    "devices that no node has": asks("entrypointNumGpus: 1", "entrypointNumGpus", "of the cluster has more than 0"),
    "resources that are no object": asks("entrypointResources: '[1]'", "entrypointResources", "not a JSON object of"),
    "resources that are no numbers": asks(
        """entrypointResources: '{"disk": "1"}'""", "entrypointResources", "not a JSON object of numbers"
    ),
    "resources below nothing": asks(
        """entrypointResources: '{"disk": -1}'""", "entrypointResources", "-1 of 'disk' is below 0"
    ),
    "resources that no group has": asks(
        """entrypointResources: '{"disk": 1}'""", "entrypointResources", "1 of 'disk', but no group"
    ),
    "resources of the start": (
        JOB, STARTS, STARTS.replace("{", "{resources: '{a:1', "),
        f"{CLUSTER}.headGroupSpec.rayStartParams.resources", "no JSON object",
    ),
    "key twice inside": (
        SERVICE, "    proxy_location: EveryNode\n", "    proxy_location: EveryNode\n    proxy_location: HeadOnly\n",
        "spec.serveConfigV2.proxy_location", "given twice, in line 1 and in line 2",
    ),
    "anchor in itself": (
        "pvc.yaml", "metadata:\n", "metadata: &a\n  annotations: *a\n", "metadata.annotations", "holds itself",
    ),
    "deeper than a stack": (
        "pvc.yaml", "metadata:\n", "metadata:\n  a: " + 100_000 * "[" + "\n", ".", "nested too deeply",
    ),
}  # fmt: skip

TMP = "            - {name: tmp, mountPath: /tmp}\n"
AUTOSCALER = "volumeMounts: [{name: tmp, mountPath: /tmp}]"
SELECTOR = "  selector:\n    matchLabels: {toolace/node: train-head}\n"
NAMED = "metadata:\n  name: train\n"
PROMISES: Mistakes = {
    "volume of the autoscaler": (
        JOB, AUTOSCALER, AUTOSCALER.replace("tmp,", "tmpp,"),
        f"{CLUSTER}.autoscalerOptions.volumeMounts[0].name", "no volume 'tmpp'",
    ),
    "no place to write": (JOB, TMP, "", f"{HEAD}.containers[0].volumeMounts", "nothing is mounted at /tmp"),
    "no place for the autoscaler to write": (
        JOB, f"      {AUTOSCALER}\n", "", f"{CLUSTER}.autoscalerOptions.volumeMounts", "nothing is mounted at /tmp",
    ),
    "no place for the submitter to write": (
        JOB, TMP.removeprefix("    "), "", "spec.submitterPodTemplate.spec.containers[0].volumeMounts", "at /tmp",
    ),
    "annotation of the operator": (
        SERVICE, "ray.io/initializing", "ray.io/initialising", "metadata.annotations[ray.io/initialising-timeout]",
        "did you mean ray.io/initializing-timeout?",
    ),
    "budget by an expression": (
        "pdb.yaml", SELECTOR,
        "  selector:\n    matchExpressions: [{key: toolace/node, operator: In, values: [train-haed]}]\n",
        "spec.selector.matchExpressions", "selects no pod",
    ),
    "budget of nothing": ("pdb.yaml", SELECTOR, "", "spec.selector", "selector is missing"),
    "job in another namespace": (
        JOB, "kind: RayJob\nmetadata:\n", "kind: RayJob\nmetadata:\n  namespace: other\n",
        f"{HEAD}.volumes[3].persistentVolumeClaim.claimName", "in the namespace toolace, and this object in other",
    ),
    "claim in another namespace": (
        "pvc.yaml", "  name: store", "  name: store\n  namespace: other",
        f"{HEAD}.volumes[3].persistentVolumeClaim.claimName", "in the namespace other, and this object in toolace",
    ),
    "label that no policy knows": (
        JOB, "        metadata:\n          labels: {app.kubernetes.io/component: train}\n", "        metadata: {}\n",
        f"{WORKER}.template.metadata.labels", "may not talk to anybody",
    ),
}  # fmt: skip
MANY = {"job in another namespace", "claim in another namespace"}
"""Those of which more than one object has the consequences."""

INGRESS_OBJECT = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  rules:
  - http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: toolace-serve-serve-svc, port: {number: 8000}}}}
"""
