"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file of settings; unset: the defaults", show_default=False)
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: a.b=c (repeatable)", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs")]
