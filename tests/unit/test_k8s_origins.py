"""Fields of rendered objects: the finding names the file that set them, once, at the path that they have there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from k8s_planting import NO_CRDS

from k8s.check.__main__ import check
from k8s.check.findings import Finding

HEAD = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a"
DEPLOYMENT = (
    f"{HEAD}, labels: {{tier: one}}}}\n"
    + """spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - {name: main, image: nginx, env: [{name: A, value: b}]}
      volumes: [{name: v, emptyDir: {}}]
"""
)
OTHER = DEPLOYMENT.replace("name: a,", "name: b,").replace("tier: one", "tier: two")
CLUSTER = (
    "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: c}\nspec: {headGroupSpec: {template: {spec: "
    "{containers: [{name: h, image: 'rayproject/ray:2.60.0', resources: {limits: {cpu: 1, memory: 4Gi}}}]}}}}\n"
)
BASE = {"base/kustomization.yaml": "resources: [d.yaml]\n", "base/d.yaml": DEPLOYMENT}
ON_BASE = "resources: [../base]\n"
PATCHED = f"{ON_BASE}patches: [{{path: p.yaml}}]\n"
WRONG = f"{HEAD}}}\nspec: {{repliccas: 1}}\n"
POD = "spec.template.spec"


def made(tmp_path: Path, texts: dict[str, str | bytes]) -> list[Finding]:
    for name, text in texts.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return check(tmp_path, NO_CRDS)[0]


def places(tmp_path: Path, texts: dict[str, str | bytes]) -> list[str]:
    return [f"{Path(one.file).relative_to(tmp_path)}: {one.path}" for one in made(tmp_path, BASE | texts)]


BESIDE: dict[str, dict[str, str | bytes]] = {
    "a comment that is no UTF-8": {"ov/p.yaml": WRONG.encode() + b"# Stra\xdfe\n", "ov/kustomization.yaml": PATCHED},
    "two that name each other": {
        "ov/kustomization.yaml": "resources: [../ov2]\n",
        "ov2/kustomization.yaml": "resources: [../ov]\n",
    },
    "metadata that is a list": {"ov/p.yaml": WRONG.replace("{name: a}", "[a]"), "ov/kustomization.yaml": PATCHED},
    "metadata that is a word": {"ov/p.yaml": WRONG.replace("{name: a}", "a"), "ov/kustomization.yaml": PATCHED},
    "a patch that is too deep": {"ov/p.yaml": "a: " + "[" * 9000, "ov/kustomization.yaml": PATCHED},
    "a file with a null in its name": {"ov/kustomization.yaml": 'patches: [{path: "a\\0b"}]\nresources: [../base]\n'},
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_kustomize_refuses_is_a_finding_and_the_others_are_checked(name: str, tmp_path: Path) -> None:
    texts = BASE | {"else/kustomization.yaml": "resources: [d.yaml]\n", "else/d.yaml": f"{DEPLOYMENT}  repliccas: 1\n"}
    findings = made(tmp_path, texts | BESIDE[name])
    refused = {Path(file).parent.name for file in BESIDE[name] if file.endswith("kustomization.yaml")}
    assert {Path(one.file).parent.name for one in findings} == {"else", *refused}, findings
    assert all("kustomize: " in one.message for one in findings if Path(one.file).parent.name != "else")


@pytest.mark.parametrize("target", ["\\\\pL+", "[[:alpha:]]+"])
def test_a_target_in_the_expressions_of_go_is_no_finding(target: str, tmp_path: Path) -> None:
    patches = f'patches: [{{path: p.yaml, target: {{name: "{target}"}}}}]\n'
    texts = {"ov/kustomization.yaml": ON_BASE + patches, "ov/p.yaml": "- {op: add, path: /spec/replicas, value: 1}"}
    assert places(tmp_path, texts) == []


def test_a_long_text_in_a_kustomization_is_no_name_of_a_file(tmp_path: Path) -> None:
    generator = f'configMapGenerator: [{{name: c, literals: ["a={"x" * 300}"]}}]\n'
    assert places(tmp_path, {"ov/kustomization.yaml": ON_BASE + generator}) == []


@pytest.mark.parametrize("wrong", [None, 1, "a", [], {}, [None], [1], ["a"], [[]], [{"a": None}], {"a": [1]}])
def test_no_type_of_a_field_ends_the_check(wrong: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kustomize makes of it, which is not run here: an object stands for what it renders."""
    lists = ("patches", "patchesJson6902", "patchesStrategicMerge", "images", "labels", "replacements", "replicas")
    fields = ("resources", "components", "namePrefix", "nameSuffix", "namespace", "commonLabels", "commonAnnotations")
    settings = dict.fromkeys((*lists, *fields, "kind", "metadata"), wrong) | {"patches": [wrong, {"path": wrong}]}
    settings["patches"] += [{"patch": wrong, "target": wrong}, {"patch": "- {op: add}\n- 1", "target": {"name": wrong}}]
    settings["patches"] += [{"patch": f"metadata: {wrong!r}\nkind: {wrong!r}", "target": {"labelSelector": wrong}}]
    settings["replacements"] = [wrong, {"targets": wrong}, {"targets": [wrong, {"select": wrong, "fieldPaths": wrong}]}]
    settings["images"] = [wrong, {"name": wrong, "newName": wrong}]
    document = yaml.safe_load(DEPLOYMENT.replace("image: nginx", "image: nginx, imagee: a"))
    document["metadata"]["annotations"] = {"config.kubernetes.io/origin": "path: base/d.yaml"}
    answer = subprocess.CompletedProcess([], 0, yaml.safe_dump(document), "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    findings = made(tmp_path, {"ov/kustomization.yaml": yaml.safe_dump(settings), "ov/d.yaml": DEPLOYMENT})
    assert any(one.path.endswith("imagee") for one in findings), findings


JSON = "- {op: add, path: /spec/repliccas, value: 1}\n"
BY_NAME = f"{ON_BASE}patches: [{{path: p.yaml, target: {{kind: Deployment, name: a}}}}]\n"
RENAMED = {
    "prefix": {"ov/kustomization.yaml": f"{PATCHED}namePrefix: t-\n", "ov/p.yaml": WRONG},
    "suffix": {"ov/kustomization.yaml": f"{PATCHED}nameSuffix: -t\n", "ov/p.yaml": WRONG},
    "both": {"ov/kustomization.yaml": f"{PATCHED}nameSuffix: -t\nnamePrefix: t-\n", "ov/p.yaml": WRONG},
    "JSON": {"ov/kustomization.yaml": f"{BY_NAME}namePrefix: t-\n", "ov/p.yaml": JSON},
    "outside": {
        "ov/kustomization.yaml": BY_NAME,
        "ov/p.yaml": JSON,
        "outer/kustomization.yaml": "resources: [../ov]\nnamePrefix: t-\n",
    },
}


@pytest.mark.parametrize("name", RENAMED)
def test_a_patch_is_known_by_the_name_that_the_object_had(name: str, tmp_path: Path) -> None:
    assert places(tmp_path, RENAMED[name]) == ["ov/p.yaml: spec.repliccas"]


def test_a_slip_in_a_file_is_one_finding_whatever_overlays_call_the_object(tmp_path: Path) -> None:
    texts = {"base/d.yaml": f"{DEPLOYMENT}  repliccas: 1\n", "ov/kustomization.yaml": f"{ON_BASE}namePrefix: t-\n"}
    assert places(tmp_path, texts) == ["base/d.yaml: spec.repliccas"]


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (f"/{POD.replace('.', '/')}/volumes/-", "{name: w, emptyDirr: {}}", f"{POD}.volumes[1].emptyDirr"),
        (f"/{POD.replace('.', '/')}/volumes/0", "{name: w, emptyDirr: {}}", f"{POD}.volumes[0].emptyDirr"),
        (f"/{POD.replace('.', '/')}/tolerations", "[{keyy: a}]", f"{POD}.tolerations[0].keyy"),
    ],
)
def test_an_entry_that_a_patch_adds_is_the_patchs(path: str, value: str, place: str, tmp_path: Path) -> None:
    patch = f"patches:\n- target: {{kind: Deployment}}\n  patch: |\n    - {{op: add, path: {path}, value: {value}}}\n"
    found = places(tmp_path, {"ov/kustomization.yaml": ON_BASE + patch})
    assert f"ov/kustomization.yaml: {place}" in found
    assert not any(one.startswith("base") for one in found)


