"""Tool learning by sub-tasks and evolution on the model's own data (ToolACE-DEV), from rows to a report.

    python ray_jobs/evolve.py --config configs/demo_evolve.yaml
    ray job submit --working-dir . -- python ray_jobs/evolve.py --config configs/demo_evolve.yaml --set root=/mnt/runs

Run it again to continue a run that was stopped.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from toolace.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "evolve")
    main()
