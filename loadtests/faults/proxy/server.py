"""The process's event loop: the API on it, the signals and the lifeline that end it."""

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

_GRACE = 1  # seconds that an answer of the API may take to be finished at the end


class CannotServeError(Exception):
    """The API's address is taken, unknown, or not of this machine."""


def run(api: ListenAddress, lifeline: int | None, seed: int | None) -> None:
    """Serve until SIGTERM, SIGINT, or the end of the pipe `lifeline`. Raises CannotServeError."""
    uvloop.run(_serve(api, lifeline, random.Random(seed)))


class _Server(uvicorn.Server):
    """Leaves the signals to us: it would pass them on when it has ended, and the exit code would tell of a crash."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(api: ListenAddress, lifeline: int | None, chance: random.Random) -> None:
    try:
        listener = await listen(api)
    except OSError as error:
        raise CannotServeError(f"expected an address that is free to listen on, got {api}: {reason(error)}") from None
    collection = Collection(chance)
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

    def feel_lifeline(descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 4096):
                loop.remove_reader(descriptor)
                stop()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    if lifeline is not None:
        os.set_blocking(lifeline, False)
        loop.add_reader(lifeline, feel_lifeline, lifeline)
    print(f"fault proxy: API at http://{bound(listener)}", flush=True)
    await server.serve([listener])
    collection.stop()
    await asyncio.sleep(0)  # the sockets that were just cut are closed in the loop's next turn
