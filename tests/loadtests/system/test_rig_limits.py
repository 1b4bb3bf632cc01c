"""Which failures come from a limit of the rig."""

import errno
import socket
import ssl

import pytest

from chatswarm.loadtests.system.rig_limits import RESOURCES, RIG_LIMITS, rig_limit_errno


@pytest.mark.parametrize("number", RIG_LIMITS)
def test_a_limit_is_found_in_a_failure_and_in_its_causes(number: int) -> None:
    limit = OSError(number, "oh")
    assert rig_limit_errno(limit) == number
    wrapped = ValueError("no connection")
    wrapped.__cause__ = limit
    assert rig_limit_errno(wrapped) == number
    in_context = ValueError("while that was handled")
    in_context.__context__ = limit
    assert rig_limit_errno(in_context) == number


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
def test_failures_of_the_target_or_the_network_are_not_rig_limits(error: BaseException) -> None:
    assert rig_limit_errno(error) is None


def test_running_out_of_memory_is_a_rig_limit() -> None:
    assert rig_limit_errno(MemoryError()) == errno.ENOMEM
    assert rig_limit_errno(socket.gaierror(socket.EAI_MEMORY, "memory")) == errno.ENOMEM


def test_circular_causes_do_not_loop_for_ever() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert rig_limit_errno(one) is None


def test_every_limit_has_a_remedy() -> None:
    assert set(RIG_LIMITS) >= RESOURCES
    for limit in RIG_LIMITS.values():
        assert limit.name
        assert limit.remedy
