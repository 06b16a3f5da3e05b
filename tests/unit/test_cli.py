"""The command line: what it prints, and one clear error with exit code 1 for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import toolace
from toolace.cli.main import main
from toolace.cli.stages import stage_settings
from toolace.config import Config, load_config
from toolace.errors import ServingError
from toolace.processor import native_bf16
from toolace.rounds.record import record_start
from toolace.storage import DONE, Store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process: exit code, stdout, stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["toolace", *args])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


ROW = {
    "messages": [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ],
}


def test_data_check_prints_what_programs_rely_on(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    bad = {**ROW, "tools": []}
    file.write_text("\n".join(json.dumps(row) for row in (ROW, ROW, bad)) + "\n{broken\n")
    code, out, _ = run("data", "check", str(file), "--json")
    found = json.loads(out)
    assert code == 0 and found["rows"] == 4 and found["samples"] == 2
    assert sum(found["quarantined"].values()) == 2 and found["quarantined"]["unknown_tool"] == 1
    code, out, _ = run("data", "check", str(file))
    assert code == 0 and "unknown_tool" in out and f"{file}:4" in out


@pytest.mark.parametrize("module", ["toolace", "toolace.cli.main"])
def test_python_m_runs_the_command(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == toolace.__version__ and not done.stderr


def test_data_generate_writes_shards(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("data", "generate", str(tmp_path / "s"), "--rows", "300", "--seed", "3")
    assert code == 0 and json.loads(out) == {"rows": 300, "shards": 2}


def test_config_prints_what_loads_back(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("config", "--set", "probe.k=4")
    assert code == 0 and Config.model_validate(yaml.safe_load(out)) == load_config(None, ["probe.k=4"])
    code, out, _ = run("config", "--json")
    assert Config.model_validate_json(out) == Config()


def test_dry_run_names_stages_rows_and_memory(run: Any, tmp_path: Path, tiny_base: Path) -> None:
    code, out, _ = run("run", "-c", "configs/demo.yaml", "--dry-run", "--set", f"root={tmp_path}")
    assert code == 0
    assert "1200 synthetic rows" in out and "GiB" in out and "M parameters" in out and "own context" not in out
    settings = ("--set", f"root={tmp_path}", "--set", "model.max_model_len=2000")
    _, longer, _ = run("run", "-c", "configs/demo.yaml", "--dry-run", *settings)
    assert "its own context of 1,024 tokens counts, model.max_model_len=2,000 is more" in longer
    assert [line.split()[0] for line in out.splitlines() if line.endswith("to do")][:2] == ["data", "base/eval-dev"]
    assert not list(tmp_path.iterdir())


def test_dry_run_of_evolution_names_its_stages(run: Any, tmp_path: Path, tiny_base: Path) -> None:
    code, out, _ = run("evolve", "-c", "configs/demo_evolve.yaml", "--dry-run", "--set", f"root={tmp_path}")
    stages = [line.split()[0] for line in out.splitlines() if line.endswith("to do")]
    assert code == 0 and "at most 8 votes" in out and "invocation, generation, adaption" in out
    assert stages[:3] == ["data", "tasks", "queries"] and stages[-1] == "evolve-3/tasks-test"
    code, out, _ = run(
        "evolve", "--dry-run", "--set", "evolve={adaption: false, rounds: 0}", "--set", f"root={tmp_path}"
    )
    assert code == 0 and "adaption/" not in out and "evolve-" not in out and "queries" not in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("run", "--config", "none.yaml"), "none.yaml"),
        (("evolve", "--config", "none.yaml"), "none.yaml"),
        (("evolve", "--set", "evolve.generation=false"), "evolve.generation"),
        (("run", "--set", "probe.q=1"), "probe.q"),
        (("run", "--set", "engine.kind=scripted"), "engine.kind scripted"),
        (("compare", "none.yaml"), "none.yaml"),
        (("run", "--set", "train.lr=fast"), "train.lr"),
        (("run", "--dry-run", "--set", "data.train.path=/nonexist.jsonl"), "/nonexist.jsonl"),
        (("run", "--dry-run", "--set", "data.test={type: files, path: none.jsonl}"), "none.jsonl"),
        (("run", "--dry-run", "--set", "data.train.profile=nix"), "nix"),
        (("run", "--dry-run", "--set", "data.dev={type: synthetic, profile: nix}"), "nix"),
        (("run", "--dry-run", "--set", "model.path=./nowhere"), "./nowhere"),
        (("run", "--dry-run", "--set", "model.path=builtin:none"), "builtin:none"),
        (("run", "--dry-run", "--set", "model.path=file:///none/model"), "file:///none/model"),
        (("data", "check", "missing.jsonl"), "missing.jsonl"),
        (("data", "generate", "x", "--profile", "odd"), "odd"),
        (("data", "generate", "x", "--split", "nope"), "train, dev, test"),
        (("report", "no/such/run"), "no/such/run"),
        (("report", "no/such/run", "--json"), "no/such/run"),
        (("refine", "hi", "--tools", "missing.json"), "missing.json"),
        (("select", "--probe", "no/probe"), "no/probe"),
    ],
)
def test_bad_input_is_one_clear_error(
    run: Any, args: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*args)
    assert code == 1
    assert err.startswith("error: ") and named in err and "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if path.name != "x"]


def test_an_unknown_model_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text("[]")
    code, _, err = run("refine", "hi", "--tools", str(tmp_path / "tools.json"), "--model", "./nowhere")
    assert code == 1 and "./nowhere" in err and "builtin:tiny_base" in err


def test_a_tools_file_without_functions_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('[{"description": "no name"}]')
    code, _, err = run("refine", "hi", "--tools", str(tmp_path / "tools.json"))
    assert code == 1 and "entry 0 is not a function with a name" in err


def test_doctor_says_what_it_found(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("doctor", "--json", "--storage", str(tmp_path))
    found = json.loads(out)
    checks = {check["name"]: check for check in found["checks"]}
    assert code == (0 if found["ok"] else 1)
    assert ("auto trains in bf16 on CPUs" in checks["precision"]["found"]) == native_bf16()
    assert checks["storage"]["ok"] and checks["python"]["ok"] and checks["torch"]["found"].startswith("2.13")
    code, out, _ = run("doctor", "--json", "--storage", "/proc/nowhere")
    failed = [check for check in json.loads(out)["checks"] if not check["ok"]]
    assert code == 1 and failed[-1]["name"] == "storage" and "/proc/nowhere" in failed[-1]["advice"]


@pytest.mark.parametrize("packaged", [False, True])
def test_packages_that_do_not_work_together_are_one_clear_error(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packaged: bool
) -> None:
    def break_(*args: object) -> None:
        raise ModuleNotFoundError("Could not import module 'LlamaConfig'.", name="toolace.gone" if packaged else None)

    monkeypatch.setattr("toolace.cli.run.load_config", break_)
    if packaged:
        with pytest.raises(ModuleNotFoundError):  # a defect of this package is no matter of the installation
            run("run")
        return
    code, _, err = run("run")
    assert code == 1 and "LlamaConfig" in err and "toolace doctor" in err and "make install" in err


def test_a_run_is_a_model_for_single_stages(tmp_path: Path) -> None:
    config = load_config(None, ["model.format=hermes", "model.template=tiny_pythonic", f"root={tmp_path}", "name=mine"])
    run = Store(config.run_dir)
    record_start(run, config)
    with pytest.raises(ServingError, match="no finished round"):
        stage_settings(None, None, run.uri)
    for name in ("round-1", "round-2"):
        run.write_json(f"{name}/train/{DONE}", {})
        run.write_json(f"{name}/train/model/config.json", {})
    found = stage_settings(None, ["probe.k=2"], run.uri).model
    assert (found.path, found.format, found.template) == (run.at("round-2/train/model"), "hermes", "tiny_pythonic")
    found = stage_settings(None, ["model.format=pythonic"], run.at("round-1")).model
    assert (found.path, found.format, found.template) == (run.at("round-1/train/model"), "pythonic", "tiny_pythonic")
    found = stage_settings(None, None, run.at("round-1/train/model")).model
    assert (found.path, found.template) == (run.at("round-1/train/model"), None), "a directory says nothing of a run"


def test_data_check_of_a_file_without_a_sample_fails(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**ROW, "tools": []}) + "\n")
    for more in ([], ["--json"]):
        code, out, err = run("data", "check", str(file), *more)
        assert code == 1 and "unknown_tool" in out and "no usable sample among 1 rows" in err


def test_a_full_disk_behind_the_output_is_one_clear_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "toolace", "config"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: cannot write the output: ") and "No space left" in done.stderr
