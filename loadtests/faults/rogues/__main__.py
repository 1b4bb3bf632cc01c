"""`python -m chatswarm.loadtests.faults.rogues`: clients that behave badly until they are told to stop.

    stdin:  one line of JSON, the instructions (`instructions.py`); its end is one way of saying stop
    stdout: {"begun": true}, and in the end the evidence, each one line of JSON
            or {"problem": "..."}, and exit code 2

SIGTERM, SIGINT and the end of the lifeline stop it, too.
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

_BEGINNING = 25.0  # seconds; whoever started this process waits for 30
_USAGE = 2
_STDIN, _STDOUT = 0, 1


def main() -> int:
    """Read the order, follow it, and tell. Returns the exit code."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a flood of connections is one of open files
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20), hard)
        )
    try:
        asyncio.run(_live(Instructions.parse(sys.stdin.buffer.readline())))
    except CannotBeginError as error:
        _say({"problem": str(error)})
        return _USAGE
    except BaseExceptionGroup as group:
        cannot = group.subgroup(CannotBeginError)
        if cannot is None:
            raise
        _say({"problem": str(cannot.exceptions[0])})
        return _USAGE
    return 0


async def _live(order: Instructions) -> None:
    told_to_stop = asyncio.Event()
    _listen(told_to_stop)
    async with asyncio.TaskGroup() as tasks:
        rogue = order.rogue(tasks)
        beginning = tasks.create_task(_begin(rogue))
        await told_to_stop.wait()
        beginning.cancel()
        await asyncio.wait([beginning])
        _say(await rogue.end())


async def _begin(rogue: Rogue) -> None:
    try:
        async with asyncio.timeout(_BEGINNING):
            await rogue.begin()
    except TimeoutError:
        raise CannotBeginError(f"expected to have begun in {_BEGINNING:g} s") from None
    _say({"begun": True})


def _listen(told_to_stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)

    def feel(pipe: int) -> None:
        if not os.read(pipe, 4096):
            loop.remove_reader(pipe)
            told_to_stop.set()

    pipes = [_STDIN]
    with contextlib.suppress(KeyError, ValueError):
        pipes.append(int(os.environ[LIFELINE]))
    for pipe in pipes:
        with contextlib.suppress(PermissionError):  # a plain file cannot be watched, and does not end either
            loop.add_reader(pipe, feel, pipe)


def _say(words: object) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(_STDOUT, msgspec.json.encode(words) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
