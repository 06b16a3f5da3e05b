"""A model on samples of one's own or on a benchmark: accuracy, directly and with refinement.

    python ray_jobs/evaluate.py --data samples.jsonl --model runs/demo/round-2/train/model --out runs/scores
    ray job submit --working-dir . -- python ray_jobs/evaluate.py --data samples.jsonl --out /mnt/runs/scores

The options are those of `toolace evaluate`. Run it again to continue.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from toolace.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
