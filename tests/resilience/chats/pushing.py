"""Serves a small push chat, whose rooms have members, until SIGTERM."""

import asyncio
import signal

from tests.plants.push import PushChat


def serve(chat: PushChat, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT. What it stores is gone then."""
    asyncio.run(_serve(chat, host, port))


async def _serve(chat: PushChat, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await asyncio.start_server(chat.connected, host, port, backlog=1024):
        await stop.wait()
