"""The process's event loop: serves the API until a signal or the end of the lifeline."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Generator

import uvicorn
import uvloop

from .address import ListenAddress, bound, listen, reason
from .api import Api
from .collection import Collection
from .lag import LoopLag

_GRACE = 1  # seconds that open requests have to finish at shutdown


class CannotServeError(Exception):
    """The API's address is taken, unknown, or not on this machine."""


def run(api: ListenAddress, lifeline: int | None, seed: int | None) -> None:
    """Serve until SIGTERM, SIGINT, or the end of the pipe `lifeline`. Raises CannotServeError."""
    uvloop.run(_serve(api, lifeline, random.Random(seed)))


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again after shutdown, and the exit code would look like a crash."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(api: ListenAddress, lifeline: int | None, rng: random.Random) -> None:
    try:
        listener = await listen(api)
    except OSError as error:
        raise CannotServeError(f"expected an address that is free to listen on, got {api}: {reason(error)}") from None
    collection = Collection(rng)
    config = uvicorn.Config(
        Api(collection, LoopLag(asyncio.get_running_loop())).application(),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True

    def read_lifeline(descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 4096):
                loop.remove_reader(descriptor)
                stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    if lifeline is not None:
        os.set_blocking(lifeline, False)
        loop.add_reader(lifeline, read_lifeline, lifeline)
    print(f"fault proxy: API at http://{bound(listener)}", flush=True)
    await server.serve([listener])
    collection.stop()
    await asyncio.sleep(0)  # the loop closes the cut sockets in its next iteration
