"""The checker of manifests: the shipped ones are clean, and each planted mistake is found with its file and field."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s_image_mistakes import COMMANDS, ENVIRONMENT, READ, RIGHT, RUN, SERVING
from k8s_mistakes import ARGS, BUILT_IN, JOB, MISTAKES, ROUNDS, SERVICE, SHAPES, WORKER
from k8s_object_mistakes import EACH_OTHER, GENERAL, RUNNING
from k8s_place_mistakes import IMAGES, INGRESS_OBJECT, MANY, OPERATOR, PLACES, PROMISES
from k8s_planting import NO_CRDS, SHIPPED, at, plant
from k8s_right import CHANGED, OF_OTHERS
from k8s_value_mistakes import BY_DEFINITION, TWICE, VALUES

from k8s.check import __main__ as command
from k8s.check.__main__ import CRDS, check
from k8s.check.findings import Finding
from k8s.check.rendering import Scene
from k8s.check.rules import CEL_RULES
from k8s.check.served_app import ENGINE, INGRESS
from k8s.check.variables import unknown
from toolace.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
needs_crds = pytest.mark.skipif(not CRDS.is_dir(), reason="no ../shared/kuberay-crds beside the project")

PLAIN = (
    "base/namespace.yaml",
    "base/networkpolicies.yaml",
    "base/serviceaccounts.yaml",
    "components/monitoring/metrics.yaml",
    "components/redis/redis.yaml",
    "components/store/pvc.yaml",
    "components/train-cpu/pdb.yaml",
    "components/train-cpu/rayjob.yaml",
    "overlays/serve/rayservice.yaml",
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped objects as a folder of plain files."""
    folder = tmp_path_factory.mktemp("plain")
    for name in PLAIN:
        shutil.copy(SHIPPED / name, folder)
    return folder


def test_the_shipped_manifests_are_clean() -> None:
    findings, skipped = check(SHIPPED)
    assert [str(finding) for finding in findings] == []
    assert all("ServiceMonitor" in reason or "definitions" in reason for reason in skipped), skipped


