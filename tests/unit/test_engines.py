"""Engines without a model: the scripted one, model paths, fingerprints, the canary, a missing vLLM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rollout_fakes import ids, shout
from safetensors.numpy import save_file

from toolace.config import EngineConfig, ModelConfig
from toolace.engines import Script, ScriptedEngine, fingerprint, open_engine, resolve_model
from toolace.engines.canary import check_canary
from toolace.engines.vllm import prepare_environment
from toolace.engines.weights import check_weight_files
from toolace.errors import EngineError


def model_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_model_paths(tmp_path: Path):
    folder = model_folder(tmp_path / "m")
    assert resolve_model(str(folder)) == str(folder)
    assert resolve_model("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
    with pytest.raises(EngineError, match=r"no config\.json"):
        resolve_model(str(tmp_path / "nothing"))
    with pytest.raises(EngineError, match="no shipped model 'builtin:huge'"):
        resolve_model("builtin:huge")


def test_a_model_in_object_storage_is_copied_once_and_again_when_it_changes(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TOOLACE_CACHE", str(tmp_path / "cache"))
    remote = model_folder(tmp_path / "remote")
    local = Path(resolve_model(remote.as_uri()))
    assert (local / "model.safetensors").read_bytes() == b"weights"
    (local / "mark").touch()
    (remote / "README.md").write_text("a card, which a run writes anew with each evaluation")
    assert Path(resolve_model(remote.as_uri())) == local
    assert (local / "mark").exists()
    (remote / "model.safetensors").write_bytes(b"other weights")
    changed = Path(resolve_model(remote.as_uri()))
    assert changed != local
    assert (changed / "model.safetensors").read_bytes() == b"other weights"
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    (remote / "config.json").unlink()
    with pytest.raises(EngineError, match=r"no config\.json among its 1 files"):
        resolve_model(remote.as_uri())


def test_the_fingerprint_follows_the_weights(tmp_path: Path):
    folder = model_folder(tmp_path / "m")
    before = fingerprint(str(folder))
    (folder / "README.md").write_text("not a weight")
    assert fingerprint(str(folder)) == before
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert fingerprint(str(folder)) != before


def canary(folder: Path, answer: str, logprob: float, leads: list[float] | None = None) -> None:
    case = {"prompt": list(ids("q")), "answer": list(ids(answer)), "logprob": logprob}
    text = json.dumps({"version": 1, "cases": [{**case, "leads": leads or [5.0] * len(answer)}]})
    (folder / "canary.json").write_text(text)


@pytest.mark.parametrize(
    ("answer", "logprob", "leads", "problem"),
    [
        ("Q 0", -1.5, None, None),
        ("Q 0", -1.8, None, r"log-probability -1.5 where -1.8 was recorded"),
        ("Q 0", float("nan"), None, "log-probability"),
        ("Q 7", -1.5, None, "greedy answer"),
        ("Q 7", -1.5, [5.0, 5.0, 0.001], None),  # the last token was a tie: it proves nothing
    ],
)
def test_the_canary(tmp_path: Path, answer, logprob, leads, problem):
    engine = ScriptedEngine(shout)
    assert check_canary(engine, tmp_path, dtype="float32") is False
    canary(tmp_path, answer, logprob, leads)
    if problem is None:
        assert check_canary(engine, tmp_path, dtype="float32") is True
    else:
        with pytest.raises(EngineError, match=problem) as caught:
            check_canary(engine, tmp_path, dtype="float32")
        assert str(tmp_path) in str(caught.value)
    assert engine.pending == 0


def test_a_damaged_canary_is_named(tmp_path: Path):
    (tmp_path / "canary.json").write_text("{}")
    with pytest.raises(EngineError, match=r"canary\.json is damaged"):
        check_canary(ScriptedEngine(shout), tmp_path, dtype="float32")


def test_open_scripted():
    with pytest.raises(EngineError, match="needs a script"):
        open_engine(ModelConfig(), EngineConfig(kind="scripted"))
    engine = open_engine(ModelConfig(max_model_len=99), EngineConfig(kind="scripted"), script="rollout_fakes:shout")
    assert engine.identity.max_model_len == 99
    with pytest.raises(EngineError, match="no script 'rollout_fakes:nothing'"):
        open_engine(ModelConfig(), EngineConfig(kind="scripted"), script="rollout_fakes:nothing")


def test_a_table_is_a_script():
    from toolace.engines import Generate
    from toolace.rollouts.program import Sampling

    engine = ScriptedEngine(Script({ids("a"): ids("b")}))
    engine.submit(Generate("1", ids("a"), Sampling()))
    engine.submit(Generate("2", ids("z"), Sampling()))
    engine.submit(Generate("3", ids("a"), Sampling()))
    engine.abort("3")
    known, unknown = engine.step()
    assert known.token_ids == ids("b")
    assert unknown.finish == "error" and "KeyError" in (unknown.error or "")
    assert engine.pending == 0


def test_a_missing_vllm_names_the_command(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match="make install"):
        open_engine(ModelConfig(path=str(whole_model(tmp_path / "m")), dtype="float32"), EngineConfig())


def whole_model(folder: Path) -> Path:
    """Two weight files and the index that names them."""
    model_folder(folder)
    (folder / "model.safetensors").unlink()
    for name in ("one", "two"):
        save_file({name: np.zeros(100, np.float32)}, folder / f"{name}.safetensors", metadata={"format": "pt"})
    index = {"weight_map": {name: f"{name}.safetensors" for name in ("one", "two")}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(EngineError) as refused:
        open_engine(ModelConfig(path=str(folder), dtype="float32"), EngineConfig())
    return str(refused.value)


@pytest.mark.parametrize("size", [0, 5, 8, 40, 300])
def test_weights_that_are_cut_short_are_named_before_an_engine_starts(tmp_path: Path, size: int):
    file = whole_model(tmp_path / "m") / "two.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    told = refusal(file.parent)
    assert "two.safetensors" in told and "max_model_len" not in told and "download the model again" in told
    (tmp_path / "done.json").touch()  # now a stage's model
    assert f"Delete {tmp_path / 'done.json'} and run the same command again" in refusal(file.parent)


def test_missing_weights_are_named_before_an_engine_starts(tmp_path: Path):
    folder = whole_model(tmp_path / "m")
    check_weight_files(folder)
    check_weight_files("Qwen/Qwen2.5-0.5B-Instruct")
    (folder / "one.safetensors").unlink()
    assert "1 of the files that model.safetensors.index.json names are missing (one.safetensors)" in refusal(folder)
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "model.safetensors.index.json cannot be read" in refusal(folder)
    (folder / "model.safetensors.index.json").unlink()
    (folder / "two.safetensors").unlink()
    assert "there is no file that ends in .safetensors" in refusal(folder)


def test_the_shipped_model_is_whole():
    check_weight_files(resolve_model("builtin:tiny_base"))


def test_environment_of_the_engine():
    alone = prepare_environment(EngineConfig(), threads=3, gpu=False)
    assert alone["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert alone["TORCHDYNAMO_DISABLE"] == "1"
    assert alone["OMP_NUM_THREADS"] == "3"
    wide = prepare_environment(EngineConfig(tensor_parallel=2), threads=None, gpu=True)
    assert wide["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"
    assert "TORCHDYNAMO_DISABLE" not in wide
