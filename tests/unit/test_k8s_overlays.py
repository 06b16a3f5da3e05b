"""Mistakes in overlays, patches and components: the finding names the file that has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from k8s_mistakes import PATCH, RENDERED
from k8s_planting import NO_CRDS, SHIPPED, at, plant

from k8s.check.__main__ import check


@pytest.fixture(scope="module")
def overlaid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay of the pair, with all that it stands on and nothing else."""
    folder = tmp_path_factory.mktemp("overlaid") / "k8s"
    for name in ("base", "components", "overlays/serve", "overlays/train-then-serve"):
        shutil.copytree(SHIPPED / name, folder / name)
    for name in ("kueue", "monitoring"):
        shutil.rmtree(folder / "components" / name)
    return folder


@pytest.mark.parametrize("name", RENDERED)
def test_a_mistake_in_an_overlay_names_the_file_that_has_it(name: str, overlaid: Path, tmp_path: Path) -> None:
    file, old, new, path, words = RENDERED[name]
    copy = plant(overlaid, tmp_path, file, old, new)
    findings, _ = check(copy, NO_CRDS)
    if not path:
        file = file.replace("kustomization.yaml", "pdb.yaml")
        path, words = ".", "no kustomization lists this file"
    if name == "in the patch alone":  # the patch sets another entrypoint, so that the script below is never run
        assert findings == []
        return
    said = [one.message for one in findings if Path(one.file) == copy / file and one.path == path]
    assert any(words in message for message in said), [str(finding) for finding in findings]


def test_a_mistake_in_a_merge_patch_names_the_patch(overlaid: Path, tmp_path: Path) -> None:
    copy = plant(overlaid, tmp_path, PATCH, "patches:\n", "patches:\n- path: more.yaml\n")
    patch = copy / Path(PATCH).parent / "more.yaml"
    patch.write_text(
        "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: train}\nspec: {backoffLimit: -1}\n", encoding="utf-8"
    )
    findings, _ = check(copy, NO_CRDS)
    assert [(Path(one.file), one.path) for one in findings] == [(patch, "spec.backoffLimit")]


@pytest.mark.parametrize(
    ("lines", "patch", "file"),
    [
        ("", "spec: {backoffLimit: 1}", "job.yaml"),
        ("", "- {op: add, path: /spec/suspend, value: true}", "job.yaml"),
        ("  entrypoint: python a.py\n", "spec: {entrypoint: null}", "patch.yaml"),
        ("  entrypoint: python a.py\n", "- {op: remove, path: /spec/entrypoint}", "patch.yaml"),
        ("  entrypoint: python a.py\n", "spec: {rayClusterSpec: {gcsFaultToleranceOptions: {}}}", "patch.yaml"),
    ],
)
def test_what_is_missing_is_missing_in_the_file_that_holds_it(
    lines: str, patch: str, file: str, tmp_path: Path
) -> None:
    """Not in a patch that sets another field beside it."""
    job = "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: a}\n"
    resources = "resources: {limits: {cpu: 1, memory: 4Gi}}"
    head = f"{{template: {{spec: {{containers: [{{name: h, image: 'rayproject/ray:2.52.0', {resources}}}]}}}}}}"
    spec = f"spec:\n{lines}  shutdownAfterJobFinishes: true\n  rayClusterSpec: {{headGroupSpec: {head}}}\n"
    texts = {
        "job.yaml": f"{job}{spec}",
        "patch.yaml": patch if patch.startswith("-") else f"{job}{patch}\n",
        "kustomization.yaml": "resources: [job.yaml]\npatches: [{path: patch.yaml, target: {kind: RayJob}}]\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    findings, _ = check(tmp_path, NO_CRDS)
    assert [(Path(one.file).name, "missing" in one.message) for one in findings] == [(file, True)], findings


def test_objects_of_an_overlay_have_one_version_of_an_image(overlaid: Path, tmp_path: Path) -> None:
    copy = plant(overlaid, tmp_path, PATCH, 'newTag: "0.1.0"', 'newTag: "0.2.0"')
    findings, _ = check(copy, NO_CRDS)
    assert findings
    assert all(
        "but other objects of the overlay have registry.example/toolace-cpu:0." in one.message for one in findings
    )


def test_a_component_that_nothing_uses_is_named(overlaid: Path, tmp_path: Path) -> None:
    copy = plant(overlaid, tmp_path, PATCH, "components:\n- ../../components/train-cpu\n", "")
    assert at(check(copy, NO_CRDS)[0], "kustomization.yaml", ".")
