"""A lossy way to Centrifugo: answers every tenth publication of a channel itself, and passes on everything else.

`python lossy.py PORT INNER_PORT`: listens on one port of 127.0.0.1, and passes on to the other.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter

_published: Counter[str] = Counter()
_answers: dict[str, bytes] = {}
"""The last answer to a publication, of each channel."""


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request or a response: its head and its body, which has a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return head, await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on all that comes, then that nothing more comes."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    """Serves one connection."""
    while True:
        head, body = await read_message(reader)
        if not head.startswith(b"POST /api/publish "):
            inner_writer.write(head + body)
            # What follows on this connection is not looked at; a publisher has its own.
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
            return
        channel = str(json.loads(body)["channel"])
        _published[channel] += 1
        if _published[channel] % 10 or channel not in _answers:
            inner_writer.write(head + body)
            answer = b"".join(await read_message(inner_reader))
            _answers[channel] = answer
        else:
            answer = _answers[channel]
        writer.write(answer)
        await writer.drain()


async def serve(port: int, inner_port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inner_port)
            with contextlib.closing(inner_writer):
                await pass_on(reader, writer, inner_reader, inner_writer)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
