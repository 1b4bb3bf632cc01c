"""Which sightings of a message are the first on their dashboard, at a cost that follows the sightings."""

import numpy as np

from .buckets import Ints

CAPACITY = 1 << 24
"""Places that are remembered: 64 MiB if all of them are used, and next to nothing until then."""


class FirstSightings:
    """Each message has a block of places, one for each dashboard that may show it. The newest blocks are remembered."""

    def __init__(self, largest: int, capacity: int = CAPACITY) -> None:
        """`largest`: the size of the largest block. Remembers at least two such blocks."""
        self._size = 1 << (max(2 * largest, capacity) - 1).bit_length()
        # Zeros take no memory before something is written to them.
        self._seen = np.zeros(self._size, np.int32)
        self._end = 0

    def reserve(self, places: int) -> int:
        """The number of the first place in a new block. Forgets the oldest places if there are too many."""
        begin, self._end = self._end, self._end + places
        if self._end > self._size:
            first, last = max(begin, self._size) % self._size, self._end % self._size
            if first <= last:
                self._seen[first:last] = 0
            else:
                self._seen[first:] = 0
                self._seen[:last] = 0
        return begin

    def take(self, place: Ints) -> Ints:
        """The indexes of the sightings whose places have not been seen before, nor earlier in `place`."""
        index = np.flatnonzero(place >= self._end - self._size)
        slot = place[index] & (self._size - 1)
        new = self._seen[slot] == 0
        index, slot = index[new], slot[new]
        # numpy keeps the last value written to a slot: written backwards, that is the first sighting.
        order = np.arange(1, len(slot) + 1, dtype=np.int32)
        self._seen[slot[::-1]] = order[::-1]
        first: Ints = index[self._seen[slot] == order]
        return first
