"""Validates responses against the OpenAPI document: the clients of `servers.py` do so with every response."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import httpx
import msgspec

from chatswarm.backend.endpoints.operation import Operation, ResponseSpec
from chatswarm.backend.endpoints.operations import operations
from chatswarm.backend.endpoints.push_operations import push_operations
from chatswarm.backend.http.auth import Tokens
from chatswarm.backend.http.user_tokens import ServiceKey, UserTokens
from chatswarm.backend.settings import Settings

EVERYTHING: Final = Settings(
    dashboard_tokens=Tokens(["token"]), origins=frozenset(["https://a.example"]), sends_per_second=1.0
)
"""Settings with which every possible response is described."""

PUSH: Final = Settings(
    push=True,
    push_key=ServiceKey("key"),
    user_tokens=UserTokens(b"secret", 60),
    origins=frozenset(["https://a.example"]),
    sends_per_second=1.0,
)
"""The same for the push chat."""

_UNDESCRIBED: Final = frozenset({307, 401, 404, 405})
"""Statuses allowed for paths and methods that are not described."""


def hold_against_the_description(response: httpx.Response) -> None:
    """Raise AssertionError if the document does not describe such a response."""
    status, request = response.status_code, response.request
    assert re.fullmatch(r"worker-\d+", response.headers.get("X-Served-By", "")), f"{response.url}: no X-Served-By"
    path = request.url.raw_path.partition(b"?")[0].decode()
    # Starlette responds to preflights, and the contents of the documentation page are not described.
    if request.method == "OPTIONS" or path.startswith(("/docs", "/openapi.json")):
        return
    operation = _operation("GET" if request.method == "HEAD" else request.method, path)
    if operation is None:
        assert status in _UNDESCRIBED, f"{request.method} {path} is not described, and got {status}"
        return
    assert status in operation.responses or status == 408, f"{operation.name}: {status} is not described"
    if request.method != "HEAD" and status in operation.responses:
        response.read()
        _hold(operation.responses[status], response)


def _hold(described: ResponseSpec, response: httpx.Response) -> None:
    for name in described.headers:
        assert name in response.headers, f"{response.url}: {response.status_code} is described with {name}"
    kind = response.headers.get("Content-Type", "")
    if described.body is None:
        assert response.content == b""
    elif described.body is str:
        assert kind.startswith("text/plain")
    else:
        assert kind == "application/json"
        msgspec.json.decode(response.content, type=described.body)


def _operation(method: str, path: str) -> Operation | None:
    for operation in _described():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    return None


@cache
def _described() -> tuple[Operation, ...]:
    return (*operations(EVERYTHING), *push_operations(PUSH))
