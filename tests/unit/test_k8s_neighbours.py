"""Network policies about others: slips in well-known names are found, and other names are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from k8s_planting import NO_CRDS

from k8s.check.__main__ import check

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: training}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
      podSelector: {matchLabels: {app.kubernetes.io/name: PODS}}
    ports: [{port: 53, protocol: UDP}]
"""
PEER = "spec.egress[0].to[0]"


def found(tmp_path: Path, space: str, pods: str) -> list[tuple[str, str]]:
    text = POLICY.replace("SPACE", space).replace("PODS", pods)
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    return [(one.path, one.message) for one in check(tmp_path, NO_CRDS)[0]]


@pytest.mark.parametrize(
    ("space", "pods", "path", "words"),
    [
        ("kube-sytem", "kube-dns", "namespaceSelector", "did you mean kube-system?"),
        ("kuberay-operater", "kuberay-operator", "namespaceSelector", "did you mean kuberay-operator?"),
        ("kuberay-operator", "kuberay-operater", "podSelector", "did you mean kuberay-operator?"),
        ("trainning", "worker", "namespaceSelector", "did you mean training?"),
    ],
)
def test_a_slip_in_a_well_known_name_is_found(space: str, pods: str, path: str, words: str, tmp_path: Path) -> None:
    [(where, message)] = found(tmp_path, space, pods)
    assert where == f"{PEER}.{path}.matchLabels"
    assert words in message


@pytest.mark.parametrize(
    "space", ["kube-system", "monitoring-2", "my-kuberay", "ray-operator", "training", "kube-node-lease"]
)
def test_other_names_are_left_alone(space: str, tmp_path: Path) -> None:
    assert found(tmp_path, space, "coredns-2") == []
