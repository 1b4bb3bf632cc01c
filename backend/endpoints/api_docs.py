"""`/openapi.json`, and `/docs`, the page that renders it from local files only."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatswarm.backend.settings import Settings

from .openapi import document

DESCRIPTION: Final = "/openapi.json"
PAGE: Final = "/docs"

_TYPES: Final = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_PARTS: Final = ("base.css", "docs.css", "docs.js", "dom.js", "icon.svg", "shapes.js", "trial.js")

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
}


def docs_routes(settings: Settings) -> list[Route]:
    """The routes of the OpenAPI document, the page, and the page's files."""

    @cache
    def described() -> bytes:
        return msgspec.json.encode(document(settings))

    async def description(_request: Request) -> Response:
        return Response(described(), headers={"Cache-Control": "no-cache"}, media_type="application/json")

    async def page(_request: Request) -> Response:
        return _file("docs.html")

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _PARTS:
            raise HTTPException(404)
        return _file(name)

    return [Route(DESCRIPTION, description), Route(PAGE, page), Route(f"{PAGE}/{{name}}", part)]


@cache
def _content(name: str) -> bytes:
    return files("chatswarm.dashboards").joinpath(name).read_bytes()


def _file(name: str) -> Response:
    return Response(_content(name), headers=_HEADERS, media_type=_TYPES[name.rpartition(".")[2]])
