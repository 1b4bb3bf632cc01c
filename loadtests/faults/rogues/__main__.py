"""`python -m chatswarm.loadtests.faults.rogues`: run misbehaving clients until told to stop.

    stdin:  one line of JSON, the instructions (`instructions.py`); end of input means stop
    stdout: {"begun": true}, then at the end the evidence, one line of JSON each
            or {"problem": "..."}, with exit code 2

SIGTERM, SIGINT and the end of the lifeline also stop it.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys

import msgspec

from chatswarm.loadtests.system.children import LIFELINE

from .instructions import Instructions
from .rogue import CannotBeginError, Rogue

_BEGIN_TIMEOUT = 25.0  # seconds; the parent process allows 30
_USAGE = 2
_STDIN, _STDOUT = 0, 1


def main() -> int:
    """Read the instructions, follow them, and report. Returns the exit code."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a connection flood needs many open files
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20), hard)
        )
    try:
        asyncio.run(_run(Instructions.parse(sys.stdin.buffer.readline())))
    except CannotBeginError as error:
        _report({"problem": str(error)})
        return _USAGE
    except BaseExceptionGroup as group:
        known = group.subgroup(CannotBeginError)
        if known is None:
            raise
        _report({"problem": str(known.exceptions[0])})
        return _USAGE
    return 0


async def _run(instructions: Instructions) -> None:
    stop = asyncio.Event()
    _watch_for_stop(stop)
    async with asyncio.TaskGroup() as tasks:
        rogue = instructions.rogue(tasks, os.environ)
        beginning = tasks.create_task(_begin(rogue))
        await stop.wait()
        beginning.cancel()
        await asyncio.wait([beginning])
        _report(await rogue.end())


async def _begin(rogue: Rogue) -> None:
    try:
        async with asyncio.timeout(_BEGIN_TIMEOUT):
            await rogue.begin()
    except TimeoutError:
        raise CannotBeginError(f"expected to begin within {_BEGIN_TIMEOUT:g} s, got no result") from None
    _report({"begun": True})


def _watch_for_stop(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def read(pipe: int) -> None:
        if not os.read(pipe, 4096):
            loop.remove_reader(pipe)
            stop.set()

    pipes = [_STDIN]
    with contextlib.suppress(KeyError, ValueError):
        pipes.append(int(os.environ[LIFELINE]))
    for pipe in pipes:
        with contextlib.suppress(PermissionError):  # a plain file cannot be watched, and never ends
            loop.add_reader(pipe, read, pipe)


def _report(message: object) -> None:
    with contextlib.suppress(OSError):  # the parent is gone
        os.write(_STDOUT, msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
