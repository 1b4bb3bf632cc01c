"""Builds the OpenAPI document from operations.py and shapes.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec

from chatswarm.backend.settings import Settings
from chatswarm.backend.wire.push_shapes import PushRefusal
from chatswarm.backend.wire.shapes import Refusal

from .operation import Header, Operation, RequestParameter, ResponseSpec
from .operations import operations
from .push_operations import push_operations

_SCHEMES: Final = "#/components/schemas/{name}"
_FORMS: Final = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_LATE: Final = "The request did not arrive in full in time. The connection is closed."

_HEADERS: Final[Mapping[Header, tuple[str, str]]] = {
    "ETag": ("The tag of the list as it is now, for If-None-Match.", "string"),
    "Retry-After": ("Seconds to wait before trying again.", "integer"),
    "WWW-Authenticate": ("Bearer", "string"),
    "Upgrade": ("websocket", "string"),
    "X-Served-By": ("The name of the worker that responded.", "string"),
}

_ABOUT: Final = """\
A chat that keeps its promises: a send gets its response once the message is on disk, and every dashboard is notified.

- Bodies are JSON, or a form if the `Content-Type` says so. Extra fields are allowed.
- An error is `{"message": …, "success": false}`; the message says what was expected and what came. Unknown paths get
  404, other methods 405 with `Allow`. Every GET also supports HEAD.
- A request that is not complete within %g s gets 408.
- Pages from %s may call this API."""

_PUSH_ABOUT: Final = """\
A chat with rooms, whose frames carry the text: a send gets its response once the message is on disk, and every member \
who has joined the room gets it, and nobody else.

- Bodies are JSON. Extra fields are allowed.
- An error is `{"error": …}`; the text says what was expected and what came. Unknown paths get 404, other methods 405 \
with `Allow`. Every GET also supports HEAD.
- A request that is not complete within %g s gets 408.
- Pages from %s may call this API."""

_TAGS: Final = {
    "Widget": "What a customer's page calls.",
    "Dashboard": "What an agent's page calls.",
    "Application": "What the application's own backend calls.",
    "User": "What a user's page calls.",
    "Monitoring": "What an operator calls.",
}


def document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of a backend with these settings."""
    described = push_operations(settings) if settings.push else operations(settings)
    refusal = PushRefusal if settings.push else Refusal
    components: dict[str, Any] = {"schemas": _schemas(described, refusal)}
    # In the order of the operations, so that the document is always the same.
    schemes = dict.fromkeys(each.security for each in described if each.security is not None)
    if schemes:
        components["securitySchemes"] = {name: {"type": "http", "scheme": "bearer"} for name in schemes}
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refusal)
    origins = "any origin" if settings.origins is None else ", ".join(sorted(settings.origins))
    about = _PUSH_ABOUT if settings.push else _ABOUT
    tags = {each.tag for each in described}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"chatswarm {'push' if settings.push else 'reference'} chat",
            "version": version("chatswarm"),
            "description": about % (settings.request_timeout, origins),
        },
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items() if name in tags],
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, refusal: type) -> dict[str, Any]:
    responses = {**operation.responses, 408: ResponseSpec(_LATE, refusal)}
    spec: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.about or None,
        "parameters": [_parameter(each) for each in operation.parameters] or None,
        "requestBody": _body(operation) if operation.body is not None else None,
        "responses": {str(status): _response(responses[status]) for status in sorted(responses)},
        "security": [{operation.security: []}] if operation.security is not None else None,
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
    kinds = _FORMS if operation.forms else _FORMS[:1]
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def _response(response: ResponseSpec) -> dict[str, Any]:
    spec: dict[str, Any] = {"description": response.about}
    if response.body is str:
        spec["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif response.body is not None:
        spec["content"] = {"application/json": {"schema": _schema(response.body)}}
    headers: tuple[Header, ...] = (*response.headers, "X-Served-By")
    spec["headers"] = {name: _header(name) for name in headers}
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


def _schemas(described: Iterable[Operation], refusal: type) -> dict[str, Any]:
    """All referenced shapes, by name."""
    shapes: list[object] = [refusal]
    for operation in described:
        shapes += [operation.body, *(response.body for response in operation.responses.values())]
    _, schemas = msgspec.json.schema_components([each for each in shapes if each is not None], ref_template=_SCHEMES)
    # Convert values that are not plain JSON yet, such as tuples.
    return cast("dict[str, Any]", json.loads(msgspec.json.encode(schemas)))
