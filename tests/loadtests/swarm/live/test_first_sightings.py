"""The first sighting of each message on each dashboard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.swarm.live.first_sightings import FirstSightings


def first(of: FirstSightings, *places: int) -> list[int]:
    return list(map(int, of.take(np.array(places, np.int64))))


def test_only_the_first_of_a_place_counts_in_one_batch_and_in_the_next() -> None:
    of = FirstSightings(3)
    assert [of.reserve(3), of.reserve(2)] == [0, 3]
    assert first(of, 4, 0, 4, 1, 0) == [0, 1, 3]
    assert first(of, 4, 2, 0, 3, 3) == [1, 3]
    assert first(of) == []


@pytest.mark.parametrize("wide", [3, 4, 8])
def test_the_oldest_blocks_are_forgotten_and_never_taken_for_new_ones(wide: int) -> None:
    of = FirstSightings(wide, capacity=8)
    blocks = [of.reserve(wide) for _ in range(40)]
    assert first(of, *(place for block in blocks[:-2] for place in (block,) if block < blocks[-1] - 16)) == []
    newest = [blocks[-1] + place for place in range(wide)]
    assert first(of, *newest) == list(range(wide))
    again = of.reserve(wide)
    assert first(of, *newest) == []
    assert first(of, *(again + place for place in range(wide))) == list(range(wide))


@given(st.lists(st.tuples(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=8))))
def test_a_small_memory_is_right_about_what_it_remembers(steps: list[tuple[int, list[tuple[int, int]]]]) -> None:
    of = FirstSightings(3, capacity=8)
    blocks: list[tuple[int, int]] = []
    seen: set[int] = set()
    for size, sightings in steps:
        blocks.append((of.reserve(size), size))
        end = sum(blocks[-1])
        places = [
            begin + place
            for ago, place in sightings
            for begin, width in blocks[-1 - ago : len(blocks) - ago]
            if place < width and begin + place >= end - 8
        ]
        expected = [at for at, place in enumerate(places) if place not in seen and place not in places[:at]]
        assert first(of, *places) == expected
        seen |= set(places)
