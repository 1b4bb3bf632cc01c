"""Whether recorded runs may be compared, and which two are a pair."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from .measured import MeasuredRun
from .schedule import interleaved
from .verdicts import FEWEST


class NotComparableError(ValueError):
    """Runs that may not be compared. `problems`: a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def check_folders(base: Sequence[Path], new: Sequence[Path]) -> None:
    """Raises NotComparableError for too few folders, other numbers on both sides, or one that was given twice."""
    problems = []
    if len(base) != len(new):
        problems.append(f"expected as many runs after --against as before it, got {len(base)} and {len(new)}")
    elif len(base) < FEWEST:
        problems.append(f"expected at least {FEWEST} runs of each side, got {len(base)}")
    times = Counter(folder.resolve() for folder in (*base, *new))
    problems += [f"{folder}: expected each run once, got it {n} times" for folder, n in times.items() if n > 1]
    if problems:
        raise NotComparableError(problems)


def paired_runs(base: Sequence[MeasuredRun], new: Sequence[MeasuredRun]) -> list[tuple[MeasuredRun, MeasuredRun]]:
    """The runs in pairs (base, new), in the order in which they ran. Raises NotComparableError."""
    problems = [f"{run.folder}: expected a complete history, got {run.cut}" for run in (*base, *new) if run.cut]
    if problems:
        raise NotComparableError(problems)
    first = base[0]
    for run in (*base[1:], *new):
        problems += [f"{run.folder}: {problem} as {first.folder}" for problem in _differences(first, run)]
    for side in (base, new):
        for one, other in pairwise(side):
            if _backend(one) != _backend(other):
                problems.append(f"{other.folder}: expected the same [backend] as {one.folder} of the same side")
    if problems:
        raise NotComparableError(problems)
    return list(zip(in_order(base), in_order(new), strict=True))


def in_order(runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """The runs in the order in which they began."""
    return sorted(runs, key=lambda run: run.started)


def take_turns(pairs: Sequence[tuple[MeasuredRun, MeasuredRun]]) -> bool:
    """Whether the runs took turns: what drifts slowly then affects both sides alike."""
    return interleaved([base.started for base, _ in pairs], [new.started for _, new in pairs])


def _differences(first: MeasuredRun, run: MeasuredRun) -> Iterator[str]:
    """What was run otherwise. The seed, the target and the flags of the chat that was started may differ."""
    one, other = _flat(_shape(first)), _flat(_shape(run))
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield f"expected the same scenario ({key} = {_value(one, key)}, got {_value(other, key)})"
    # A run that decided nothing may have had no faults because it was over too soon.
    if first.faults != run.faults and "undecided" not in (first.outcome, run.outcome):
        yield f"expected the same faults ({_listed(first)}, got {_listed(run)})"
    for name, expected, got in (
        ("version of chatswarm", first.version or "not recorded", run.version or "not recorded"),
        ("protocol", first.protocol, run.protocol),
        ("number of processes", first.processes, run.processes),
    ):
        if expected != got:
            yield f"expected the same {name} ({expected}, got {got})"
    if first.protocol_text != run.protocol_text:
        yield "expected the same text of the protocol's file"


def _shape(run: MeasuredRun) -> Mapping[str, Any]:
    return {key: value for key, value in run.table.items() if key not in ("backend", "question")}


def _backend(run: MeasuredRun) -> object:
    return run.table.get("backend", {})


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        rows = {str(n): row for n, row in enumerate(value, 1)} if isinstance(value, list) else value
        nested = isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values())
        flat |= _flat(rows, f"{above}{key}.") if nested or isinstance(value, dict) else {f"{above}{key}": value}
    return flat


def _value(table: Mapping[str, object], key: str) -> object:
    return table.get(key, "not set")


def _listed(run: MeasuredRun) -> str:
    return ", ".join(name for name, _ in run.faults) or "none"
