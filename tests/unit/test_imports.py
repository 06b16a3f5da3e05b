"""`import toolace`, its settings and `--help` load no heavy library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "vllm", "transformers", "deepspeed", "pandas", "numpy", "mlflow", "wandb")


@pytest.mark.parametrize(
    "code",
    [
        "import toolace, toolace.config, toolace.errors",
        "from toolace.calls import Call, Tool, match_calls, parse_calls, render_calls",
        "from toolace.data import load_samples",
        "import toolace.rollouts.program, toolace.engines.base, toolace.probing, toolace.selection",
        "import toolace.refinement.program, toolace.refinement.corpus, toolace.evaluation.metrics",
        "import toolace.serving.guard, toolace.serving.metrics, toolace.serving.keyfile",
        "import toolace.cli.main",
        "import toolace.rounds.tracking, toolace.rounds.trackers",
    ],
)
def test_light_modules_stay_light(code: str) -> None:
    check = f"import sys; {code}; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io\nsys.argv = ['toolace', '--help']\nfrom toolace.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
