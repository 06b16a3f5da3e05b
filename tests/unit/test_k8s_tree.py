"""The shipped manifests keep the project's own rules: what no schema asks for and a cluster needs all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.check.findings import Thing
from k8s.check.quantities import amount
from k8s.check.ray_objects import Pod, cluster_of, groups_of, main_container, pods_of
from k8s.check.rendering import Scene, read_scenes

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.name for path in (ROOT / "k8s" / "overlays").iterdir())


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    """The rendered overlays by name."""
    found, findings = read_scenes(ROOT / "k8s")
    assert findings == []
    return {Path(scene.file).parent.name: scene for scene in found}


def things(scene: Scene, *kinds: str) -> list[Thing]:
    return [thing for thing in scene.things if thing.kind in kinds]


def pods(scene: Scene) -> list[Pod]:
    return [pod for thing in scene.things for pod in pods_of(thing)]


def test_the_overlays_that_users_are_promised_are_there() -> None:
    assert {"demo-cpu", "gpu-lora", "serve", "train-then-serve"} <= set(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_asks_for_what_it_may_use_and_has_no_rights(overlay: str, scenes: dict[str, Scene]) -> None:
    checked = 0
    for pod in pods(scenes[overlay]):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for _, container in pod.containers():
            checked += 1
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            assert float(resources["limits"]["cpu"]).is_integer()
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
    assert checked >= 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_pods_can_write_where_ray_does(overlay: str, scenes: dict[str, Scene]) -> None:
    """The root is read-only: /tmp, the home directory and the object store are volumes, the latter in memory."""
    for pod in pods(scenes[overlay]):
        if not pod.role:
            continue
        container = pod.spec["containers"][0]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        assert {"/tmp", "/home/ray"} <= mounts.keys()
        if pod.role == "submit":
            continue
        store = volumes[mounts["/dev/shm"]]["emptyDir"]
        assert store["medium"] == "Memory"
        size, memory = amount(store["sizeLimit"]), amount(container["resources"]["limits"]["memory"])
        assert size is not None and memory is not None
        assert 0.3 * memory <= size <= 0.5 * memory  # Ray's object store takes 30 % of a node's memory


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_clusters_have_a_head_without_work_tokens_and_the_second_autoscaler(
    overlay: str, scenes: dict[str, Scene]
) -> None:
    for thing in things(scenes[overlay], "RayJob", "RayService"):
        _, spec = cluster_of(thing) or ((), {})
        assert spec["authOptions"] == {"mode": "token", "secretName": "ray-token"}
        head = next(group for _, group, role in groups_of(thing) if role == "head")
        assert head["rayStartParams"]["num-cpus"] == "0"
        if "kueue" not in overlay:
            assert spec["enableInTreeAutoscaling"] is True
            assert spec["autoscalerOptions"]["version"] == "v2"
            resources = spec["autoscalerOptions"]["resources"]
            assert resources["requests"] == resources["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_jobs_are_run_again_and_end(overlay: str, scenes: dict[str, Scene]) -> None:
    for job in things(scenes[overlay], "RayJob"):
        spec: dict[str, Any] = job.data["spec"]
        assert spec["submissionMode"] == "K8sJobMode"
        assert spec["backoffLimit"] > 0
        assert spec["activeDeadlineSeconds"] and spec["preRunningDeadlineSeconds"]
        assert spec["shutdownAfterJobFinishes"] is True


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_under_a_network_policy_and_the_rest_is_denied(overlay: str, scenes: dict[str, Scene]) -> None:
    policies = [thing.data["spec"] for thing in things(scenes[overlay], "NetworkPolicy")]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    selected = [policy["podSelector"].get("matchLabels", {}).items() for policy in policies if policy["podSelector"]]
    for pod in pods(scenes[overlay]):
        assert any(labels <= pod.labels.items() for labels in selected), pod.labels


@pytest.mark.parametrize("overlay", ["serve", "serve-monitored", "train-then-serve"])
def test_the_endpoint_survives_its_head_and_keeps_a_worker(overlay: str, scenes: dict[str, Scene]) -> None:
    service = things(scenes[overlay], "RayService")[0]
    _, spec = cluster_of(service) or ((), {})
    assert spec["gcsFaultToleranceOptions"]["redisAddress"] == "redis:6379"
    worker = next(pod for pod in pods_of(service) if pod.role == "worker")
    budgets = [b.data["spec"]["selector"]["matchLabels"] for b in things(scenes[overlay], "PodDisruptionBudget")]
    assert any(labels.items() <= worker.labels.items() for labels in budgets)
    found = main_container([worker], "worker")
    assert found is not None
    drain = found[1]["lifecycle"]["preStop"]["exec"]["command"]
    deadline = int(drain[drain.index("--deadline") + 1])
    replicas = yaml.safe_load(service.data["spec"]["serveConfigV2"])["applications"][0]["args"]["replicas"]
    assert replicas["drain_s"] < deadline < worker.spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", ["serve", "train-then-serve"])
def test_a_promotion_has_room_beside_what_serves(overlay: str, scenes: dict[str, Scene]) -> None:
    service = things(scenes[overlay], "RayService")[0]
    arguments = yaml.safe_load(service.data["spec"]["serveConfigV2"])["applications"][0]["args"]
    group = next(group for _, group, role in groups_of(service) if role == "worker")
    cores = group["maxReplicas"] * int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    engines = arguments["replicas"]["max_replicas"] * arguments["replicas"]["cpus"]
    assert 2 * (engines + arguments["ingress_replicas"]) <= cores


def test_the_job_of_the_pair_promotes_into_the_service_beside_it(scenes: dict[str, Scene]) -> None:
    scene = scenes["train-then-serve"]
    service, job = things(scene, "RayService")[0], things(scene, "RayJob")[0]
    entrypoint = job.data["spec"]["entrypoint"]
    assert f"rounds.promote=http://{service.name}-head-svc:8265" in entrypoint
    paths = {pod.role: [m["mountPath"] for m in pod.spec["containers"][0]["volumeMounts"]] for pod in pods(scene)}
    assert "/mnt/store" in paths["head"] and "/mnt/store" in paths["worker"]


def test_the_board_is_the_one_of_the_package() -> None:
    copy = ROOT / "k8s" / "components" / "monitoring" / "serving.json"
    assert copy.read_bytes() == (ROOT / "toolace" / "serving" / "assets" / "grafana.json").read_bytes()


def test_prometheus_finds_every_ray_pod(scenes: dict[str, Scene]) -> None:
    scene = scenes["serve-monitored"]
    monitor = things(scene, "ServiceMonitor")[0].data["spec"]
    labels = monitor["selector"]["matchLabels"].items()
    chosen = [t for t in things(scene, "Service") if labels <= (t.get("metadata", "labels") or {}).items()]
    assert [thing.name for thing in chosen] == ["ray-metrics"]
    port = chosen[0].data["spec"]["ports"][0]
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [port["name"]]
    for pod in pods(scene):
        if pod.role:
            assert port["targetPort"] in [one["name"] for one in pod.spec["containers"][0]["ports"]]
    board = things(scene, "ConfigMap")[0]
    assert board.data["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board.data["data"]["serving.json"])["uid"]


def test_kueue_starts_the_job(scenes: dict[str, Scene]) -> None:
    job = things(scenes["demo-cpu-kueue"], "RayJob")[0]
    assert job.data["spec"]["suspend"] is True
    assert job.data["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "toolace"


def test_network_policies_name_components_that_some_overlay_has(scenes: dict[str, Scene]) -> None:
    """A slip in a label allows nothing to anybody, without a word."""
    there = {pod.labels.get("app.kubernetes.io/component") for scene in scenes.values() for pod in pods(scene)}
    named = set()
    for policy in things(scenes["serve"], "NetworkPolicy"):
        selectors = [policy.data["spec"]["podSelector"]]
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in policy.data["spec"].get(direction, ()):
                selectors += [peer["podSelector"] for peer in rule.get(end, ()) if "podSelector" in peer]
        named.update(labels["app.kubernetes.io/component"] for s in selectors if (labels := s.get("matchLabels")))
    assert named == {"train", "serve", "submit", "redis"} == there
