"""W3C trace contexts: the `traceparent` of each send and refetch, which follows from its identity alone.

So whoever knows which message it is can find its request in the target's own tracing, and no history has to hold ids.
"""

import hashlib

HEADER = "traceparent"
"""The header of a request that is traced."""

_TRACE_ID, _SPAN_ID = 32, 16  # hexadecimal digits


def send_traceparent(uid: str) -> str:
    """The header's value for the send of the message `uid` (`run.widget.n`), in version 00 and sampled."""
    return _traceparent(_digest_of_send(uid))


def send_trace_id(uid: str) -> str:
    """The trace id in `send_traceparent`: 32 hexadecimal digits in lower case, not all of them 0."""
    return _nonzero(_digest_of_send(uid)[:_TRACE_ID])


def refetch_traceparent(run: str, dashboard: int, n: int) -> str:
    """The header's value for the `n`-th refetch (from 0) of a dashboard in `run`, in version 00 and sampled."""
    return _traceparent(_digest_of_refetch(run, dashboard, n))


def refetch_trace_id(run: str, dashboard: int, n: int) -> str:
    """The trace id in `refetch_traceparent`: 32 hexadecimal digits in lower case, not all of them 0."""
    return _nonzero(_digest_of_refetch(run, dashboard, n)[:_TRACE_ID])


def _digest_of_send(uid: str) -> str:
    return _digest(f"send {uid}")


def _digest_of_refetch(run: str, dashboard: int, n: int) -> str:
    return _digest(f"refetch {run}.{dashboard}.{n}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _traceparent(digest: str) -> str:
    trace_id, span_id = digest[:_TRACE_ID], digest[_TRACE_ID : _TRACE_ID + _SPAN_ID]
    return f"00-{_nonzero(trace_id)}-{_nonzero(span_id)}-01"


def _nonzero(identity: str) -> str:
    """The id itself; another one for that of zeros, which W3C forbids."""
    return identity if identity.strip("0") else f"{identity[:-1]}1"
