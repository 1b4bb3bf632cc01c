"""How one route is described: its parameters, body and responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chatswarm.backend.wire.shapes import Refusal

Header = Literal["ETag", "Retry-After", "WWW-Authenticate", "Upgrade", "X-Served-By"]


@dataclass(frozen=True, slots=True)
class RequestParameter:
    """A parameter in the path, the query string or a header."""

    name: str
    location: Literal["path", "query", "header"]
    type: object
    about: str
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """The response with one status. `body` is the shape of its JSON, `str` for plain text, None for no body."""

    about: str
    body: type | None = Refusal
    headers: tuple[Header, ...] = ()
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the id of a possible next operation: its parameters, as OpenAPI runtime expressions over this response."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str
    tag: Literal["Widget", "Dashboard", "Application", "User", "Monitoring"]
    summary: str
    responses: Mapping[int, ResponseSpec]
    about: str = ""
    parameters: tuple[RequestParameter, ...] = ()
    body: type | None = None
    limits: Mapping[str, object] = field(default_factory=dict)
    """JSON Schema constraints on the body, beyond its shape."""

    forms: bool = True
    """Whether the body may be a form, too; otherwise it is JSON."""
    security: Literal["token", "key"] | None = None
    """What a caller has to present as a bearer."""
