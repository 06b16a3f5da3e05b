"""Manifests checked without a cluster: rendered, against schemas, the operator's rules, each other and the image."""

import sys
from pathlib import Path

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m` looks for modules in the working directory first, which may be a folder of somebody's manifests: a
    # yaml.py there would be run. The project's root takes its place; Python says `-m` while it looks for this module.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
