"""Holds answers against the API's description: each client of `servers.py` does so with every answer it gets."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import httpx
import msgspec

from chatswarm.backend.endpoints.operations import Operation, ResponseSpec, operations
from chatswarm.backend.http.auth import Tokens
from chatswarm.backend.settings import Settings

EVERYTHING: Final = Settings(
    dashboard_tokens=Tokens(["token"]), origins=frozenset(["https://a.example"]), sends_per_second=1.0
)
"""Settings under which all that may be answered is described."""

_ELSEWHERE: Final = frozenset({307, 401, 404, 405})
"""Statuses of paths and methods that are not described."""


def hold_against_the_description(answer: httpx.Response) -> None:
    """Raises AssertionError if the description does not say that there may be such an answer."""
    status, request = answer.status_code, answer.request
    path = request.url.raw_path.partition(b"?")[0].decode()
    # A preflight is answered by Starlette, and the page is not described in what it shows.
    if request.method == "OPTIONS" or path.startswith(("/docs", "/openapi.json")):
        return
    operation = _operation("GET" if request.method == "HEAD" else request.method, path)
    if operation is None:
        assert status in _ELSEWHERE, f"{request.method} {path} is not described, and answered {status}"
        return
    assert status in operation.answers or status == 408, f"{operation.name}: {status} is not described"
    if request.method != "HEAD" and status in operation.answers:
        answer.read()
        _hold(operation.answers[status], answer)


def _hold(described: ResponseSpec, answer: httpx.Response) -> None:
    for name in described.headers:
        assert name in answer.headers, f"{answer.url}: {answer.status_code} is described with {name}"
    kind = answer.headers.get("Content-Type", "")
    if described.body is None:
        assert answer.content == b""
    elif described.body is str:
        assert kind.startswith("text/plain")
    else:
        assert kind == "application/json"
        msgspec.json.decode(answer.content, type=described.body)


def _operation(method: str, path: str) -> Operation | None:
    for operation in _described():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    return None


@cache
def _described() -> tuple[Operation, ...]:
    return operations(EVERYTHING)
