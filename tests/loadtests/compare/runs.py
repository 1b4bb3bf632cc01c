"""Runs to compare: literal figures, and whole folders that were acted out on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatswarm.loadtests.compare.measured import SHARES, MeasuredRun
from chatswarm.loadtests.scenario.scenario import parse
from tests.loadtests.judge.play import Plant, Play

TABLE: Mapping[str, Any] = {"swarm": {"rate": 20, "duration": "30s"}}


def run_of(figures: Mapping[str, float], table: Mapping[str, Any] = TABLE, **changes: Any) -> MeasuredRun:
    """A run that passed, with these figures."""
    run = MeasuredRun(
        folder=Path("runs/one"), outcome="pass", exit_code=0, sound=True, reasons=(), target="http://chat",
        started=0.0, seed=1, version="1", protocol="reference", protocol_text="", processes=1,
        scenario=parse(table, "busy", "busy.toml"), faults=(), cut="", by_refetch=True, figures=figures,
        curves={"notified": tuple(0.01 * (1 + share) for share in SHARES)},
    )  # fmt: skip
    return replace(run, **changes)


def runs_with(metric: str, values: Sequence[float], **changes: Any) -> list[MeasuredRun]:
    """A run for each value of one metric."""
    return [run_of({metric: value}, **changes) for value in values]


def played(folder: Path, minute: int, slow: float = 0.0, seed: int = 1, **changes: Any) -> Path:
    """The folder of a run of that minute, whose frames came so many seconds later than in others."""
    play = Play(folder, **changes)
    play.plants |= {(widget, n): Plant(slow=slow) for _, widget, n in play.schedule()}
    play.manifest.started = f"2026-01-01T00:{minute:02}:00.000+00:00"
    play.manifest.seed = seed
    return play.perform().write()


def played_pairs(root: Path, base: Sequence[float], new: Sequence[float]) -> tuple[list[Path], list[Path]]:
    """Folders `base-1`, … and `new-1`, … of runs in the order A B B A, with frames so many seconds later."""
    sides: tuple[list[Path], list[Path]] = ([], [])
    for number, pair in enumerate(zip(base, new, strict=True)):
        for place in (0, 1):
            side = place ^ (number % 2)
            name = f"{('base', 'new')[side]}-{number + 1}"
            sides[side].append(played(root / name, 1 + 2 * number + place, pair[side], number + 1))
    return sides
