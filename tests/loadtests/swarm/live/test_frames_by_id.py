"""Frames that announce a message by its id, in chats with rooms."""

import numpy as np

from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.rooms import of_rows
from chatswarm.loadtests.swarm.live.frames_by_id import FramesById
from chatswarm.loadtests.swarm.live.live_audience import LiveAudience

T0 = 1000.0
ALWAYS = (-np.inf, np.inf)


def test_only_members_of_the_message_s_room_count() -> None:
    table = {"swarm": {"dashboards": 4, "widgets": 2}, "rooms": {"count": 2}}
    members = of_rows(2, [(0, 0, *ALWAYS), (0, 1, *ALWAYS), (1, 1, *ALWAYS), (1, 3, *ALWAYS)])
    audience = LiveAudience(scenario.parse(table, "some", "some"), Promises(has_rooms=True), members)
    of = FramesById(audience, 4, 1.0, lambda widget, n: T0 + widget + n)
    of.announce(0, from_customer=True, message_id=70)
    of.announce(1, from_customer=True, message_id=71)
    of.announce(2, from_customer=False, message_id=72)
    dashboard = np.array([0, 1, 2, 3, -1, 4])
    for announcement in range(3):
        of.take(np.full(6, announcement), dashboard, np.full(6, T0 + 3.0))
    of.identify([(71, 1, 0), (72, 1, 1)])
    assert [(row.widget, row.n, sum(row.counts), row.seconds) for row in of.deliveries(T0)] == [(1, 0, 2, 4.0)]
    of.identify([(70, 0, 0)])
    assert [(row.widget, row.n, sum(row.counts), row.seconds) for row in of.deliveries(T0)] == [(0, 0, 2, 6.0)]
    assert of.deliveries(T0) == []
