"""Ending without a lost request: new ones are refused, those in flight finish, then the endpoint goes.

Serve ends its proxy as soon as it is told to shut down, whatever passes through it. So before that the ingress is told,
by a change of its `user_config`, which restarts nothing, to refuse what is new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from toolace.dashboard import REQUEST_S, within
from toolace.serving.promotion import ServeAPI, change_application

CONFIG = {"draining": True}
QUIET = 3
"""Readings of zero requests in flight, one after the other, that count as none: each ingress replica tells its own."""


@dataclass
class Drain:
    """Whether this process takes new requests."""

    on: bool = False


def drain(
    api: ServeAPI,
    app: str,
    in_flight: Callable[[], float],
    *,
    replicas: int,
    timeout_s: float,
    hurry: threading.Event,
    poll_s: float = 0.2,
) -> float:
    """Have an application's ingress refuse new requests, and wait until none is in flight; returns how many are left.

    `in_flight` reads their number at one of `replicas` ingress replicas. Gives up after `timeout_s`, or on `hurry`.
    """
    ingress = {"name": "ingress", "user_config": CONFIG}
    with within(REQUEST_S):
        change_application(api, app, lambda declared: declared.update(deployments=[ingress]))
    deadline = time.monotonic() + timeout_s
    zeros, left = 0, 0.0
    while zeros < QUIET * replicas and time.monotonic() < deadline and not hurry.wait(poll_s):
        left = in_flight()
        zeros = zeros + 1 if left == 0 else 0
    return left
