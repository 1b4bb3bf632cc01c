"""All proxies of this process, by name."""

import asyncio
import random

from .address import ListenAddress
from .errors import ApiError, bad_body, missing_field, proxy_exists, proxy_not_found
from .proxy import Proxy
from .request_body import Body

_DEFAULT_LISTEN = ListenAddress("127.0.0.1", 0)


class Collection:
    """The proxies. Every change holds `lock`, so that concurrent requests cannot interleave."""

    def __init__(self, rng: random.Random) -> None:
        self.lock = asyncio.Lock()
        self._rng = rng
        self._proxies: dict[str, Proxy] = {}

    def __getitem__(self, name: str) -> Proxy:
        """Raises ApiError if there is none of that name."""
        try:
            return self._proxies[name]
        except KeyError:
            raise proxy_not_found(name, self._proxies) from None

    def as_json(self) -> dict[str, object]:
        return {name: proxy.as_json() for name, proxy in self._proxies.items()}

    async def create(self, body: Body) -> Proxy:
        """Create a proxy. Raises ApiError."""
        proxy, enabled = self._read(body, "")
        if proxy.name in self._proxies:
            raise proxy_exists(proxy.name)
        if enabled:
            await proxy.start()
        self._proxies[proxy.name] = proxy
        return proxy

    async def update(self, proxy: Proxy, body: Body) -> None:
        """Update a proxy. Raises ApiError."""
        address = body.address("listen", proxy.address)
        upstream = body.address("upstream", proxy.upstream)
        enabled = body.boolean("enabled", proxy.enabled)
        if body.problems:
            raise bad_body(body.problems)
        await proxy.update(address, upstream, enabled=enabled)

    async def populate(self, bodies: list[Body]) -> tuple[list[Proxy], ApiError | None]:
        """Create the proxies, and replace existing ones whose address or upstream differs.

        Returns the proxies that are now as requested, and the error that stopped it, or None. If a body is malformed,
        raises ApiError and changes nothing.
        """
        requested = [self._read(body, f" at proxy {number}") for number, body in enumerate(bodies, 1)]
        done: list[Proxy] = []
        for proxy, enabled in requested:
            try:
                done.append(await self._put(proxy, enabled=enabled))
            except ApiError as error:
                return done, error
        return done, None

    def remove(self, name: str) -> None:
        """Remove a proxy. Raises ApiError if there is none of that name."""
        self[name].stop()
        del self._proxies[name]

    async def reset(self) -> None:
        """Enable all proxies and remove all toxics.

        If a proxy's address is no longer free, heals the others, and then raises the first such ApiError.
        """
        failure: ApiError | None = None
        for proxy in self._proxies.values():
            proxy.reset()
            try:
                await proxy.start()
            except ApiError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def stop(self) -> None:
        for proxy in self._proxies.values():
            proxy.stop()

    async def _put(self, proxy: Proxy, *, enabled: bool) -> Proxy:
        present = self._proxies.get(proxy.name)
        if present is not None:
            if not await present.differs(proxy.address, proxy.upstream):
                return present
            present.stop()
        if enabled:
            await proxy.start()
        self._proxies[proxy.name] = proxy
        return proxy

    def _read(self, body: Body, where: str) -> tuple[Proxy, bool]:
        name = body.text("name", "")
        enabled = body.boolean("enabled", True)
        address = body.address("listen", _DEFAULT_LISTEN)
        upstream = body.address("upstream", None)
        if body.problems:
            raise bad_body(body.problems)
        if not name:
            raise missing_field("name" + where)
        if upstream is None:
            raise missing_field("upstream" + where)
        return Proxy(name, address, upstream, self._rng), enabled
