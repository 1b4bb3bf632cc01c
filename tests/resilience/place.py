"""Where a run takes place: on this host, or on two, which are namespaces joined by a virtual cable."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command import until


@dataclass(frozen=True)
class Place:
    """Two hosts, or one: the chat and Locust's master are on the first, and workers are on the second."""

    address: str
    """By which workers reach the first host."""
    first: tuple[str, ...] = ()
    """The words before a command that is to run there."""
    second: tuple[str, ...] = ()


HERE = Place("127.0.0.1")

_ADDRESSES = ("10.13.0.1", "10.13.0.2")
_DEVICES = ("to-workers", "to-master")
_ANOTHER_CLOCK = ("unshare", "--time", "--monotonic", "5000", "--fork", "--kill-child")
"""Before a command: it runs on a host that has been up 5,000 s longer."""


@contextmanager
def two_hosts() -> Iterator[Place]:
    """Two hosts that reach each other and nothing else, and whose clocks differ.

    Raises OSError if that is impossible, such as for lack of rights. They vanish with their last process, so nothing is
    left behind, even if this process is killed.
    """
    with ExitStack() as opened:
        hosts = [opened.enter_context(_host()) for _ in _ADDRESSES]
        first, second = (("nsenter", f"--net=/proc/{pid}/ns/net", "--") for pid in hosts)
        cable = f"ip link add {_DEVICES[0]} type veth peer name {_DEVICES[1]} netns {hosts[1]}"
        _do(*first, *cable.split())
        for inside, device, address in zip((first, second), _DEVICES, _ADDRESSES, strict=True):
            _do(*inside, "ip", "address", "add", f"{address}/24", "dev", device)
            for name in ("lo", device):
                _do(*inside, "ip", "link", "set", name, "up")
        _do(*second, *_ANOTHER_CLOCK, "true")
        yield Place(_ADDRESSES[0], first, (*second, *_ANOTHER_CLOCK))


def why_no_two_hosts() -> str | None:
    """Why there cannot be two hosts here; None if there can."""
    try:
        with two_hosts():
            return None
    except OSError as error:
        return str(error)


@contextmanager
def _host() -> Iterator[int]:
    """A network namespace. Yields the ID of the process that keeps it, which ends with this process."""
    own = Path("/proc/self/ns/net").readlink()
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as keeper:

        def made() -> bool:
            if keeper.poll() is not None:
                assert keeper.stderr is not None
                raise OSError(keeper.stderr.read().decode().strip())
            with suppress(OSError):  # it has just ended
                return Path(f"/proc/{keeper.pid}/ns/net").readlink() != own
            return False

        until(made, what="no network namespace was made")
        yield keeper.pid  # on the way out its input is closed, which ends it


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
