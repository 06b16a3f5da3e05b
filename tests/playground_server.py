"""The playground served by its real routes, beside a scripted `/v1`, for a test that drives a real browser.

`/driven?case=NAME` is the page with one more script of the same origin, so that the page's own policy stays in force.
The script posts what it saw to `/seen`.
"""

from __future__ import annotations

import json
import queue
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
KEY = "sk-secret-of-the-test"
EVIL = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=2'>"

PRELUDE = """
const seen = { problems: [] };
document.addEventListener("securitypolicyviolation", (event) =>
  seen.problems.push(`${event.violatedDirective} ${event.blockedURI}`));
window.addEventListener("error", (event) => seen.problems.push(event.message));
window.addEventListener("unhandledrejection", (event) => seen.problems.push(String(event.reason)));
const $ = (id) => document.getElementById(id);
const text = (id) => $(id).textContent;
const all = (selector) => [...document.querySelectorAll(selector)];
const until = async (test) => { while (!test()) await new Promise((done) => setTimeout(done, 10)); };
const type = (id, value) => {
  $(id).value = value;
  $(id).dispatchEvent(new Event("input", { bubbles: true }));
  $(id).dispatchEvent(new Event("change", { bubbles: true }));
};
const idle = () => until(() => $("ask").getAttribute("aria-disabled") !== "true");
const ask = async () => { $("ask").click(); await idle(); };
const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
await until(() => document.documentElement.dataset.ready === "true" && $("model").options.length > 0);
"""
POSTLUDE = """
seen.pwned = window.pwned ?? null;
seen.images = document.images.length;
seen.scripts = document.scripts.length;
await fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
"""


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-tool-1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def step(*calls: dict[str, Any], content: str | None = None, tokens: int = 20, ms: float = 100.0) -> dict[str, Any]:
    return {"content": content, "tool_calls": list(calls), "tokens": tokens, "prompt_tokens": 200, "ms": ms}


def completion(*steps: dict[str, Any], stopped: str = "unchanged", model: str = "tiny@round-2") -> dict[str, Any]:
    """A refined response whose accepted answer is the last step."""
    last = steps[-1]
    message = {"role": "assistant", "content": last["content"], "tool_calls": last["tool_calls"]}
    tokens, prompt = sum(s["tokens"] for s in steps), sum(s["prompt_tokens"] for s in steps)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens},
        "refinement": {"rounds": len(steps) - 1, "stopped": stopped, "model": model, "steps": list(steps)},
    }


class Endpoint:
    """The answers to give, in order, and the requests that came. An answer is (status, headers, body)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.urls: list[str] = []
        self.seen: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cases: dict[str, str] = {}
        self.keyed = False
        self.url = ""

    def app(self) -> Any:
        import asyncio

        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route

        from toolace.serving.playground import PAGE, add_playground, asset

        async def driven(request: Request) -> Response:
            page = asset(PAGE)
            assert page is not None
            tag = f'<script type="module" src="/case/{request.query_params["case"]}.js"></script></body>'
            return Response(page.body.replace(b"</body>", tag.encode()), headers=page.headers)

        async def case(request: Request) -> Response:
            body = self.cases[request.path_params["name"]]
            script = f"{PRELUDE}try {{{body}}} catch (problem) {{ seen.problems.push(String(problem)); }}{POSTLUDE}"
            return Response(script, headers={"Content-Type": "text/javascript"})

        async def models(request: Request) -> Response:
            self.urls.append(str(request.url))
            if self.keyed and request.headers.get("authorization") != f"Bearer {KEY}":
                error = {"message": "No key.", "type": "authentication_error", "param": None, "code": "no_key"}
                return JSONResponse({"error": error}, 401)
            return JSONResponse({"object": "list", "data": [{"id": "tiny"}, {"id": EVIL}]})

        async def chat(request: Request) -> Response:
            self.urls.append(str(request.url))
            self.requests.append((dict(request.headers), await request.json()))
            status, headers, body = self.answers.pop(0)
            if status == 0:
                while not await request.is_disconnected():
                    await asyncio.sleep(0.02)
                return Response()
            if isinstance(body, str):
                return Response(body, status, headers={**headers, "Content-Type": "text/html"})
            return JSONResponse(body, status, headers)

        async def seen(request: Request) -> Response:
            self.seen.put(await request.json())
            return Response()

        app = Starlette(
            routes=[
                Route("/driven", driven),
                Route("/case/{name}.js", case),
                Route("/v1/models", models),
                Route("/v1/chat/completions", chat, methods=["POST"]),
                Route("/seen", seen, methods=["POST"]),
            ]
        )
        add_playground(app)
        return app

    @contextmanager
    def running(self) -> Iterator[Endpoint]:
        import uvicorn

        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            server = uvicorn.Server(uvicorn.Config(self.app(), log_level="error", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.should_exit = True
                thread.join(20)

    def drive(self, script: str, profile: Path, size: str = "1200,900") -> dict[str, Any]:
        """Open the page in a browser, run the script in it, return what it saw."""
        self.cases["test"] = script
        command = [str(BROWSER), *OPTIONS, f"--window-size={size}", f"--user-data-dir={profile}"]
        with subprocess.Popen(
            [*command, f"{self.url}/driven?case=test"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as browser:
            try:
                return self.seen.get(timeout=120)
            finally:
                browser.send_signal(signal.SIGTERM)
                browser.wait(30)
