"""Does each ZeRO stage learn the same? The same steps on the CPU and on each stage of a device, losses side by side.

    python benchmarks/zero_stages.py [--device cuda] [--methods full lora] [--stages 0 1 2 3]

One process each, by `toolace.training.torchrun`, one after the other. The last line is one JSON object:
`{"method/device/stage": {"first_loss", "last_loss", "steps", "seconds"}}`, or `{"failed": exit code}` for a run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training import corpus

from toolace.config import TrainConfig
from toolace.storage import Store
from toolace.training.spec import TrainSpec

MODEL = "builtin:tiny_base"


def train(spec: TrainSpec, folder: Path) -> dict[str, Any]:
    """One run in a process of its own."""
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    environment = dict(os.environ)
    if spec.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-m", "toolace.training.torchrun", "--spec", str(path)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"failed": done.returncode}
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {key: round(result[key], 4) for key in ("first_loss", "last_loss", "steps", "seconds")}


def main() -> None:
    """Run all and print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="where the stages run")
    parser.add_argument("--methods", nargs="+", default=["full", "lora"])
    parser.add_argument("--stages", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--samples", type=int, default=240, help="generated samples: 20 steps of 16 rows")
    arguments = parser.parse_args()
    from toolace.engines.models import resolve_model
    from toolace.rendering import Renderer
    from toolace.training.dataset import tokenise

    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        renderer = Renderer.from_pretrained(resolve_model(MODEL), format="pythonic")
        tokens = Store(str(folder / "tokens"))
        tokenise(corpus(arguments.samples), renderer.example, tokens, max_length=1024)
        for method in arguments.methods:
            for device, stage in [("cpu", 0), *((arguments.device, stage) for stage in arguments.stages)]:
                run = f"{method}/{device}/{stage}"
                if run in found:
                    continue
                settings = TrainConfig(
                    method=method, precision="bf16", zero_stage=stage, epochs=1, global_batch=16, lr=1e-3,
                    threads_per_worker=2,
                )  # fmt: skip
                out = str(folder / run.replace("/", "-"))
                spec = TrainSpec(model=MODEL, tokens=tokens.uri, out=out, device=device, seed=1, settings=settings)
                found[run] = train(spec, folder)
                print(run, found[run], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
