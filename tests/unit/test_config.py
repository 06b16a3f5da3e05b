"""Settings: bounds, unknown keys, overrides, and every shipped file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from toolace.config import Config, dump_config, load_config, validate_config
from toolace.errors import ConfigError

CONFIGS = sorted((Path(__file__).parent.parent.parent / "configs").glob("*.yaml"))
RUN_CONFIGS = [path for path in CONFIGS if path.name not in ("tiny_base.yaml", "serve.yaml")]


@pytest.mark.parametrize("path", RUN_CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_is_valid_and_round_trips(path: Path) -> None:
    config = load_config(path)
    assert validate_config(yaml.safe_load(dump_config(config)), "dump") == config


def test_there_are_shipped_configs() -> None:
    assert {"demo", "llama31-8b-lora-zero2", "qwen25-7b-full-zero3"} <= {path.stem for path in RUN_CONFIGS}


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("probe: {k: 4, temperature: 0.5}\n")
    config = load_config(file, ["probe.k=16", "data.train.type=files", "data.train.path=x.jsonl", "name=other"])
    assert config.probe.k == 16 and config.probe.temperature == 0.5
    assert config.data.train.type == "files" and config.run_dir == "runs/other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("probe.q=4", r"probe\.q"),
        ("probe.k=0", r"probe\.k.*given: 0"),
        ("train.zero_stage=4", r"train\.zero_stage"),
        ("nonsense", "section.key=value"),
        ("probe.k=[", "not YAML"),
        ("seed.x=1", "seed"),
        ("name=../x", "name"),
        ("probe.draft_draws=9", "draft_draws"),
        ("rollout.min_actors=3", "max_actors"),
        ("data.train.type=web", "data.train"),
    ],
)
def test_bad_settings_name_the_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"select\.low"):
        load_config(None, ["select.rule=band", "select.low=0.5", "select.high=0.5"])


@pytest.mark.parametrize(("text", "message"), [("- 1", "not a mapping"), ("a: [", "YAML"), (None, "not found")])
def test_bad_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "bad.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(file)


def test_every_setting_has_a_default() -> None:
    assert Config() == load_config()
