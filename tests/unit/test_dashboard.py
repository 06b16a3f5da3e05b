"""Requests to a dashboard end, whatever it does with them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from silent_dashboard import DRIBBLE, SILENCE, dashboard

from toolace.dashboard import NoAnswer, Patience, bounded, within

pytestmark = pytest.mark.timeout(60)


def client(address: str, limit_s: float = 30) -> Any:
    from ray.dashboard.modules.dashboard_sdk import SubmissionClient

    return bounded(SubmissionClient, limit_s)(address)


@pytest.mark.parametrize("answer", [SILENCE, DRIBBLE], ids=["silent", "dribbling"])
def test_a_request_ends_at_its_limit(answer: Any) -> None:
    with dashboard(version=answer) as one:
        match = rf"^the dashboard at {one.address} did not answer GET /api/version within 0\.3 s$"
        with pytest.raises(NoAnswer, match=match):
            client(one.address, 0.3).get_version()


def test_an_answer_and_an_upload_pass() -> None:
    with dashboard({"PUT /api/packages/gcs/x.zip": {}}) as one:
        ray = client(one.address)
        assert ray.get_version() == "4"
        assert ray._do_request("PUT", "/api/packages/gcs/x.zip", data=b"x" * 10**6).json() == {}


def test_an_upload_that_nobody_reads_ends_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NoAnswer, match=r"did not answer PUT /api/packages/gcs/x\.zip within 0\.3 s"):
            client(address, 0.3)._do_request("PUT", "/api/packages/gcs/x.zip", data=b"x" * 10**8)


def test_a_dashboard_that_is_not_there_is_told_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NoAnswer, match=rf"^no connection to .* {address} for GET /api/version: .*refused$"):
            client(address).get_version()


def test_a_block_of_requests_has_a_limit_of_its_own() -> None:
    with dashboard(version=SILENCE) as one, within(0.3), within(60):
        for _ in range(2):
            with pytest.raises(NoAnswer, match=r"within 0\.[123]\d* s"):
                client(one.address).get_version()


def silence() -> Any:
    raise NoAnswer("silent")


def test_patience_ends_when_nothing_was_answered_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("toolace.dashboard.time.monotonic", lambda: now[0])
    patience = Patience(180)

    def at(second: float, question: Callable[[], Any]) -> Any:
        now[0] = second
        return patience.ask(question)

    assert at(100, silence) is None and at(179, lambda: "yes") == "yes"
    assert at(358, silence) is None
    with pytest.raises(NoAnswer, match=r"^silent, and nothing else for 180 s$"):
        at(360, silence)
