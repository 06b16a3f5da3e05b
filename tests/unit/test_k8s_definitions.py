"""Objects as the API server takes them: kinds by letters, defaults filled in, and nulls left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from k8s_planting import NO_CRDS
from k8s_right import SAMPLE

from k8s.check.__main__ import CRDS, check
from k8s.check.definitions import completed

needs_crds = pytest.mark.skipif(not CRDS.is_dir(), reason="no ../shared/kuberay-crds beside the project")
folders = pytest.mark.parametrize("crds", [NO_CRDS, pytest.param(CRDS, marks=needs_crds)])
BUDGET = """
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b}
spec: {minAvailable: 5, selector: {matchLabels: {app: worker}}}
"""


def found(folder: Path, text: str, crds: Path = CRDS) -> list[tuple[str, str]]:
    """Fields and words of the findings of a manifest."""
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return [(one.path, one.message) for one in check(folder, crds)[0]]


@folders
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Raycluster", ": did you mean RayCluster?"),
        ("RAYCLUSTER", ": did you mean RayCluster?"),
        ("Rayjob", ": did you mean RayJob?"),
        ("RAYJOB", ": did you mean RayJob?"),
        ("RayJobb", ": did you mean RayJob?"),
        ("rayservice", ": did you mean RayService?"),
        ("Workflow", "ray.io has no kind Workflow: there is RayCluster, RayCronJob, RayJob, RayService"),
    ],
)
def test_a_kind_that_ray_does_not_have_is_found(kind: str, said: str, crds: Path, tmp_path: Path) -> None:
    findings = found(tmp_path, SAMPLE.replace("kind: RayCluster", f"kind: {kind}"), crds)
    assert [path for path, _ in findings] == ["kind"]
    assert said in findings[0][1]


@folders
def test_a_kind_that_has_no_definition_here_is_left_to_the_operators_rules(crds: Path, tmp_path: Path) -> None:
    findings = found(tmp_path, "apiVersion: ray.io/v1\nkind: RayCronJob\nmetadata: {name: a}\nspec: {}\n", crds)
    assert [(path, "feature gate" in said) for path, said in findings] == [("kind", True)]


def definition(group: str, kind: str) -> str:
    """A definition of a kind whose objects may hold anything."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"properties": {}}}}
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    metadata = {"name": f"{kind.lower()}s.{group}"}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata}
    return yaml.safe_dump({**head, "spec": spec})


def test_the_kinds_of_a_folder_of_definitions_are_known(tmp_path: Path) -> None:
    folder, crds = tmp_path / "manifests", tmp_path / "crds"
    folder.mkdir()
    crds.mkdir()
    (crds / "ray.io_rayfarms.yaml").write_text(definition("ray.io", "RayFarm"), encoding="utf-8")
    text = "apiVersion: ray.io/v1\nkind: RayFarm\nmetadata: {name: a}\nspec: {}\n"
    assert found(folder, text, crds) == []
    assert "did you mean RayFarm?" in found(folder, text.replace("RayFarm", "Rayfarm"), crds)[0][1]


@pytest.mark.parametrize(("kind", "wrong"), [("Foo", False), ("foo", True), ("Fooo", False)])
def test_a_kind_that_is_declared_beside_its_objects_has_its_letters(kind: str, wrong: bool, tmp_path: Path) -> None:
    """Another kind of the group may be declared elsewhere."""
    declared = definition("b.c", "Foo")
    findings = found(tmp_path, f"{declared}---\napiVersion: b.c/v1\nkind: {kind}\nmetadata: {{name: a}}\n", NO_CRDS)
    assert [(path, said) for path, said in findings if path == "kind"] == [
        ("kind", f"b.c has no kind {kind}: did you mean Foo? ({kind} a)")
    ] * wrong


def scaled(*without: str) -> str:
    """A cluster that scales by itself, but for some lines."""
    text = SAMPLE.replace("  headGroupSpec:", "  enableInTreeAutoscaling: true\n  headGroupSpec:")
    for line in without:
        assert line in text
        text = text.replace(line, "")
    return text


@folders
def test_numbers_that_the_definition_gives_may_be_left_out(crds: Path, tmp_path: Path) -> None:
    assert found(tmp_path, scaled("    minReplicas: 1\n"), crds) == []
    unlimited = scaled("    minReplicas: 1\n", "    maxReplicas: 10\n")
    pod = "      spec:\n        containers:\n        - name: ray-worker\n"
    assert pod in unlimited
    labelled = unlimited.replace(pod, f"      metadata: {{labels: {{app: worker}}}}\n{pod}")
    assert found(tmp_path, labelled + BUDGET, crds) == []
    assert [path for path, _ in found(tmp_path, scaled("    groupName: small-group\n"), crds)] == [
        "spec.workerGroupSpecs[0].groupName"
    ] * (crds == CRDS)


@folders
@pytest.mark.parametrize("key", ["minReplicas", "maxReplicas"])
def test_numbers_of_a_fixed_cluster_are_told_missing_once(key: str, crds: Path, tmp_path: Path) -> None:
    lines = [line for line in SAMPLE.splitlines() if key not in line]
    findings = found(tmp_path, "\n".join(lines), crds)
    assert [path for path, _ in findings] == [f"spec.workerGroupSpecs[0].{key}"]
    assert "needed without autoscaling" in findings[0][1]


@needs_crds
@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("          ports:", "          env:\n          envFrom: ~\n          ports:", ""),
        ("    rayStartParams: {}", "    rayStartParams:", ""),
        ("  rayVersion: '2.52.0'", "  rayVersion:", ""),
        ("    groupName: small-group", "    groupName:", "spec.workerGroupSpecs[0].groupName"),
        (
            "          ports:", "          env: [null]\n          ports:",
            "spec.headGroupSpec.template.spec.containers[0].env[0]",
        ),
        ("  headGroupSpec:", "  suspended: ~\n  headGroupSpec:", "spec.suspended"),
    ],
)  # fmt: skip
def test_a_field_that_is_null_is_one_that_is_left_out(old: str, new: str, path: str, tmp_path: Path) -> None:
    assert old in SAMPLE
    findings = found(tmp_path, SAMPLE.replace(old, new, 1))
    assert [field for field, _ in findings] == [path] * bool(path)


def test_nulls_that_a_schema_takes_stay() -> None:
    schema = {"properties": {"a": {"nullable": True, "default": 1}, "b": {"default": 2}, "c": {}, "d": {"items": {}}}}
    assert completed({"a": None, "b": None, "c": None, "d": [None], "e": None}, schema) == {
        "a": None, "b": 2, "d": [None], "e": None
    }  # fmt: skip
