"""Runs as their verdicts tell of them: read from folders or files, in time order, each metric as one figure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from chatswarm.loadtests.history.folders import VERDICT
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.scenario.metric_names import CLOSED, DELIVERIES, MESSAGES
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import one_line


class NotKeptError(Exception):
    """Some of what was named holds no verdict. `problems` has a line for each: where, what was expected, what came."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class KeptRun:
    """A run, as far as its `verdict.json` tells of it."""

    path: Path
    """As it was named."""
    started: datetime
    verdict: Verdict

    @property
    def decided(self) -> bool:
        """Whether its figures count: those of a failed run do."""
        return self.verdict.exit_code in (ExitCode.PASS, ExitCode.FAIL)


def read_runs(paths: Iterable[Path]) -> list[KeptRun]:
    """The runs in these folders and `verdict.json` files (of any name), in time order.

    A run that is there twice, by the same path or as a copy, counts once. Raises NotKeptError.
    """
    runs: dict[bytes, KeptRun] = {}
    problems = []
    for path in paths:
        try:
            run = _read(path)
        except (OSError, ValueError) as error:
            problems.append(_problem(path, error))
        else:
            runs.setdefault(msgspec.json.encode(msgspec.structs.replace(run.verdict, folder="")), run)
    if problems:
        raise NotKeptError(problems)
    return sorted(runs.values(), key=lambda run: (run.started, str(run.path)))


def _read(path: Path) -> KeptRun:
    file = path / VERDICT if path.is_dir() else path
    verdict = msgspec.json.decode(file.read_bytes(), type=Verdict)
    try:
        started = datetime.fromisoformat(verdict.started)
    except ValueError:
        raise ValueError(f"started = {verdict.started!r}, which is no time") from None
    return KeptRun(path, started if started.tzinfo else started.replace(tzinfo=UTC), verdict)


def _problem(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        came = f"no {VERDICT} in it" if path.is_dir() else "nothing there"
    else:
        came = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return one_line(f"{path}: expected the folder of a run that was judged, or its {VERDICT}, got: {came}")


def figure_of(verdict: Verdict, metric: str) -> float | None:
    """One of the metrics that may be compared, in a run: seconds or a count; infinite for a quantile among the lost.

    None if it was not measured, or if the rig was unsound and may have delayed what the metric times.
    """
    latency, dot, key = metric.partition(".")
    if (dot or metric == "late") and not verdict.rig.sound:
        return None
    if dot:
        quantiles = getattr(verdict.latency, latency)
        value: float | None = getattr(quantiles, key)
        return math.inf if value is None and quantiles.count else value
    if metric == CLOSED:
        return float(verdict.connections.closed)
    part = verdict.messages if metric in MESSAGES else verdict.deliveries if metric in DELIVERIES else verdict.counts
    count: int | None = getattr(part, metric)
    return None if count is None else float(count)
