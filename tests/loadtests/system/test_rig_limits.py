"""Which failures are the rig's own."""

import errno
import socket
import ssl

import pytest

from chatswarm.loadtests.system.rig_limits import OWN, RESOURCES, own_errno


@pytest.mark.parametrize("number", OWN)
def test_a_limit_is_found_in_a_failure_and_in_its_causes(number: int) -> None:
    limit = OSError(number, "oh")
    assert own_errno(limit) == number
    wrapped = ValueError("no connection")
    wrapped.__cause__ = limit
    assert own_errno(wrapped) == number
    in_context = ValueError("while that was handled")
    in_context.__context__ = limit
    assert own_errno(in_context) == number


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        BrokenPipeError(errno.EPIPE, "pipe"),
        TimeoutError(errno.ETIMEDOUT, "time"),
        TimeoutError("timed out"),
        EOFError(),
        socket.gaierror(socket.EAI_NONAME, "no such name"),
        ssl.SSLError(1, "its 1 is not EPERM"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
    ],
)
def test_what_the_target_or_the_net_does_is_not_the_rigs(error: BaseException) -> None:
    assert own_errno(error) is None


def test_no_memory_is_the_rigs() -> None:
    assert own_errno(MemoryError()) == errno.ENOMEM
    assert own_errno(socket.gaierror(socket.EAI_MEMORY, "memory")) == errno.ENOMEM


def test_causes_that_go_round_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert own_errno(one) is None


def test_every_limit_says_what_to_do() -> None:
    assert set(OWN) >= RESOURCES
    for limit in OWN.values():
        assert limit.name
        assert limit.remedy