@pytest.mark.parametrize("where", ["-", "0"])
def test_an_entry_beside_those_that_a_patch_adds_is_the_files(where: str, tmp_path: Path) -> None:
    patch = f"- {{op: add, path: /{POD.replace('.', '/')}/volumes/{where}, value: {{name: w, emptyDir: {{}}}}}}\n"
    texts = {"base/d.yaml": DEPLOYMENT.replace("emptyDir: {}", "emptyDir: {slip: a}")}
    found = places(tmp_path, texts | {"ov/kustomization.yaml": BY_NAME, "ov/p.yaml": patch})
    assert found == [f"base/d.yaml: {POD}.volumes[0].emptyDir.slip"]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("images: [{name: nginx, newName: registry.example/toolace-cpuu}]", "images[0].newName"),
        ("labels: [{pairs: {ray.io/clustr: x}}]", "labels[0].pairs[ray.io/clustr]"),
        ("commonLabels: {ray.io/clustr: x}", "commonLabels[ray.io/clustr]"),
        (
            "configMapGenerator: [{name: c, literals: [a=Nevr]}]\nreplacements:\n- source: {kind: ConfigMap, name: c, "
            "fieldPath: data.a}\n  targets: [{select: {kind: Deployment}, fieldPaths: "
            f"['{POD}.containers.[name=main].imagePullPolicy'], options: {{create: true}}}}]",
            "replacements[0]",
        ),
    ],
)
def test_what_a_field_of_the_kustomization_sets_is_its_own(settings: str, place: str, tmp_path: Path) -> None:
    texts = {"base/d.yaml": f"{DEPLOYMENT}---\n{CLUSTER}", "ov/kustomization.yaml": f"{ON_BASE}{settings}\n"}
    assert places(tmp_path, texts) == [f"ov/kustomization.yaml: {place}"]


