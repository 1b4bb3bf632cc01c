"""Which dashboards must show a message, by the scenario's stages and rooms, for the live figures.

The judge computes the same from the history. Times are in seconds after T0.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import Memberships
from chatswarm.loadtests.scenario.scenario import Scenario

from .buckets import Floats, Ints

_Bools = npt.NDArray[np.bool_]
_GUIDES = Promises()


class LiveAudience:
    """`memberships`: of a chat with rooms; None: as the scenario draws them with `seed`."""

    def __init__(
        self, scenario: Scenario, promises: Promises = _GUIDES, memberships: Memberships | None = None, seed: int = 1
    ) -> None:
        self._scenario = scenario
        self._rooms = scenario.rooms_for(promises)
        self.memberships = memberships
        if self._rooms is not None and memberships is None:
            self.memberships = scenario.memberships_for(promises, seed)
        self._all_planned = len({stage.dashboards for stage in scenario.stages}) == 1
        self._sees_own = promises.echoes or self._rooms is None or self._rooms.senders == "widgets"

    @property
    def simple(self) -> bool:
        """Whether all dashboards, or all members of a room, must show each of its messages: see `settled`."""
        changes = self.memberships is not None and self.memberships.change
        return self._all_planned and self._sees_own and not changes

    def room(self, widget: int, n: int) -> int:
        """The room that a message goes to; -1 if there are no rooms, or its sender has none."""
        if self._rooms is None or self.memberships is None:
            return -1
        return self._rooms.of_sender(widget, n, self.memberships)

    def count(self, widget: int, n: int, at: float) -> int:
        """How many dashboards must show a message that is intended at `at`."""
        planned = self._scenario.eligible(at)
        if self.memberships is None:
            return planned
        if (room := self.room(widget, n)) < 0:
            return 0
        members = self.memberships.audience(room, at, self._scenario.update_target)
        members = members[members < planned]
        return int(len(members) - (0 if self._sees_own else np.count_nonzero(members == widget)))

    def must_show(self, keys: Sequence[tuple[int, int]], message: Ints, at: Floats, dashboard: Ints) -> _Bools | None:
        """Per delivery, whether its dashboard must show its message; None: all must.

        `message` has each delivery's index in `keys`, and `at` the time at which its message is intended.
        """
        if not len(message) or (self._all_planned and self.memberships is None):
            return None
        lowest = int(message.min())
        which = message - lowest
        place = None
        if self.memberships is not None:
            # Messages of one interval have close numbers, so few of these stay unused.
            room = np.array([self.room(*key) for key in keys[lowest : int(message.max()) + 1]])
            place = self.memberships.place(room[which], dashboard)
        sender = np.array([key[0] for key in keys[lowest : int(message.max()) + 1]])[which]
        kept = np.ones(len(message), bool) if place is None else place >= 0
        kept[kept] = self.settled(at[kept], dashboard[kept], sender[kept], None if place is None else place[kept])
        return kept

    def settled(self, at: Floats, dashboard: Ints, sender: Ints, place: Ints | None) -> _Bools:
        """As `must_show`, for deliveries to members: `place` is that of the membership, None without rooms."""
        kept = np.ones(len(dashboard), bool)
        if not self._all_planned:
            times, which = np.unique(at, return_inverse=True)
            kept &= dashboard < np.array([self._scenario.eligible(time) for time in times.tolist()])[which]
        if self.memberships is not None and place is not None and self.memberships.change:
            kept &= self.memberships.must_show(place, at, self._scenario.update_target)
        if not self._sees_own:
            kept &= dashboard != sender
        return kept
