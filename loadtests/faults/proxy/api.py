"""The HTTP API of Toxiproxy 2, and what is ours alone: `GET /proxies/{proxy}/evidence` and `GET /lag`."""

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
"""The Toxiproxy whose API this is; the part behind the + tells that there is evidence."""

_LARGEST = 1 << 20  # bytes of a request's body

Names = Mapping[str, str]
"""What stands in a path's places: `proxy` and `toxic`."""

Handler = Callable[[Names, bytes], Awaitable[Response]]
"""From the names in the path and the body to the answer."""


class Api:
    """Answers requests about one collection of proxies."""

    def __init__(self, collection: Collection, lag: LoopLag) -> None:
        self._collection = collection
        self._lag = lag

    def application(self) -> ASGIApp:
        """The ASGI application: each request is answered in one step, so that callers cannot mix their changes."""
        table: list[tuple[str, str, Handler]] = [
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
        routes = [Route(path, self._guarded(handler), methods=methods.split()) for methods, path, handler in table]
        return _without_browsers(Router(routes, redirect_slashes=False))

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                # Read before the lock is taken: a client that stalls must not keep another one from healing.
                body = await _read(request)
                async with self._collection.changing:
                    return await handler(request.path_params, body)
            except ApiError as error:
                return _json({"error": error.message, "status": error.status}, error.status)

        return answer

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
        answer: dict[str, object] = {"proxies": [proxy.shown() for proxy in done]}
        if problem is None:
            return _json(answer, 201)
        return _json({"error": problem.message, "status": problem.status, **answer}, problem.status)

    async def _proxies(self, _names: Names, _body: bytes) -> Response:
        return _json(self._collection.shown())

    async def _create_proxy(self, _names: Names, body: bytes) -> Response:
        proxy = await self._collection.create(read_object(body))
        return _json(proxy.shown(), 201)

    async def _proxy(self, names: Names, _body: bytes) -> Response:
        return _json(self._collection[names["proxy"]].shown())

    async def _update_proxy(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        await self._collection.update(proxy, read_object(body))
        return _json(proxy.shown())

    async def _delete_proxy(self, names: Names, _body: bytes) -> Response:
        self._collection.remove(names["proxy"])
        return Response(status_code=204)

    async def _evidence(self, names: Names, _body: bytes) -> Response:
        return _json(self._collection[names["proxy"]].report())

    async def _toxics(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        return _json([toxic.shown() for toxic in proxy.toxics])

    async def _create_toxic(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        toxic = ActiveToxic.read(read_object(body))
        proxy.add(toxic)
        return _json(toxic.shown())

    async def _toxic(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        return _json(proxy.toxic(names["toxic"]).shown())

    async def _update_toxic(self, names: Names, body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        toxic = proxy.toxic(names["toxic"])
        toxic.change(read_object(body))
        proxy.changed(toxic)
        return _json(toxic.shown())

    async def _delete_toxic(self, names: Names, _body: bytes) -> Response:
        proxy = self._collection[names["proxy"]]
        proxy.remove(proxy.toxic(names["toxic"]))
        return Response(status_code=204)


def _without_browsers(app: ASGIApp) -> ASGIApp:
    """Refuses browsers as Toxiproxy does, so that a web page cannot drive the proxy of whoever looks at it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(
            name == b"user-agent" and value.startswith(b"Mozilla/") for name, value in scope["headers"]
        ):
            await PlainTextResponse("User agent not allowed\n", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


async def _read(request: Request) -> bytes:
    """The whole body; raises Refused if it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            raise ApiError(413, f"bad request body: expected at most {_LARGEST} bytes, got more")
    return bytes(body)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
