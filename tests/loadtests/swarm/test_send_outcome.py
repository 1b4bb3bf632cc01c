"""The outcome of a send, and the back-off of reconnects."""

import random
from itertools import islice

import pytest

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.swarm.backoff import delays
from chatswarm.loadtests.swarm.send_outcome import outcome_of, outcome_of_rejection

ACCEPTED, REJECTED, UNKNOWN = SendOutcome


@pytest.mark.parametrize(
    ("written", "status", "complete", "expected"),
    [
        (True, 200, True, ACCEPTED),
        (True, 201, True, ACCEPTED),
        (False, 0, False, REJECTED),  # no connection, so certainly not stored
        (False, -24, False, REJECTED),  # the rig ran out of open files before the request
        (True, -105, False, UNKNOWN),  # the rig ran out of buffers during the request
        (True, -1000, False, UNKNOWN),  # the rig could not read the response
        (True, 0, False, UNKNOWN),  # written, without a response
        (True, 200, False, UNKNOWN),  # a 2xx counts only if it is complete
        (True, 400, True, REJECTED),
        (True, 404, True, REJECTED),
        (True, 408, True, UNKNOWN),
        (True, 413, True, REJECTED),
        (True, 429, True, REJECTED),
        (True, 404, False, UNKNOWN),
        (True, 302, True, UNKNOWN),
        (True, 500, True, UNKNOWN),
        (True, 502, True, UNKNOWN),
        (True, 504, True, UNKNOWN),
    ],
)
def test_outcome_of(written: bool, status: int, complete: bool, expected: SendOutcome) -> None:
    for promise in (True, False):
        outcome = outcome_of(written=written, status=status, complete=complete, unavailable_means_not_done=promise)
        assert outcome is expected


def test_a_503_means_not_done_only_where_the_target_promises_it() -> None:
    assert outcome_of(written=True, status=503, complete=True, unavailable_means_not_done=True) is REJECTED
    assert outcome_of(written=True, status=503, complete=True, unavailable_means_not_done=False) is UNKNOWN
    assert outcome_of(written=True, status=503, complete=False, unavailable_means_not_done=True) is UNKNOWN


def test_jitter_is_spread_below_a_bound_that_doubles_to_two_seconds_without_an_end() -> None:
    columns = list(
        zip(*(islice(delays("jitter", random.Random(seed).uniform), 50) for seed in range(200)), strict=True)
    )
    for attempt, column in enumerate(columns):
        bound = min(2.0, 0.25 * 2**attempt)
        assert 0 <= min(column) < 0.1 * bound
        assert 0.9 * bound < max(column) <= bound


def test_origin_gives_up_after_five_tries() -> None:
    assert list(delays("origin", random.Random(1).uniform)) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, REJECTED),  # it says no, and nothing else
        (400, REJECTED),
        (403, REJECTED),
        (429, REJECTED),
        (408, UNKNOWN),
        (500, UNKNOWN),
        (502, UNKNOWN),
        (200, REJECTED),  # whatever it means, it is no acknowledgement
    ],
)
def test_a_rejection_over_a_socket_means_what_its_status_means_by_http(status: int, expected: SendOutcome) -> None:
    for promise in (True, False):
        assert outcome_of_rejection(status, unavailable_means_not_done=promise) is expected
    assert outcome_of_rejection(503, unavailable_means_not_done=True) is REJECTED
    assert outcome_of_rejection(503, unavailable_means_not_done=False) is UNKNOWN
