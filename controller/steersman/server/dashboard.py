"""The dashboard: files that a browser draws the API's answers with. They hold nothing of anybody.

Who looks at it brings a token of their own, as for the API: the page asks for one, or
`steer dashboard` hands it over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

PATH = "dashboard"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A new daemon brings a new page; what is still the same costs no bytes.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    type: str
    tag: str


def dashboard_app() -> Starlette:
    """Return the page as an application: it answers at /dashboard/ and below, to GET only."""
    known = _read(files("steersman.server") / "page")

    async def serve(request: Request) -> Response:
        file = known.get(request.path_params["path"] or "index.html")
        if file is None:
            raise HTTPException(404)
        headers = {**_HEADERS, "ETag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.type, headers=headers)

    return Starlette(routes=[Route("/{path:path}", serve, methods=["GET"])])


async def to_dashboard(request: Request) -> Response:
    """Lead somebody who typed the daemon's address to the page."""
    return RedirectResponse(f"/{PATH}/")


def _read(folder: Traversable, prefix: str = "") -> dict[str, _File]:
    found: dict[str, _File] = {}
    for entry in folder.iterdir():
        ending = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            found |= _read(entry, f"{prefix}{entry.name}/")
        elif ending in _TYPES:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[prefix + entry.name] = _File(content, _TYPES[ending], tag)
    return found
