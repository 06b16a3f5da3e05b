"""The endpoint as a Serve application: serve run serve_apps.refine:build_app model.path=runs/demo/round-2/train/model

For RayService manifests and `serve run` in a checkout; from other directories, import `toolace.serving.app:build_app`.
The arguments are those of `toolace.serving.config`.
"""

from __future__ import annotations

from toolace.serving.app import build_app

__all__ = ["build_app"]
