"""The step loop without Ray, under torchrun:

python -m torch.distributed.run --nproc-per-node 2 -m toolace.training.torchrun --spec spec.json

`spec.json` is a `TrainSpec` as JSON. Prints the result as one JSON line on rank 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from toolace.errors import ToolaceError
from toolace.threads import share_cores
from toolace.training.loop import train
from toolace.training.spec import TrainSpec


def main(arguments: list[str] | None = None) -> int:
    """Train as one process of a torchrun group. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m toolace.training.torchrun", description=__doc__)
    parser.add_argument("--spec", required=True, type=Path, help="a TrainSpec as JSON")
    path: Path = parser.parse_args(arguments).spec
    try:
        spec = TrainSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        print(f"cannot read the training spec {path}: {error}", file=sys.stderr)
        return 2
    share_cores()
    try:
        result = train(spec)
    except ToolaceError as error:
        print(error, file=sys.stderr)
        return 1
    if result is not None:
        print(result.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
