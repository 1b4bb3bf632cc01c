"""Whose turn it is among the addresses of one name. Values in, values out: the caller brings the time."""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

AGAIN = 30.0
"""Seconds after which an address that failed gets its turn again."""

P = TypeVar("P", bound=Hashable)


class Rotation(Generic[P]):
    """Addresses take turns, so that each gets its share of the connections. Those that failed lately come last."""

    def __init__(self, places: Sequence[P]) -> None:
        self.places = tuple(dict.fromkeys(places))
        self._next = 0
        self._failed: dict[P, float] = {}

    def order(self, now: float, turn: int | None = None) -> list[P]:
        """All addresses, in the order in which the next connection should try them. `now` is in seconds.

        `turn`: which turn it is, for a caller that counts by itself so as not to fall into step with others.
        """
        lately = [place for place, failed in self._failed.items() if now - failed < AGAIN]
        good = [place for place in self.places if place not in lately]
        if turn is None:
            turn = self._next
            self._next += 1
        first = turn % len(good) if good else 0
        return [*good[first:], *good[:first], *lately]

    def failed(self, place: P, now: float) -> None:
        """It took no connection: for some time the others are tried before it."""
        self._failed.pop(place, None)
        self._failed[place] = now

    def worked(self, place: P) -> None:
        """It took a connection."""
        self._failed.pop(place, None)
