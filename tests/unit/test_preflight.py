"""What would stop a run later is said before any stage begins, and leaves nothing that is in the way afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from toolace.config import Config, ModelConfig, load_config
from toolace.errors import TemplateError
from toolace.rounds.context import base_model
from toolace.rounds.driver import run_rounds
from toolace.rounds.plan import describe_plan
from toolace.rounds.preflight import check_speech


@pytest.fixture
def mute(tmp_path: Path, tiny_base: Path) -> Path:
    """A whole model without a chat template."""
    folder = tmp_path / "mute"
    shutil.copytree(tiny_base, folder)
    for file in folder.glob("*.jinja"):
        file.unlink()
    return folder


def test_a_model_without_a_template_stops_plan_and_run_before_they_write(tmp_path: Path, mute: Path) -> None:
    config = load_config(None, [f"model.path={mute}", f"root={tmp_path / 'runs'}", "data.train.rows=40"])
    with pytest.raises(TemplateError, match=r"has no chat template.*model\.template"):
        describe_plan(config)
    with pytest.raises(TemplateError, match=r"has no chat template.*model\.template"):
        run_rounds(config)
    assert not (tmp_path / "runs").exists()


def test_the_template_that_the_message_names_is_the_way_out(mute: Path) -> None:
    config = load_config(None, [f"model.path={mute}", "model.template=tiny_pythonic"])
    check_speech(config.model)


@pytest.mark.parametrize("path", ["s3://nowhere/model", "organisation/name-7B"])
def test_a_plan_fetches_no_model(path: str) -> None:
    check_speech(load_config(None, [f"model.path={path}"]).model, fetch=False)


def test_a_model_in_the_working_directory_is_the_same_for_every_process(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training workers have a working directory of their own."""
    shutil.copytree(tiny_base, tmp_path / "runs/model")
    monkeypatch.chdir(tmp_path)
    model = base_model(Config(model=ModelConfig(path="runs/model")))
    assert model.path == str(tmp_path / "runs/model")
    assert base_model(Config(model=ModelConfig(path=model.path))) == model
    assert base_model(Config(model=ModelConfig(path="builtin:tiny_base"))).path == "builtin:tiny_base"
