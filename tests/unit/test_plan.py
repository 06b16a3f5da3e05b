"""The plan of `--dry-run`: rows counted for real, memory worked out by hand, a model of any origin."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from toolace.config import Config, TrainConfig, load_config
from toolace.engines.size import ModelSize, measure_model, parameters_in_name
from toolace.errors import DataError, EngineError
from toolace.rounds import plan
from toolace.rounds.memory import adapter_parameters, engine_memory, training_memory
from toolace.rounds.plan import describe_plan
from toolace.rounds.record import record_start
from toolace.storage import Store

CONFIG = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "vocab_size": 100,
    "tie_word_embeddings": True,
}


def write_rows(file: Path, number: int, bad: int = 0) -> None:
    """OpenAI rows with a tool each; the last `bad` ones call a tool that is not listed."""
    lines = []
    for i in range(number):
        tool = {"type": "function", "function": {"name": f"tool_{i}", "parameters": {"type": "object"}}}
        call = {"function": {"name": f"tool_{i}" if i < number - bad else "other", "arguments": "{}"}}
        turns = [{"role": "user", "content": f"Do {i}."}, {"role": "assistant", "tool_calls": [call]}]
        lines.append(json.dumps({"messages": turns, "tools": [tool]}) + "\n")
    file.write_text("".join(lines))


def write_model(folder: Path, files: dict[str, dict[str, list[int]]]) -> None:
    """A model directory with float32 tensors of zeros."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name, shapes in files.items():
        header, end = {}, 0
        for tensor, shape in shapes.items():
            begin, end = end, end + 4 * shape[0] * shape[1]
            header[tensor] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
        (folder / name).write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def settings(tmp_path: Path, *overrides: str) -> Config:
    return load_config(None, [f"root={tmp_path}/runs", *overrides])


def test_rows_of_files_are_counted_with_their_quarantine(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60, bad=3)
    write_rows(tmp_path / "test.jsonl", 7)
    text = describe_plan(settings(tmp_path, f"data.train.path={tmp_path}/rows.jsonl"))
    assert f"train: 60 rows of {tmp_path}/rows.jsonl, 57 samples, 3 quarantined (unknown_tool 3), 0 without" in text
    samples = next(line for line in text.splitlines() if line.startswith("samples"))
    assert sum(int(word) for word in samples.split() if word.isdigit()) == 57 and "at least" not in text
    both = [f"data.train.path={tmp_path}/rows.jsonl", f"data.test={{type: files, path: {tmp_path}/test.jsonl}}"]
    text = describe_plan(settings(tmp_path, *both, "data.train.limit=40", "data.dev_share=0"))
    assert "train: 40 rows" in text and "test: 7 rows" in text and "samples    40 train, 0 dev, 7 test" in text
    assert not (tmp_path / "runs").exists()


def test_settings_that_changed_since_the_last_start_are_told(tmp_path: Path) -> None:
    config = load_config(None, [f"root={tmp_path}", "data.train.rows=20"])
    assert "since the last start" not in describe_plan(config)
    record_start(Store(config.run_dir), config)
    assert "since the last start" not in describe_plan(config)
    told = describe_plan(load_config(None, [f"root={tmp_path}", "data.train.rows=20", "probe.k=4"]))
    assert "probe.k: 8 -> 4" in told and "is refused" in told


def test_a_count_that_was_cut_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PLAN_ROWS", 40)
    write_rows(tmp_path / "rows.jsonl", 60)
    text = describe_plan(settings(tmp_path, f"data.train.path={tmp_path}/rows.jsonl"))
    assert "40 rows" in text and "read to row 40 for this plan, there may be more" in text and "at least" in text
    text = describe_plan(settings(tmp_path, f"data.train.path={tmp_path}/rows.jsonl", "data.train.limit=40"))
    assert "40 rows" in text and "there may be more" not in text and "at least" not in text


def test_data_that_a_run_would_refuse_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 10, bad=6)
    with pytest.raises(DataError, match="max_bad_share"):
        describe_plan(settings(tmp_path, f"data.train.path={tmp_path}/rows.jsonl"))
    write_rows(tmp_path / "rows.jsonl", 10)
    with pytest.raises(DataError, match="test split is empty"):
        describe_plan(settings(tmp_path, f"data.train.path={tmp_path}/rows.jsonl", "data.test_share=0"))


