"""Random numbers for one user, the same in every run with the same seed."""

from hashlib import blake2b


class Draws:
    """A stream of random numbers. `random.Random` would take 2.5 KB for each user."""

    __slots__ = ("_count", "_key")

    def __init__(self, key: str) -> None:
        """`key` names the stream."""
        self._key = key
        self._count = 0

    def uniform(self, low: float, high: float) -> float:
        """The next number, from `low` to `high`."""
        self._count += 1
        digest = blake2b(f"{self._key} {self._count}".encode(), digest_size=8).digest()
        return low + (high - low) * int.from_bytes(digest) / 2**64