@pytest.mark.parametrize("selector", ["tier=one", "tier in (one, three)", "tier!=two", "!slip, tier"])
def test_a_patch_sets_only_what_its_target_selects(selector: str, tmp_path: Path) -> None:
    """Both have the slip: one from the patch, the other from its file."""
    patches = f"patches: [{{path: p.yaml, target: {{kind: Deployment, labelSelector: '{selector}'}}}}]\n"
    other = OTHER.replace("tier: two", "tier: two, slip: a") + "  repliccas: 1\n"
    texts = {"base/d.yaml": f"{DEPLOYMENT}---\n{other}", "ov/kustomization.yaml": ON_BASE + patches, "ov/p.yaml": JSON}
    assert places(tmp_path, texts) == ["base/d.yaml: spec.repliccas", "ov/p.yaml: spec.repliccas"]


@pytest.mark.parametrize("target", ["labelSelector: tier=on", "group: app", "namespace: elsewhere", "name: aa"])
def test_a_target_that_selects_nothing_is_a_finding(target: str, tmp_path: Path) -> None:
    patches = f"patches: [{{path: p.yaml, target: {{kind: Deployment, {target}}}}}]\nnamePrefix: t-\n"
    patch = "- {op: add, path: /spec/replicas, value: 1}"
    assert places(tmp_path, {"ov/kustomization.yaml": ON_BASE + patches, "ov/p.yaml": patch}) == [
        "ov/p.yaml: metadata.name"
    ]


def test_targets_that_select_something_are_none(tmp_path: Path) -> None:
    """By a label that the base sets, from a component, and by the name of a generated object."""
    patch = "patch: '- {op: add, path: /metadata/annotations, value: {a: b}}'"
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    settings = "components: [../component]\nconfigMapGenerator: [{name: c, literals: [a=b]}]\nnamePrefix: t-\n"
    texts: dict[str, str | bytes] = {
        "base/kustomization.yaml": "resources: [d.yaml]\nlabels: [{pairs: {part: x}}]\n",
        "component/kustomization.yaml": f"{component}patches: [{{target: {{labelSelector: part=x}}, {patch}}}]\n",
        "ov/kustomization.yaml": f"{ON_BASE}{settings}patches: [{{target: {{kind: ConfigMap, name: c}}, {patch}}}]\n",
    }
    assert places(tmp_path, texts) == []


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("image: nginx", "image: nginx, slip: a", "containers[0].slip"),
        ("value: b", "value: b, slip: a", "containers[0].env[0].slip"),
        ("emptyDir: {}", "emptyDir: {slip: a}", "volumes[0].emptyDir.slip"),
    ],
)
def test_a_slip_has_the_path_of_its_file_where_lists_are_merged(old: str, new: str, path: str, tmp_path: Path) -> None:
    """Kustomize puts the entries of a patch before those of the file."""
    more = "{name: main, env: [{name: B, value: b}]}"
    spec = f"containers: [{{name: log, image: fluentd}}, {more}], volumes: [{{name: w, emptyDir: {{}}}}]"
    patch = f"{HEAD}}}\nspec: {{template: {{spec: {{{spec}}}}}}}\n"
    texts = {"base/d.yaml": DEPLOYMENT.replace(old, new), "ov/kustomization.yaml": PATCHED, "ov/p.yaml": patch}
    assert places(tmp_path, texts) == [f"base/d.yaml: {POD}.{path}"]


def test_the_last_of_two_patches_is_the_one_that_counts(tmp_path: Path) -> None:
    patches = "patches: [{path: p.yaml}, {path: q.yaml}]\n"
    texts = {
        name: f"{HEAD}}}\nspec: {{revisionHistoryLimit: {count}}}\n"
        for name, count in (("ov/p.yaml", "1"), ("ov/q.yaml", "a"))
    }
    assert places(tmp_path, texts | {"ov/kustomization.yaml": ON_BASE + patches}) == [
        "ov/q.yaml: spec.revisionHistoryLimit"
    ]
