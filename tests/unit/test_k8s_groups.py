"""Groups of objects: a kind in a group that cannot have it is found, kinds of other projects are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from k8s_planting import NO_CRDS
from k8s_right import SAMPLE
from test_k8s_definitions import definition

from k8s.check.__main__ import check


def found(folder: Path, text: str) -> list[tuple[str, str]]:
    """Fields and words of the findings of a manifest."""
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return [(one.path, one.message) for one in check(folder, NO_CRDS)[0]]


def bare(version: str, kind: str) -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"


@pytest.mark.parametrize("version", ["ray/v1", "ray.org/v1", "kuberay.io/v1", "cluster.ray.io/v1alpha1", "v1"])
def test_a_kind_of_ray_in_another_group_is_found(version: str, tmp_path: Path) -> None:
    findings = found(tmp_path, SAMPLE.replace("ray.io/v1", version))
    assert findings == [
        ("apiVersion", f"{version}, but RayCluster is a kind of ray.io/v1 (RayCluster raycluster-complete)")
    ]


@pytest.mark.parametrize(
    ("version", "kind", "right"),
    [
        ("core/v1", "ConfigMap", "v1"),
        ("networking/v1", "NetworkPolicy", "networking.k8s.io/v1"),
        ("rbac/v1", "Role", "rbac.authorization.k8s.io/v1"),
        ("batch.k8s.io/v1", "Job", "batch/v1"),
        ("apps.k8s.io/v1", "Deployment", "apps/v1"),
        ("k8s.io/v1", "Deployment", "apps/v1"),
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("extensions/v1beta1", "Deployment", "apps/v1"),
    ],
)
def test_a_kind_of_kubernetes_in_a_group_of_nobody_is_found(
    version: str, kind: str, right: str, tmp_path: Path
) -> None:
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    assert found(tmp_path, bare(version, kind)) == [
        ("apiVersion", f"{version}, but {kind} is a kind of {right} ({kind} a)")
    ]


def test_a_group_that_kubernetes_had_is_found(tmp_path: Path) -> None:
    findings = found(tmp_path, bare("extensions/v1beta1", "PodSecurityPolicy"))
    assert [(path, "no group 'extensions' any more" in said) for path, said in findings] == [("apiVersion", True)]


@pytest.mark.parametrize(("version", "right"), [("v1", "apps/v1"), ("apps/v1beta1", "apps/v1")])
def test_a_version_that_has_a_kind_no_more_is_told_with_the_right_one(version: str, right: str, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    assert found(tmp_path, bare(version, "Deployment")) == [
        ("kind", f"Kubernetes 1.34 has no Deployment in {version}: it is in {right} (Deployment a)")
    ]


OTHERS = (
    ("serving.knative.dev/v1", "Service"),
    ("apps.kruise.io/v1alpha1", "StatefulSet"),
    ("apps.kruise.io/v1alpha1", "DaemonSet"),
    ("apps.kruise.io/v1alpha1", "CronJob"),
    ("batch.volcano.sh/v1alpha1", "Job"),
    ("networking.istio.io/v1", "ServiceEntry"),
    ("traefik.io/v1alpha1", "IngressRoute"),
    ("projectcontour.io/v1", "HTTPProxy"),
    ("cilium.io/v2", "CiliumNetworkPolicy"),
    ("crd.projectcalico.org/v1", "NetworkPolicy"),
    ("projectcalico.org/v3", "NetworkPolicy"),
    ("cert-manager.io/v1", "Certificate"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
    ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceImport"),
    ("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
    ("config.openshift.io/v1", "Ingress"),
)


@pytest.mark.parametrize(("version", "kind"), OTHERS)
def test_kinds_of_other_projects_are_left_alone(version: str, kind: str, tmp_path: Path) -> None:
    assert found(tmp_path, bare(version, kind)) == []


@pytest.mark.parametrize(("group", "kind"), [("ray.example.org", "RayCluster"), ("batch.k8s.io", "Job")])
def test_a_kind_that_is_declared_beside_its_objects_is_left_alone(group: str, kind: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"{definition(group, kind)}---\n{bare(f'{group}/v1', kind)}") == []
