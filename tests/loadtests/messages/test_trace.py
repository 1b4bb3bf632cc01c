"""Trace contexts follow from what they are of, and are valid by W3C's rules."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.messages import trace

W3C = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
"""Version 00: ids in lower case, neither of them all zeros; the last bit of the flags says sampled."""


@settings(deadline=None)
@given(st.text("abcdefghij234567", min_size=1), st.integers(0, 10**6), st.integers(0, 10**6))
def test_every_trace_context_is_valid_and_has_its_trace_id(run: str, number: int, n: int) -> None:
    for header, trace_id in (
        (trace.send_traceparent(f"{run}.{number}.{n}"), trace.send_trace_id(f"{run}.{number}.{n}")),
        (trace.refetch_traceparent(run, number, n), trace.refetch_trace_id(run, number, n)),
    ):
        assert W3C.fullmatch(header)
        assert header.endswith("-01"), "sampled"
        assert header.split("-")[1] == trace_id


def test_the_ids_never_change() -> None:
    """Whoever judges a run must find the ids that were sent, whatever version of chatswarm sent them."""
    # By `printf 'send abcdefghij.3.4' | sha256sum`, and of 'refetch abcdefghij.3.4'.
    send, refetch = "05196321ba142e41177dcf297996db46", "b358435677b2dcfe3e1839bddaff04b1"
    assert trace.send_trace_id("abcdefghij.3.4") == send
    assert trace.refetch_trace_id("abcdefghij", 3, 4) == refetch
    assert trace.send_traceparent("abcdefghij.3.4").startswith(f"00-{send}-")
    assert trace.refetch_traceparent("abcdefghij", 3, 4).startswith(f"00-{refetch}-")


def test_no_two_sends_or_refetches_share_an_id() -> None:
    numbers = [(widget, n) for widget in range(30) for n in range(30)]
    runs = ("abcdefghij", "abcdefghik")
    ids = [trace.send_trace_id(f"{run}.{widget}.{n}") for run in runs for widget, n in numbers]
    ids += [trace.refetch_trace_id(run, dashboard, n) for run in runs for dashboard, n in numbers]
    assert len(set(ids)) == 4 * len(numbers)


@pytest.mark.parametrize("digits", [16, 32])
def test_an_id_of_zeros_is_none(digits: int) -> None:
    assert trace._nonzero("0" * digits) == "0" * (digits - 1) + "1"
    assert trace._nonzero("0" * (digits - 1) + "a") == "0" * (digits - 1) + "a"
