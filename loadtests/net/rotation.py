"""Round-robin over the addresses of one name; addresses that failed recently come last."""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

RETRY_AFTER = 30.0
"""Seconds after which a failed address is back in the rotation."""

A = TypeVar("A", bound=Hashable)


class Rotation(Generic[A]):
    """Addresses take turns, so that each gets its share of the connections. Times are the caller's, in seconds."""

    def __init__(self, addresses: Sequence[A]) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self._next = 0
        self._failed: dict[A, float] = {}

    def order(self, now: float, turn: int | None = None) -> list[A]:
        """All addresses, in the order in which the next connection should try them.

        `turn`: the turn's number, for callers that count turns themselves so as not to fall into step with others.
        """
        failed = [address for address, since in self._failed.items() if now - since < RETRY_AFTER]
        good = [address for address in self.addresses if address not in failed]
        if turn is None:
            turn = self._next
            self._next += 1
        first = turn % len(good) if good else 0
        return [*good[first:], *good[:first], *failed]

    def failed(self, address: A, now: float) -> None:
        """The address took no connection: the others are tried before it for the next `RETRY_AFTER` seconds."""
        self._failed.pop(address, None)
        self._failed[address] = now

    def worked(self, address: A) -> None:
        """The address took a connection."""
        self._failed.pop(address, None)
