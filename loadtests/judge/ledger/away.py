"""Which deliveries were lost while their dashboard was away, between two connections."""

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent

from .arrays import Bools, Floats, Ints, placed
from .due import Due, Received
from .observations import ConnectionTable

_NO_CLOSE_FRAME = 1006


def lost_away(
    lost: Bools, sent: Floats, accepted: Floats, due: Due, received: Received, connections: ConnectionTable
) -> Bools:
    """Which of the lost deliveries are of messages that were on their way between the last byte on the dashboard's old
    connection and its next subscription: accepted after the one, and sent before the other.

    `sent`, `accepted`: per message, when. Nobody knows when in between the target sent it on. A dashboard that never
    subscribed was not between two connections, and one that never came back still is.
    """
    deliveries = due.deliveries
    away = np.zeros(len(deliveries), bool)
    found = np.flatnonzero(lost)
    if not len(found):
        return away
    seat, start, last = _subscriptions(due, received, connections)
    if not len(seat):
        return away
    message = deliveries.message[found]
    at = _latest(seat, start, due.seat_of(found).astype(np.int64), accepted[message])
    ended = last[at] <= accepted[message]
    # It may have been sent while the dashboard was still away.
    began = (start[at] > sent[message]) & (at > 0) & (seat[np.maximum(at, 1) - 1] == seat[at])
    away[found] = (at >= 0) & (ended | began)
    return away


def _subscriptions(due: Due, received: Received, connections: ConnectionTable) -> tuple[Ints, Floats, Floats]:
    """The seat of each subscription, when it started, and when the last byte came on its connection; by seat and start.

    A close frame is a byte that came.
    """
    begin, after = received.edges[due.connections], received.edges[due.connections + 1]
    heard = np.append(received.time, -np.inf)[np.where(after > begin, after - 1, -1)]
    last = np.maximum(heard, due.start)
    events, codes = connections.event[due.connections], connections.code[due.connections]
    told = (events == ConnectionEvent.CLOSED) & (codes != _NO_CLOSE_FRAME)
    stayed = ~np.isin(events, (ConnectionEvent.CLOSED, ConnectionEvent.FAILED))
    last = np.where(told | stayed, np.fmax(last, connections.ended[due.connections]), last)
    # A connection that was open to the end was never left.
    last = np.where(stayed & (events != ConnectionEvent.STOPPED), np.inf, last)
    if due.joined is None:
        seat, start = due.dashboard, due.start
    else:
        seat, start, last = due.joined.seat, due.joined.start, last[due.joined.number]
    order = np.lexsort((start, seat))
    return seat[order], start[order], last[order]


def _latest(seat: Ints, start: Floats, wanted: Ints, moment: Floats) -> Ints:
    """For each wanted seat and moment: its last row that started by then, or -1. Rows are by seat and start."""
    at = placed(seat, start, wanted, moment, after=True) - 1
    return np.where((at >= 0) & (np.append(seat, -1)[at] == wanted), at, -1)
