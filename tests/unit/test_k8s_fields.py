"""The field that a finding names: the list with the words at fault, one line a field, whatever is in its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from k8s_mistakes import HEAD, JOB, SERVICE
from k8s_planting import NO_CRDS, SHIPPED, plant

from k8s.check.__main__ import check
from k8s.check.findings import Finding

CONTAINER = "spec.containers[0]"
JOBS, SERVES = SHIPPED / "components" / "train-cpu" / JOB, SHIPPED / "overlays" / "serve" / SERVICE


def pod(given: str, image: str = "toolace-cpu") -> str:
    """A Pod whose container is given its words."""
    return (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
        f"spec: {{containers: [{{name: c, image: '{image}', {given}}}]}}\n"
    )


def found(folder: Path, **files: str) -> list[tuple[str, str, str]]:
    """File, field and words of the findings of some files, `a` in `a.yaml`."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return [(Path(one.file).name, one.path, one.message) for one in check(folder, NO_CRDS)[0]]


def planted(folder: Path, file: Path, old: str, new: str) -> list[Finding]:
    """The findings of a shipped file alone with something else in it."""
    (folder / "shipped").mkdir()
    shutil.copy(file, folder / "shipped")
    return check(plant(folder / "shipped", folder, file.name, old, new), NO_CRDS)[0]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("command: [toolace], args: [run, --config, configs/none.yaml]", "args"),
        ("command: [toolace, run, --config, configs/none.yaml], args: [--set, root=/mnt]", "command"),
        ("command: [toolace, run, --config], args: [configs/none.yaml]", "args"),
        ("command: [sh, -c], args: ['pyton x.py']", "args"),
        ("command: [sh, -c, 'pyton $1'], args: [sh, x]", "command"),
        ("command: [pyton], args: [ray_jobs/evaluate.py]", "command"),
        ("command: [sh, -c], args: ['echo \"a']", "args"),
        ("command: [sh, -c, 'echo \"a'], args: [b]", "command"),
        ("args: [pyton]", "args"),
    ],
)
def test_the_list_that_holds_the_words_at_fault_is_named(given: str, field: str, tmp_path: Path) -> None:
    assert [path for _, path, _ in found(tmp_path, a=pod(given))] == [f"{CONTAINER}.{field}"]


def test_a_program_of_another_image_is_named_where_it_stands(tmp_path: Path) -> None:
    text = pod("command: [sh, -c], args: ['redis-sever --port 1']", "redis:7")
    assert [path for _, path, _ in found(tmp_path, a=text)] == [f"{CONTAINER}.args"]


def test_the_list_of_the_container_that_ray_runs_in_is_named(tmp_path: Path) -> None:
    head = "          - name: ray-head\n"
    words = "            command: [echo, a]\n            args: ['&& pyton x.py']\n"
    assert [one.path for one in planted(tmp_path, JOBS, head, head + words) if "pyton" in one.message] == [
        f"{HEAD}.containers[0].args"
    ]


def test_the_file_that_holds_the_words_at_fault_is_named(tmp_path: Path) -> None:
    patched = pod("args: ['pyton x.py']").replace("image: 'toolace-cpu', ", "")
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\npatches: [{path: b.yaml}]\n", encoding="utf-8")
    findings = found(tmp_path, a=pod("command: [sh, -c], args: [ls]"), b=patched)
    assert [(file, path) for file, path, _ in findings] == [("b.yaml", f"{CONTAINER}.args")]


IMPORT = "      import_path: serve_apps.refine:build_app\n"
APPLICATION = "spec.serveConfigV2.applications[0]"


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ("deployments: [{name: ingress, num_replicas: 0}]", "deployments[0].num_replicas", ["than 0", "valid string"]),
        ("logging_config: {log_level: 1.5}", "logging_config.log_level", ["valid integer", "valid string"]),
        ("logging_config: {log_levl: INFO}", "logging_config.log_levl", ["not permitted"]),
        ("deployments: [{num_replicas: 1}]", "deployments[0].name", ["required"]),
        (
            "deployments: [{name: ingress, autoscaling_config: {policy: {policy_function: 3}}}]",
            "deployments[0].autoscaling_config.policy.policy_function", ["valid string", "callable"],
        ),
    ],
)  # fmt: skip
def test_a_value_that_serve_refuses_is_told_once_at_its_field(
    said: str, field: str, words: list[str], tmp_path: Path
) -> None:
    findings = [
        one for one in planted(tmp_path, SERVES, IMPORT, f"      {said}\n{IMPORT}") if "Ray Serve's" in one.message
    ]
    assert [one.path for one in findings] == [f"{APPLICATION}.{field}"], [str(one) for one in findings]
    assert all(word in findings[0].message for word in words)


@pytest.mark.parametrize(
    ("role", "limits"), [("submit", ("1", "1Gi")), ("head", ("2", "8Gi")), ("worker", ("4", "12Gi"))]
)
def test_only_where_ray_runs_resources_have_limits(role: str, limits: tuple[str, str], tmp_path: Path) -> None:
    """A submitter waits for its job and runs no node of Ray."""
    cpu, memory = limits
    findings = planted(tmp_path, JOBS, f'limits: {{cpu: "{cpu}", memory: {memory}}}', "limits: {}")
    said = [one.path for one in findings if "resources" in one.path]
    assert [path.rpartition(".spec.")[2] for path in said] == ["containers[0].resources.limits"] * (role != "submit")
