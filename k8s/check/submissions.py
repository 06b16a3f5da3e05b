"""Commands that are sent to run elsewhere: by `ray job submit`, and by `toolace submit`."""

from __future__ import annotations

import json
from typing import Any

from k8s.check.brought import ANYTHING, REMOTE, Brought, brought_by
from k8s.check.documents import NotReadError, read
from k8s.check.mounted import Elsewhere, Mounted
from k8s.check.places import Places
from k8s.check.programs import Invocation
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


def submission_problem(call: Invocation, places: Places) -> str | None:
    """Why `toolace submit` sends nothing: no folder to copy, settings that are not here, or a submission of one."""
    if call.submitted[:1] == ["submit"]:
        return "toolace submit: a job cannot submit: give the command itself after --"
    if not places.is_there(call.working_dir):
        return f"the image has no folder {call.working_dir!r} (from {places.at})"
    return None


def places_elsewhere(places: Places) -> Elsewhere:
    """The places of a command that `toolace submit` sends: its folder is a copy, others are the cluster's."""
    here = places.mounted
    return Elsewhere(here.open, here.known, here.files, own=(places.image.workdir,))


def lost(place: str) -> str | None:
    """Why results at a place would be lost on a cluster; None where they stay, or the shell alone knows it."""
    if "://" in place or place.startswith("/") or "$" in place:
        return None
    return f"results in {place!r} would be lost: a job runs in a copy of the working directory"
