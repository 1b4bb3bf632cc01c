"""Builds the OpenAPI document from operations.py and shapes.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec

from chatswarm.backend.settings import Settings
from chatswarm.backend.wire.shapes import Refusal

from .operations import Header, Operation, RequestParameter, ResponseSpec, operations

_SCHEMES: Final = "#/components/schemas/{name}"
_FORMS: Final = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_LATE: Final = ResponseSpec("The request did not arrive in full in time. The connection is closed.")

_HEADERS: Final[Mapping[Header, tuple[str, str]]] = {
    "ETag": ("The tag of the list as it is now, for If-None-Match.", "string"),
    "Retry-After": ("Seconds to wait before trying again.", "integer"),
    "WWW-Authenticate": ("Bearer", "string"),
    "Upgrade": ("websocket", "string"),
}

_ABOUT: Final = """\
A chat that keeps its promises: a send gets its response once the message is on disk, and every dashboard is notified.

- Bodies are JSON, or a form if the `Content-Type` says so. Extra fields are allowed.
- An error is `{"message": …, "success": false}`; the message says what was expected and what came. Unknown paths get
  404, other methods 405 with `Allow`. Every GET also supports HEAD.
- A request that is not complete within %g s gets 408.
- Pages from %s may call this API."""

_TAGS: Final = {
    "Widget": "What a customer's page calls.",
    "Dashboard": "What an agent's page calls.",
    "Monitoring": "What an operator calls.",
}


def document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of a backend with these settings."""
    described = operations(settings)
    components: dict[str, Any] = {"schemas": _schemas(described)}
    if settings.dashboard_tokens is not None:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        secured = operation.secured and settings.dashboard_tokens is not None
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, secured=secured)
    origins = "any origin" if settings.origins is None else ", ".join(sorted(settings.origins))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chatswarm reference chat",
            "version": version("chatswarm"),
            "description": _ABOUT % (settings.request_timeout, origins),
        },
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, *, secured: bool) -> dict[str, Any]:
    responses = {**operation.responses, 408: _LATE}
    spec: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.about or None,
        "parameters": [_parameter(each) for each in operation.parameters] or None,
        "requestBody": _body(operation) if operation.body is not None else None,
        "responses": {str(status): _response(responses[status]) for status in sorted(responses)},
        "security": [{"token": []}] if secured else None,
    }
    return {name: value for name, value in spec.items() if value is not None}


def _parameter(parameter: RequestParameter) -> dict[str, Any]:
    spec = {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.about + ".",
        "required": parameter.location == "path",
        "schema": _schema(parameter.type),
    }
    return {**spec, "allowEmptyValue": True} if parameter.may_be_empty else spec


def _body(operation: Operation) -> dict[str, Any]:
    assert operation.body is not None
    schema = _schema(operation.body)
    if operation.limits:
        schema = {"allOf": [schema, operation.limits]}
    return {"required": True, "content": {kind: {"schema": schema} for kind in _FORMS}}


def _response(response: ResponseSpec) -> dict[str, Any]:
    spec: dict[str, Any] = {"description": response.about}
    if response.body is str:
        spec["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif response.body is not None:
        spec["content"] = {"application/json": {"schema": _schema(response.body)}}
    if response.headers:
        spec["headers"] = {name: _header(name) for name in response.headers}
    if response.links:
        spec["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)} for name, parameters in response.links.items()
        }
    return spec


def _header(name: Header) -> dict[str, Any]:
    about, kind = _HEADERS[name]
    return {"description": about, "required": True, "schema": {"type": kind}}


def _schema(shape: object) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([shape], ref_template=_SCHEMES)
    return schema


def _schemas(described: Iterable[Operation]) -> dict[str, Any]:
    """All referenced shapes, by name."""
    shapes: list[object] = [Refusal]
    for operation in described:
        shapes += [operation.body, *(response.body for response in operation.responses.values())]
    _, schemas = msgspec.json.schema_components([each for each in shapes if each is not None], ref_template=_SCHEMES)
    # Convert values that are not plain JSON yet, such as tuples.
    return cast("dict[str, Any]", json.loads(msgspec.json.encode(schemas)))
