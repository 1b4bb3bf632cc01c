"""Toxiproxy 2's HTTP API, extended by `GET /proxies/{proxy}/evidence` and `GET /lag`."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .active_toxic import ActiveToxic
from .collection import Collection
from .errors import ApiError
from .lag import LoopLag
from .request_body import read_list, read_object

VERSION = "2.12.0+chatswarm"
"""The version of Toxiproxy that has this API. The suffix tells clients that there is evidence."""

_MAX_BODY = 1 << 20  # bytes

Names = Mapping[str, str]
"""The path parameters: `proxy` and `toxic`."""

Handler = Callable[[Names, bytes], Awaitable[Response]]
"""Takes the path parameters and the body."""


class Api:
    """Handles requests for one collection of proxies."""

    def __init__(self, collection: Collection, lag: LoopLag) -> None:
        self._collection = collection
        self._lag = lag

    def application(self) -> ASGIApp:
        """The ASGI application. It handles one request at a time, so that changes cannot interleave."""
        operations: list[tuple[str, str, Handler]] = [
            ("GET", "/version", self._version),
            ("GET", "/lag", self._report_lag),
            ("POST", "/reset", self._reset),
            ("POST", "/populate", self._populate),
            ("GET", "/proxies", self._proxies),
            ("POST", "/proxies", self._create_proxy),
            ("GET", "/proxies/{proxy}", self._proxy),
            ("POST PATCH", "/proxies/{proxy}", self._update_proxy),
            ("DELETE", "/proxies/{proxy}", self._delete_proxy),
            ("GET", "/proxies/{proxy}/evidence", self._evidence),
            ("GET", "/proxies/{proxy}/toxics", self._toxics),
            ("POST", "/proxies/{proxy}/toxics", self._create_toxic),
            ("GET", "/proxies/{proxy}/toxics/{toxic}", self._toxic),
            ("POST PATCH", "/proxies/{proxy}/toxics/{toxic}", self._update_toxic),
            ("DELETE", "/proxies/{proxy}/toxics/{toxic}", self._delete_toxic),
        ]
        routes = [
            Route(path, self._endpoint(handler), methods=methods.split()) for methods, path, handler in operations
        ]
        return _without_browsers(Router(routes, redirect_slashes=False))

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            try:
                # Read before taking the lock: a client that stalls must not keep another from healing.
                body = await _read(request)
                async with self._collection.lock:
                    return await handler(request.path_params, body)
            except ApiError as error:
                return _json({"error": error.message, "status": error.status}, error.status)

        return respond

    async def _version(self, _names: Names, _body: bytes) -> Response:
        return _json({"version": VERSION})

    async def _report_lag(self, _names: Names, _body: bytes) -> Response:
        return _json(self._lag.report())

    async def _reset(self, _names: Names, _body: bytes) -> Response:
        await self._collection.reset()
        return Response(status_code=204)

    async def _populate(self, _names: Names, body: bytes) -> Response:
        try:
            done, problem = await self._collection.populate(read_list(body))
        except ApiError as error:
            return _json({"error": error.message, "status": error.status, "proxies": None}, error.status)
        content: dict[str, object] = {"proxies": [proxy.as_json() for proxy in done]}
        if problem is None:
            return _json(content, 201)
        return _json({"error": problem.message, "status": problem.status, **content}, problem.status)

    async def _proxies(self, _names: Names, _body: bytes) -> Response:
        return _json(self._collection.as_json())

    async def _create_proxy(self, _names: Names, body: bytes) -> Response:
        proxy = await self._collection.create(read_object(body))
        return _json(proxy.as_json(), 201)

    async def _proxy(self, names: Names, _body: bytes) -> Response:
        return _json(self._collection[names["proxy"]].as_json())

    async def _update_proxy(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        await self._collection.update(proxy, read_object(body))
        return _json(proxy.as_json())

    async def _delete_proxy(self, names: Names, _body: bytes) -> Response:
        self._collection.remove(names["proxy"])
        return Response(status_code=204)

    async def _evidence(self, names: Names, _body: bytes) -> Response:
        return _json(self._collection[names["proxy"]].report())

    async def _toxics(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        return _json([toxic.as_json() for toxic in proxy.toxics])

    async def _create_toxic(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        toxic = ActiveToxic.read(read_object(body))
        proxy.add(toxic)
        return _json(toxic.as_json())

    async def _toxic(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        return _json(proxy.toxic(names["toxic"]).as_json())

    async def _update_toxic(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        toxic = proxy.toxic(names["toxic"])
        toxic.change(read_object(body))
        proxy.update_toxic(toxic)
        return _json(toxic.as_json())

    async def _delete_toxic(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        proxy.remove(proxy.toxic(names["toxic"]))
        return Response(status_code=204)


def _without_browsers(app: ASGIApp) -> ASGIApp:
    """Refuses browsers, as Toxiproxy does, so that a web page cannot drive its visitor's proxy."""

    async def filtered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(
            name == b"user-agent" and value.startswith(b"Mozilla/") for name, value in scope["headers"]
        ):
            await PlainTextResponse("User agent not allowed\n", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return filtered


async def _read(request: Request) -> bytes:
    """Read the whole body. Raises ApiError if it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY:
            raise ApiError(413, f"bad request body: expected at most {_MAX_BODY} bytes, got more")
    return bytes(body)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
