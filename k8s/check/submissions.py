"""Commands that are sent to run elsewhere: by `ray job submit`."""

from __future__ import annotations

import json
from typing import Any

from k8s.check.brought import ANYTHING, REMOTE, Brought, brought_by
from k8s.check.documents import NotReadError, read
from k8s.check.mounted import Mounted
from k8s.check.places import Places
from k8s.check.ray_commands import RayCall


def brought_to(call: RayCall, places: Places) -> Brought:
    """What `ray job submit` brings to its entrypoint; its working directory goes before that of an environment."""
    environment = _environment(call, places)
    given = call.given.get("working_dir")
    if environment is None:
        return ANYTHING
    return brought_by({**environment, "working_dir": given} if given else environment)


def _environment(call: RayCall, places: Places) -> dict[str, Any] | None:
    """The runtime environment that a call gives; None where it is not known here."""
    file, said = call.text("runtime_env"), call.text("runtime_env_json")
    text = places.text(file) if file else said
    if text is None:
        return None if call.given.get("runtime_env") or call.given.get("runtime_env_json") else {}
    try:
        found = read(text) if file else json.loads(text)
    except (NotReadError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def mounted_there(places: Places, folder: str | None) -> Mounted:
    """The volumes of the node where `ray job submit` runs a command: claims, and the folder that is sent."""
    sent = folder and folder != REMOTE and folder.startswith("/") and not places.image.holds(folder)
    return Mounted(["/mnt", *([folder] if folder and sent else [])])
