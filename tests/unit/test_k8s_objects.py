"""Documents as objects: lists, names, what the API server refuses, and findings in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from k8s_planting import NO_CRDS

from k8s.check.__main__ import check
from k8s.check.documents import NotReadError, read
from k8s.check.findings import Finding
from k8s.check.schedules import schedule_problem
from toolace.errors import ConfigError

CLAIM = "metadata: {name: a}, spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gib}}}"
WHOLE = f"{{apiVersion: v1, kind: PersistentVolumeClaim, {CLAIM}}}"
STORAGE = "spec.resources.requests.storage"


def found(folder: Path, text: str) -> list[tuple[str, str]]:
    """Fields and words of the findings of a manifest."""
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return [(one.path, one.message) for one in check(folder, NO_CRDS)[0]]


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        ("List", WHOLE),
        ("PersistentVolumeClaimList", WHOLE),
        ("PersistentVolumeClaimList", f"{{{CLAIM}}}"),
        ("List", f"{{apiVersion: v1, kind: List, items: [{WHOLE}]}}"),
        ("List", f"{{apiVersion: v1, kind: PersistentVolumeClaimList, items: [{{{CLAIM}}}]}}"),
    ],
)
def test_what_is_in_lists_is_checked(kind: str, items: str, tmp_path: Path) -> None:
    findings = found(tmp_path, f"apiVersion: v1\nkind: {kind}\nmetadata: {{}}\nitems:\n- {items}\n")
    assert [path for path, _ in findings] == [STORAGE]


def test_a_list_of_nothing_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its Lists are empty"):
        found(tmp_path, "apiVersion: v1\nkind: List\nitems: []\n")
    assert [path for path, _ in found(tmp_path, "apiVersion: v1\nkind: List\n")] == ["items"]
    assert [path for path, _ in found(tmp_path, "apiVersion: v1\nkind: List\nitems: [5]\n")] == ["."]


def test_a_kind_that_only_ends_as_lists_do_is_an_object(tmp_path: Path) -> None:
    assert (
        found(tmp_path, "apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\nspec: {items: []}\n") == []
    )


def named(kind: str, metadata: str, version: str = "v1", rest: str = "") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{{metadata}}}\n{rest}"


SELECTED = "spec: {selector: {app: a}, ports: [{port: 80}]}\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (named("ConfigMap", "name: My_Config"), "metadata.name"),
        (named("ConfigMap", "name: my.config-1"), ""),
        (named("ConfigMap", "name: 'a..b'"), "metadata.name"),
        (named("ConfigMap", f"name: {'a' * 254}"), "metadata.name"),
        (named("ConfigMap", "generateName: a-"), ""),
        (named("ConfigMap", "generateName: A-"), "metadata.generateName"),
        (named("ConfigMap", "name: '${NAME}-a'"), ""),
        (named("ConfigMap", "name: a, namespace: My_NS"), "metadata.namespace"),
        (named("Namespace", "name: a.b"), "metadata.name"),
        (named("Service", "name: 1a", rest=SELECTED), "metadata.name"),
        (named("Service", "name: a.b", rest=SELECTED), "metadata.name"),
        (named("Role", "name: 'system:a_B'", "rbac.authorization.k8s.io/v1", "rules: []\n"), ""),
        (named("Foo", "name: 'a:b'", "example.com/v1"), ""),
        (named("Foo", "name: a, namespace: My_NS", "example.com/v1"), "metadata.namespace"),
    ],
)
def test_names_are_those_that_the_api_server_takes(text: str, path: str, tmp_path: Path) -> None:
    names = [where for where, _ in found(tmp_path, text) if where.startswith("metadata")]
    assert names == [path] * bool(path)


TEMPLATE = "template: {spec: {POLICYcontainers: [{name: c, image: 'busybox:1'}]}}"
CRON = named(
    "CronJob", "name: a", "batch/v1", f"spec: {{schedule: 'SCHEDULE', jobTemplate: {{spec: {{{TEMPLATE}}}}}}}\n"
)


@pytest.mark.parametrize("policy", ["", "restartPolicy: Never, ", "restartPolicy: OnFailure, "])
def test_a_job_says_what_becomes_of_a_pod_that_ends(policy: str, tmp_path: Path) -> None:
    job = named("Job", "name: b", "batch/v1", f"spec: {{{TEMPLATE}}}\n")
    findings = found(tmp_path, f"{CRON.replace('SCHEDULE', '@daily')}---\n{job}".replace("POLICY", policy))
    assert [path for path, _ in findings] == [
        "spec.jobTemplate.spec.template.spec.restartPolicy", "spec.template.spec.restartPolicy"
    ] * (not policy)  # fmt: skip


def test_a_schedule_is_one(tmp_path: Path) -> None:
    text = CRON.replace("POLICY", "restartPolicy: Never, ").replace("SCHEDULE", "every day")
    assert [path for path, _ in found(tmp_path, text)] == ["spec.schedule"]


@pytest.mark.parametrize(
    "text",
    [
        "*/5 * * * *", "0 2 1-15/2 JAN,mar mon-FRI", "@hourly", "@every 1h30m", "TZ=Europe/Vienna 0 0 * * ?",
        " 0  0 * * 0 ", "${SCHEDULE}",
    ],
)  # fmt: skip
def test_a_schedule_that_is_right_is_left_alone(text: str) -> None:
    assert list(schedule_problem(text)) == []


@pytest.mark.parametrize(
    "text",
    ["60 * * * *", "* * * *", "0 0 0 * *", "0 0 * * 7", "*/0 * * * *", "5-1 * * * *", "@dayly", "0 0 * foo *", ""],
)
def test_a_schedule_that_is_none_is_found_once(text: str) -> None:
    assert len(list(schedule_problem(text))) == 1


@pytest.mark.parametrize("field", ["env", "envFrom", "volumeMounts", "ports"])
def test_a_null_in_a_list_is_found_at_its_place(field: str, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes' own kinds are not installed")
    container = f"{{name: c, image: 'busybox:1', {field}: [null]}}"
    template = f"{{metadata: {{labels: {{a: b}}}}, spec: {{containers: [{container}]}}}}"
    spec = f"{{selector: {{matchLabels: {{a: b}}}}, template: {template}}}"
    findings = check_text(tmp_path, named("Deployment", "name: a", "apps/v1", f"spec: {spec}\n"))
    assert [(one.path, one.unchecked) for one in findings] == [(f"spec.template.spec.containers[0].{field}[0]", False)]


def check_text(folder: Path, text: str) -> list[Finding]:
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return check(folder, NO_CRDS)[0]


def test_a_finding_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb.yaml").write_text('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"x\\ny": 1\n')
    lines = [str(one) for one in check(tmp_path, NO_CRDS)[0]]
    assert lines == [] or (len(lines) == 1 and "a\\nb.yaml: x\\ny: " in lines[0] and "\n" not in lines[0])
    assert str(Finding("a\x1b\udc80", "b\u2028c", "d\n\x07e")) == "a\\x1b\\udc80: b\\u2028c: d \\x07e"


def bomb(levels: int, said: str = "[*LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST]") -> str:
    lines = ["a0: &a0 {x: y}"]
    lines += [f"a{one}: &a{one} {said.replace('LAST', f'a{one - 1}')}" for one in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "said", ["[*LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST, *LAST]", "{<<: [*LAST, *LAST]}"]
)
def test_aliases_that_are_too_many_values_are_refused(said: str) -> None:
    with pytest.raises(NotReadError, match="more than 1,000,000 values"):
        read(bomb(25, said))
    assert read(bomb(4, said)) is not None