def test_the_command_prints_a_line_a_finding_and_ends_with_one(plain: Path, tmp_path: Path) -> None:
    copy = plant(plain, tmp_path, JOB, "backoffLimit: 2", "backoffLimit: -1")
    command = [sys.executable, "-m", "k8s.check", str(copy), "--crds", str(NO_CRDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{copy / JOB}: spec.backoffLimit: -1 is below 0 (RayJob train)\n"


def test_nothing_that_a_manifest_names_is_run(plain: Path, tmp_path: Path) -> None:
    """Neither what an import path names nor a module that has the name of a library's, both beside the manifest."""
    policy = 'deployments: [{name: ingress, autoscaling_config: {policy: {policy_function: "evil:run"}}}]'
    copy = plant(plain, tmp_path, SERVICE, "import_path:", f"{policy}\n      import_path:")
    for name in ("evil", "yaml"):
        (copy / f"{name}.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n", encoding="utf-8")
    command = [sys.executable, "-m", "k8s.check", ".", "--crds", str(NO_CRDS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    field = "deployments[0].autoscaling_config.policy.policy_function"
    wrong = f"spec.serveConfigV2.applications[0].{field}: the image has no module 'evil' (RayService toolace-serve)"
    assert done.stdout == f"{SERVICE}: {wrong}\n"
    assert not (tmp_path / "was-run").exists()


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no manifests below"):
        check(tmp_path)


def test_json_and_lists_are_read_as_kubectl_reads_them(plain: Path, tmp_path: Path) -> None:
    claim = yaml.safe_load((plain / "pvc.yaml").read_text(encoding="utf-8"))
    claim["spec"]["resources"]["requests"]["storage"] = "1Gib"
    again = {**claim, "metadata": {"name": "again"}}
    for name, document in {"a.json": claim, "b.json": {"apiVersion": "v1", "kind": "List", "items": [again]}}.items():
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "board.json").write_text('{"panels": []}', encoding="utf-8")
    findings, _ = check(tmp_path, NO_CRDS)
    assert [(Path(one.file).name, one.path) for one in findings] == [
        ("a.json", "spec.resources.requests.storage"),
        ("b.json", "spec.resources.requests.storage"),
        ("board.json", "apiVersion"),
    ]


def test_objects_of_a_group_that_is_declared_beside_them_are_left_out(tmp_path: Path) -> None:
    objects = [
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a.b.c"},
         "spec": {"group": "b.c", "scope": "Namespaced", "names": {"kind": "A", "plural": "a"}, "versions": []}},
        {"apiVersion": "b.c/v1", "kind": "A", "metadata": {"name": "a"}},
    ]  # fmt: skip
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    findings, skipped = check(tmp_path, NO_CRDS)
    assert findings == []
    assert any("b.c/v1 A" in reason for reason in skipped)


@needs_crds
def test_every_rule_of_the_definitions_is_one_that_is_handled() -> None:
    """Rules in CEL are not interpreted: what they say is written by hand, so a new one must be written too."""

    def rules(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (one["rule"] for one in node.get("x-kubernetes-validations") or ())
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from rules(value)

    definitions = [yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for file in CRDS.glob("ray.io_*.yaml")]
    assert len(definitions) == 3
    assert {rule for definition in definitions for rule in rules(definition)} == set(CEL_RULES)


def test_an_unknown_level_of_a_namespace_leaves_its_rules_on(plain: Path, tmp_path: Path) -> None:
    copy = plant(plain, tmp_path, "namespace.yaml", "enforce: restricted", "enforce: restrictd")
    text = (copy / JOB).read_text(encoding="utf-8")
    (copy / JOB).write_text(text.replace("runAsUser: 1000", "runAsUser: 0", 1), encoding="utf-8")
    findings = check(copy, NO_CRDS)[0]
    assert any("root" in one.message for one in findings), [str(one) for one in findings]


def test_objects_without_their_shape_end_a_part_and_not_the_check(plain: Path, tmp_path: Path) -> None:
    copy = plant(plain, tmp_path, "networkpolicies.yaml", "  egress:\n  - to:", "  egress:\n  - []\n  - to:")
    text = (
        (copy / JOB)
        .read_text(encoding="utf-8")
        .replace('cpu: "4"', "cpu: 1e999")
        .replace("backoffLimit: 2\n", "backoffLimit: -1\n", 1)
    )
    (copy / JOB).write_text(text, encoding="utf-8")
    findings, _ = check(copy, NO_CRDS)
    assert at(findings, JOB, "spec.backoffLimit")
    assert any("checking ended early" in one.message and one.path == "spec" for one in findings)


def test_an_object_that_no_part_can_read_is_named_and_the_others_are_checked(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(scene: Scene) -> Iterator[Finding]:
        for thing in scene.things:
            if thing.name in ("redis", "store") and thing.get("spec"):
                raise RuntimeError("this is new")
            yield thing.wrong(["metadata"], "seen")

    copy = plant(plain, tmp_path, JOB, "backoffLimit: 2", "backoffLimit: -1")
    monkeypatch.setattr(command, "PARTS", (part, *command.PARTS))
    monkeypatch.setattr(sys, "argv", ["check", str(copy), "--crds", str(NO_CRDS)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    lines = capsys.readouterr().out.splitlines()
    assert sum("could not be checked" in line and "this is new (RuntimeError)" in line for line in lines) == 4
    assert any("pvc.yaml: spec: the object could not be checked" in line for line in lines)
    assert any("rayjob.yaml: spec.backoffLimit: -1 is below 0" in line for line in lines)
    assert any("rayservice.yaml: metadata: seen" in line for line in lines)


def test_what_the_schema_says_of_a_shape_is_not_said_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [a], volumes: [b]}\n", encoding="utf-8"
    )
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    findings, _ = check(tmp_path, NO_CRDS)
    assert [one.path for one in findings] == ["spec.containers[0]", "spec.volumes[0]"]


def test_an_object_whose_shape_no_schema_tells_is_named(plain: Path, tmp_path: Path) -> None:
    """The schemas of Kubernetes' kinds take null for an entry of any list."""
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
    copy = plant(
        plain,
        tmp_path,
        "pvc.yaml",
        "apiVersion",
        f"{policy}spec: {{podSelector: {{}}, egress: [{{to: [null]}}]}}\n---\napiVersion",
    )
    findings, _ = check(copy, NO_CRDS)
    assert {(Path(one.file).name, one.path) for one in findings} == {("pvc.yaml", "spec.egress[0].to[0]")}


def test_a_file_that_cannot_be_read_takes_no_names_from_the_others(plain: Path, tmp_path: Path) -> None:
    copy = plant(plain, tmp_path, JOB, "metadata:\n", "metadata: [\n")
    assert [Path(one.file).name for one in check(copy, NO_CRDS)[0]] == [JOB]


def test_images_of_others_are_not_held_against_ours(plain: Path, tmp_path: Path) -> None:
    """Somebody's own job, with an image that nothing here knows: only what holds for any image is checked."""
    text = (plain / JOB).read_text(encoding="utf-8")
    text = text.replace("image: toolace-cpu", "image: registry.example/mine:1").replace('"2.60.0"', '"2.55.0"')
    text = text.replace(f"python ray_jobs/{ROUNDS} --set root=/mnt/store/runs", "python /home/me/job.py --fast")
    for file in plain.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / JOB).write_text(text, encoding="utf-8")
    assert [str(finding) for finding in check(tmp_path, NO_CRDS)[0]] == []
    wrong = text.replace("python /home/me/job.py --fast", "python ray_jobs/none.py")
    (tmp_path / JOB).write_text(wrong, encoding="utf-8")
    assert "no file 'ray_jobs/none.py'" in at(check(tmp_path, NO_CRDS)[0], JOB, "spec.entrypoint")[0]


def test_the_same_objects_as_plain_files_are_clean(plain: Path) -> None:
    assert check(plain)[0] == []


TWICE = {f"{name} twice": one for name, one in TWICE.items()}
SHAPES = SHAPES | {f"{name} twice by its definition": one for name, one in BY_DEFINITION.items()}
EVERYWHERE = (
    MISTAKES
    | COMMANDS
    | ENVIRONMENT
    | SERVING
    | GENERAL
    | EACH_OTHER
    | RUNNING
    | TWICE
    | VALUES
    | PLACES
    | IMAGES
    | OPERATOR
)

ALONE = (PLACES | IMAGES | OPERATOR | PROMISES).keys() - MANY | {
    "key twice",
    "version of Ray",
    "engine that fits no node",
}
"""Those that are one finding: it was seen to be told twice, or its consequences beside it."""


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_planted_mistake_is_found_without_the_definitions(name: str, plain: Path, tmp_path: Path) -> None:
    file, old, new, path, words = EVERYWHERE[name]
    findings, _ = check(plant(plain, tmp_path, file, old, new), NO_CRDS)
    said = at(findings, file, path)
    assert any(words in message for message in said), [str(finding) for finding in findings]
    assert name not in ALONE or len(findings) == 1, [str(finding) for finding in findings]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("", "", ""),
        ("pathType: Prefix", "pathType: Prefx", "pathType"),
        ("toolace-serve-serve-svc", "toolace-srve-serve-svc", "backend.service.name"),
    ],
)
def test_an_ingress_leads_to_a_service_that_is_there(
    old: str, new: str, path: str, plain: Path, tmp_path: Path
) -> None:
    findings = beside(plain, tmp_path, INGRESS_OBJECT.replace(old, new).removeprefix("\n"))
    assert [one.path for one in findings] == [f"spec.rules[0].http.paths[0].{path}"] * bool(path)


def test_workers_have_the_credentials_of_the_head(tmp_path: Path) -> None:
    for name in ("base", "overlays/gpu-lora"):
        shutil.copytree(SHIPPED / name, tmp_path / "k8s" / name)
    worker = "          - name: ray-worker\n            image: toolace-gpu\n            envFrom:\n"
    stores = "            - secretRef: {name: object-store}\n"
    copy = plant(tmp_path / "k8s", tmp_path, "overlays/gpu-lora/rayjob.yaml", worker + stores, worker)
    findings, _ = check(copy, NO_CRDS)
    assert [one.path for one in findings] == [f"{WORKER}.template.spec.containers[0].envFrom"]


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_in_which_nothing_is_wrong_is_left_alone(name: str, plain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "manifests"
    shutil.copytree(plain, copy)
    for file, old, new in CHANGED[name]:
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r} any more"
        (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert [str(finding) for finding in check(copy)[0]] == []


@pytest.mark.parametrize("name", OF_OTHERS)
def test_manifests_of_others_in_which_nothing_is_wrong_are_left_alone(name: str, tmp_path: Path) -> None:
    for file, text in OF_OTHERS[name].items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    findings, skipped = check(tmp_path)
    assert [str(finding) for finding in findings] == []
    assert ("sample" in name) == any("rayproject/ray:2.52.0: no images of cluster/" in one for one in skipped)
    assert ("company" not in name) or any("mycompany.io/v1 Foo" in one for one in skipped)


@pytest.mark.parametrize("name", RIGHT)
def test_a_command_in_which_nothing_is_wrong_is_left_alone(
    name: str, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings, _ = check(
        plant(plain, tmp_path, JOB, f"entrypoint: {RUN}", f"entrypoint: >-\n    {RIGHT[name]}"), NO_CRDS
    )
    assert capsys.readouterr().out == ""
    assert [str(finding) for finding in findings] == []


def test_a_file_of_keys_is_one_that_the_volume_has(plain: Path, tmp_path: Path) -> None:
    for old, new, found in (
        ("keys.txt}", "mine.txt}", 1),
        ("secretName: api-keys,", "secretName: api-keys, items: [{key: keys.txt, path: mine.txt}],", 1),
    ):
        copy = tmp_path / old.rstrip("},")
        shutil.copytree(plain, copy)
        text = (copy / SERVICE).read_text(encoding="utf-8").replace(old, new)
        (copy / SERVICE).write_text(text, encoding="utf-8")
        assert len(at(check(copy, NO_CRDS)[0], SERVICE, f"{ARGS}.auth.keys_file")) == found


def beside(plain: Path, tmp_path: Path, addition: str, *changes: tuple[str, str]) -> list[Finding]:
    """The findings of the shipped objects with one more beside them, and the job changed."""
    copy = tmp_path / "beside"
    shutil.copytree(plain, copy)
    text = (copy / JOB).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (copy / JOB).write_text(text, encoding="utf-8")
    version = "" if addition.startswith("apiVersion") else "apiVersion: v1\n"
    (copy / "more.yaml").write_text(f"{version}{addition}", encoding="utf-8")
    return check(copy, NO_CRDS)[0]


@pytest.mark.parametrize(
    ("kind", "part", "key", "words"),
    [
        ("ConfigMap", "data", "TOOLACE_CASHE", "did you mean TOOLACE_CACHE?"),
        ("Secret", "stringData", "HF_TOKN", "did you mean HF_TOKEN?"),
        ("Secret", "stringData", "HF_TOKEN", ""),
    ],
)
def test_keys_that_become_variables_have_a_reader(
    kind: str, part: str, key: str, words: str, plain: Path, tmp_path: Path
) -> None:
    head, reference = "          - name: ray-head\n", f"{kind[0].lower()}{kind[1:]}Ref"
    findings = beside(
        plain,
        tmp_path,
        f"kind: {kind}\nmetadata: {{name: mine}}\n{part}: {{{key}: x}}\n",
        (head, f"{head}            envFrom: [{{{reference}: {{name: mine}}}}]\n"),
    )
    found = at(findings, "more.yaml", f"{part}.{key}")
    assert [words in message for message in found] == [True] * bool(words), [str(one) for one in findings]
    assert len(findings) == bool(words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.yaml", "probe: {k: 4}", ""),
        ("rin.yaml", "probe: {k: 4}", "no file '/etc/cfg/rin.yaml'"),
        ("run.yaml", "modl: {}", "modl"),
    ],
)
def test_settings_in_a_mounted_config_map_are_read(
    name: str, content: str, words: str, plain: Path, tmp_path: Path
) -> None:
    store, volume = (
        "            - {name: store, mountPath: /mnt/store}\n",
        "          - {name: store, persistentVolumeC",
    )
    findings = beside(
        plain,
        tmp_path,
        f"kind: ConfigMap\nmetadata: {{name: cfg}}\ndata:\n  run.yaml: |\n    {content}\n",
        ("configs/demo.yaml", f"/etc/cfg/{name}"),
        (store, f"{store}            - {{name: cfg, mountPath: /etc/cfg}}\n"),
        (volume, f"          - {{name: cfg, configMap: {{name: cfg}}}}\n{volume}"),
    )
    assert len(findings) == bool(words), [str(one) for one in findings]
    assert all(words in message for message in at(findings, JOB, "spec.entrypoint"))


@pytest.mark.parametrize("source", ["fieldRef: {fieldPath: status.podIP}", "resourceFieldRef: {resource: limits.cpu}"])
def test_what_the_cluster_tells_of_a_pod_may_have_any_name(source: str, plain: Path, tmp_path: Path) -> None:
    head = "          - name: ray-head\n"
    variable = f"{head}            env: [{{name: MY_POD_IP, valueFrom: {{{source}}}}}]\n"
    assert check(plant(plain, tmp_path, JOB, head, variable), NO_CRDS)[0] == []


def test_the_deployments_of_the_application_have_the_names_that_are_checked() -> None:
    serving = ROOT / "toolace" / "serving"
    assert f'name="{INGRESS}"' in (serving / "ingress.py").read_text(encoding="utf-8")
    assert f"deployment_cls={ENGINE[:-1]})" in (serving / "app.py").read_text(encoding="utf-8")


def test_variables_that_the_libraries_read_are_known() -> None:
    assert [problem for name in READ.split() if (problem := unknown(name, ours=True))] == []


@needs_crds
@pytest.mark.parametrize("name", SHAPES)
def test_what_the_definitions_do_not_allow_is_found(name: str, plain: Path, tmp_path: Path) -> None:
    file, old, new, path, words = SHAPES[name]
    findings, _ = check(plant(plain, tmp_path, file, old, new))
    assert any(words in message for message in at(findings, file, path)), [str(finding) for finding in findings]


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_kubernetes_does_not_allow_is_found(name: str, plain: Path, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    file, old, new, path, words = BUILT_IN[name]
    findings, _ = check(plant(plain, tmp_path, file, old, new), NO_CRDS)
    assert any(words in message for message in at(findings, file, path)), [str(finding) for finding in findings]
