"""The endpoint as a Serve application: serve run serve_apps.refine:build_app model.path=runs/demo/round-2/train/model

Imported by `configs/serve.yaml` and by RayService manifests; the arguments are those of `toolace.serving.config`.
"""

from __future__ import annotations

from toolace.serving.app import build_app

__all__ = ["build_app"]
