"""Commands in manifests as shell texts: mistakes in them are found, and what is right is left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from k8s_image_mistakes import RUN
from k8s_planting import NO_CRDS
from k8s_shell_mistakes import MODULE, RIGHT, WRONG

from k8s.check.__main__ import check
from k8s.check.commands import CommandLine
from k8s.check.image import image_for, image_of
from k8s.check.mounted import Mounted

SHIPPED = Path(__file__).resolve().parents[2] / "k8s"


def line() -> CommandLine:
    image = image_of("toolace-cpu")
    assert image is not None
    return CommandLine(image, Mounted(["/mnt/store"], ["/tmp"]))


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_in_a_command_is_found_once(name: str) -> None:
    text, words = WRONG[name]
    found = list(line().check_text(text))
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize("name", RIGHT)
def test_a_command_in_which_nothing_is_wrong_is_left_alone(name: str) -> None:
    assert list(line().check_text(RIGHT[name])) == []


@pytest.mark.parametrize(
    ("text", "command", "said"),
    [
        ("f() { ls; }\nmkdir -p /opt/b", "f && cat /opt/b/c", []),
        ("A=1", "pyton a.py", ["no command 'pyton'"]),
        ("export PATH=/opt/b:$PATH", "mine", []),
        ("alias mine=ls", "mine", []),
        (". /etc/profile.d/a.sh", "mine", []),
        ("cd /mnt/store", "python a.py", []),
        ("cd $A", "python a.py", []),
        ("echo 'a", "mine; python a.py", []),
    ],
)
def test_a_sourced_file_that_is_known_leaves_behind_what_it_says(text: str, command: str, said: list[str]) -> None:
    image = image_of("toolace-cpu")
    assert image is not None
    volumes = Mounted(["/mnt/store"], ["/etc/a"], {"/etc/a/a.sh": text})
    found = list(CommandLine(image, volumes).check_text(f". /etc/a/a.sh && {command}"))
    assert len(found) == len(said) and all(words in one for words, one in zip(said, found, strict=True)), found


def test_a_module_says_where_its_results_go() -> None:
    checked = line()
    text = f"{MODULE} --config configs/demo.yaml --set root=/tmp/runs"
    assert list(checked.check_text(text)) == []
    assert checked.writes == [("root", "/tmp/runs")]


def test_a_module_of_the_project_tells_that_an_image_by_another_name_is_ours() -> None:
    assert image_for("registry.example/mine:1", MODULE) is not None
    assert image_for("registry.example/mine:1", "python -m my_ray_jobs.train") is None


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        (f'bash -euo pipefail -c "# it\'s fine\n{RUN}"', []),
        (f"# it's fine\ncat > /tmp/a <<EOF\nit's\nEOF\nf() {{ {RUN}; }}\n[[ -f /tmp/a ]] && f", []),
        ('bash -c "echo \'it"', ["is no command line: No closing quotation"]),
        (
            f"{MODULE} --config configs/demo.yaml --set root=/tmp/runs",
            ["'/tmp/runs' is on no lasting volume of the head's and the worker's pods"],
        ),
    ],
)
def test_an_entrypoint_is_read_as_a_shell_reads_it(entrypoint: str, said: list[str], tmp_path: Path) -> None:
    for name in ("base", "components/store", "components/train-cpu"):
        shutil.copytree(SHIPPED / name, tmp_path / name)
    for file in tmp_path.rglob("kustomization.yaml"):
        file.unlink()
    job = tmp_path / "components" / "train-cpu" / "rayjob.yaml"
    text = job.read_text(encoding="utf-8")
    assert f"entrypoint: {RUN}" in text
    job.write_text(text.replace(f"entrypoint: {RUN}", f"entrypoint: {json.dumps(entrypoint)}"), encoding="utf-8")
    findings, _ = check(tmp_path, NO_CRDS)
    assert len(findings) == len(said), [str(one) for one in findings]
    assert all(words in one.message for one, words in zip(findings, said, strict=True))
    assert all(one.path == "spec.entrypoint" for one in findings)