def test_a_model_is_measured_by_the_headers_of_its_shards(tmp_path: Path) -> None:
    shards: dict[str, dict[str, list[int]]] = {
        "model-1.safetensors": {"model.embed_tokens.weight": [100, 64], "model.layers.0.q_proj.weight": [64, 64]},
        "model-2.safetensors": {"model.layers.0.mlp.up_proj.weight": [128, 64]},
    }
    write_model(tmp_path / "m", shards)
    size = measure_model(str(tmp_path / "m"))
    assert size.parameters == 6400 + 4096 + 8192 and size.origin == "from its files"
    assert size.kv_values == 2 * 2 * 2 * 16
    assert size == measure_model(f"file://{tmp_path}/m")
    assert adapter_parameters(TrainConfig(), size) == 16 * (64 + 64 + 64 + 128)
    targets = load_config(None, ["train.lora.targets=[up_proj]"]).train
    assert adapter_parameters(targets, size) == 16 * (64 + 128)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-3.safetensors"}}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(EngineError, match=r"model-3\.safetensors is missing"):
        measure_model(str(tmp_path / "m"))


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, {})
    with pytest.raises(EngineError, match="no weights"):
        measure_model(str(tmp_path))
    write_model(tmp_path, {"model.safetensors": {"x.weight": [64, 64]}})
    weights = tmp_path / "model.safetensors"
    for cut in (weights.read_bytes()[:-1], weights.read_bytes()[:20], b"", b"{" * 100):
        weights.write_bytes(cut)
        with pytest.raises(EngineError, match=r"model\.safetensors.*damaged or cut off"):
            measure_model(str(tmp_path))
    weights.unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    found = measure_model(str(tmp_path))
    attention, mlp = 64 * 64 * 2 + 64 * 32 * 2, 3 * 64 * 128
    assert found.parameters == 100 * 64 + 2 * (attention + mlp) and "config.json" in found.origin


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8e9),
        ("Qwen/Qwen2.5-0.5B", 0.5e9),
        ("Qwen/Qwen3-30B-A3B", 30e9),
        ("x/SmolLM-135M", 135e6),
        ("x/gemma-2b-it", 2e9),
        ("x/Mixtral-8x7B-v0.1", 56e9),
        ("org-7B/phi-4-mini", None),
        ("x/model-v2beta", None),
    ],
)
def test_a_name_tells_a_size(name: str, parameters: float | None) -> None:
    assert parameters_in_name(name) == parameters


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub with one model, `org/known-1B`."""

    def do_GET(self) -> None:
        known = self.path.startswith(("/api/models/org/known-1B", "/org/known-1B/resolve/main/config.json"))
        size = {"id": "org/known-1B", "safetensors": {"parameters": {"BF16": 123}, "total": 123}}
        body = json.dumps(size if "/api/" in self.path else CONFIG).encode()
        headers = {"ETag": '"1"', "X-Repo-Commit": "1" * 40} if known else {"X-Error-Code": "RepoNotFound"}
        self.send_response(200 if known else 404)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hub_is_asked_for_a_size(hub: http.server.ThreadingHTTPServer) -> None:
    size = measure_model("org/known-1B")
    assert size.parameters == 123 and size.origin == "from the hub"
    assert size.kv_values == 2 * 2 * 2 * 16 and len(size.linear) == 2 * 7
    with pytest.raises(EngineError, match=r"no model 'org/other-7B'.*Check the name"):
        measure_model("org/other-7B")


def test_a_hub_that_cannot_be_reached_leaves_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    text = describe_plan(settings(tmp_path, "model.path=meta-llama/Llama-3.1-8B-Instruct", "model.dtype=bfloat16"))
    assert "8,000.0 M parameters, estimated from its name; the hub cannot be reached" in text
    assert f"weights {16e9 / 2**30:.2f} GiB" in text
    text = describe_plan(settings(tmp_path, "model.path=org/phi"))
    assert "size: its name does not tell; the hub cannot be reached" in text
    assert "weights not known" in text and "a training worker: not known" in text
    with pytest.raises(EngineError, match="neither a directory nor a hub name"):
        measure_model("no such name")


BIG = ModelSize(8 * 10**9, "here", kv_values=65536, linear=(("layers.0.up_proj", 1000, 3000),))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # full: bf16 weights 2, float32 gradients 4, float32 master and moments 12 bytes; each divided by its stage
        (["method=full", "zero_stage=1", "workers=4"], 2 + 4 + 12 / 4),
        (["method=full", "zero_stage=2", "workers=4"], 2 + 4 / 4 + 12 / 4),
        (["method=full", "zero_stage=3", "workers=4"], 2 / 4 + 4 / 4 + 12 / 4),
        (["method=full", "zero_stage=0", "workers=4"], 4 + 4 + 8),
        (["method=full", "zero_stage=1", "precision=fp32"], 4 + 4 + 12),
        # LoRA: only 16 * 4000 adapter parameters beside frozen weights
        (["zero_stage=2"], 2 + 16 * 4000 * (2 + 4 + 12) / 8e9),
        (["zero_stage=0"], 2 + 16 * 4000 * (4 + 4 + 8) / 8e9),
    ],
)
def test_training_memory_of_a_worker(overrides: list[str], expected: float) -> None:
    train = load_config(None, [f"train.{override}" for override in ("precision=bf16", *overrides)]).train
    assert f"= {8e9 * expected / 2**30:,.2f} GiB" in training_memory(train, BIG)


def test_adapters_of_a_known_model_are_near_their_true_number() -> None:
    # Llama-3.1-8B with rank 16 on all linear layers has 41.9 M adapter parameters
    by_name = ModelSize(8_030_000_000, "by name")
    assert adapter_parameters(TrainConfig(), by_name) == pytest.approx(41.9e6, rel=0.1)


def test_engine_memory_has_weights_and_cache() -> None:
    gpu = ["rollout.gpus_per_actor=1", "model.dtype=bfloat16", "model.max_model_len=8192", "engine.max_num_seqs=4"]
    text = engine_memory(load_config(None, gpu), BIG)
    assert f"weights {16e9 / 2**30:,.2f} GiB" in text and "1.00 GiB for one sequence of 8192 tokens, 4.0 GiB" in text
    halved = engine_memory(load_config(None, [*gpu, "engine.tensor_parallel=2"]), BIG)
    assert f"weights {8e9 / 2**30:,.2f} GiB" in halved and "0.50 GiB for one sequence" in halved
    cpu = engine_memory(load_config(None, ["engine.kv_cache_gib=2"]), BIG)
    assert f"weights {32e9 / 2**30:,.2f} GiB" in cpu and "8,192 tokens" in cpu and f"{32e9 / 2**30 + 2:,.2f} GiB" in cpu
