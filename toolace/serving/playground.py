"""The playground: a page that asks the endpoint and shows each round. Static files under a strict policy.

The files need no key, hold no secret and ask no host but their own; the page sends the key that a person types in
with its own requests to `/v1`. Texts of models and tools reach the page as text nodes only, which the policy's
`require-trusted-types-for` enforces where browsers know it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from toolace.errors import ServingError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = "playground.html"
CONTENT_TYPES = {
    "playground.html": "text/html; charset=utf-8",
    "playground.css": "text/css; charset=utf-8",
    "playground.js": "text/javascript; charset=utf-8",
    "playground_diff.js": "text/javascript; charset=utf-8",
    "playground_show.js": "text/javascript; charset=utf-8",
    "playground_tools.js": "text/javascript; charset=utf-8",
    "playground_samples.json": "application/json; charset=utf-8",
    "playground.svg": "image/svg+xml; charset=utf-8",
}
"""Every file of the page; nothing else in the folder is served."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, with all its response headers."""

    body: bytes
    headers: dict[str, str]


@cache
def asset(name: str) -> Asset | None:
    """A file of the page; None where the page has no such file.

    Raises:
        ServingError: the installation lacks the file.
    """
    if name not in CONTENT_TYPES:
        return None
    try:
        body = (files("toolace.serving") / "assets" / name).read_bytes()
    except OSError:
        raise ServingError(f"the playground's file {name} is missing: install toolace again") from None
    digest = hashlib.sha256(body).hexdigest()[:32]
    headers = {
        "Content-Type": CONTENT_TYPES[name],
        "Content-Security-Policy": POLICY,
        # Kept, but asked about each time: a new release shows at once, an unchanged file costs a 304.
        "Cache-Control": "no-cache",
        "ETag": f'"{digest}"',
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return Asset(body, headers)


def fresh(etag: str, if_none_match: str | None) -> bool:
    """Whether the client's copy is still right (RFC 9110, 13.1.2: a list of tags, compared weakly, or `*`)."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or tags == ["*"]


async def playground_page(request: Request) -> Response:
    """`GET /` and `GET /playground`."""
    return _respond(PAGE, request)


async def playground_file(request: Request) -> Response:
    """`GET /playground/{name}`."""
    return _respond(request.path_params["name"], request)


def add_playground(app: Starlette) -> None:
    """Serve the page at `/` and `/playground` and its files beside it, outside the app's API schema.

    All links of the page are relative, so it also works below a route prefix.
    """
    routes = {"/": playground_page, "/playground": playground_page, "/playground/{name}": playground_file}
    for path, route in routes.items():
        app.add_route(path, route, methods=["GET", "HEAD"], include_in_schema=False)


def _respond(name: str, request: Request) -> Response:
    from starlette.responses import JSONResponse, Response

    found = asset(name)
    if found is None:
        error = {"message": "The playground has no such file.", "type": "invalid_request_error", "param": None}
        return JSONResponse({"error": {**error, "code": "not_found"}}, 404, {"X-Content-Type-Options": "nosniff"})
    if fresh(found.headers["ETag"], request.headers.get("if-none-match")):
        kept = {name: value for name, value in found.headers.items() if name != "Content-Type"}
        return Response(status_code=304, headers=kept)
    return Response(found.body, headers=found.headers)
