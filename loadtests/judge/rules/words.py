"""Numbers and names in the sentences of causes and evidence."""

from collections.abc import Sequence

from chatswarm.loadtests.judge.ledger.arrays import Ints, ints

_NAMED = 3  # more dashboards than these are only counted


def dashboards(numbers: Ints | Sequence[int]) -> str:
    """`dashboard 7`, `dashboards 7 and 9`, or `12 dashboards`."""
    different = sorted(set(ints(numbers).tolist()))
    if len(different) > _NAMED:
        return f"{len(different):,} dashboards"
    if len(different) == 1:
        return f"dashboard {different[0]}"
    return f"dashboards {', '.join(map(str, different[:-1]))} and {different[-1]}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def many(count: int, noun: str) -> str:
    """`1 refetch`, `2 refetches`, `3 dashboards`."""
    plural = f"{noun}es" if noun.endswith(("ch", "s")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
