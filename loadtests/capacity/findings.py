"""From a search's probes to its result: the limit with its interval, and what gave out. No I/O, no clock."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from chatswarm.loadtests.compare.capacity import (
    PAUSE,
    AtLeast,
    LoadProbe,
    ProbeOutcome,
    SearchEnd,
    at_least,
    next_step,
)
from chatswarm.loadtests.compare.curve import knee
from chatswarm.loadtests.compare.gave_out import BUSY, NULL_MARGIN, GaveOut, LimitEvidence, what_gave_out
from chatswarm.loadtests.compare.limits import limit_interval
from chatswarm.loadtests.system.exit_code import ExitCode

from .record import CONFIDENCE, AskedCapacity, CapacityKind, CapacityProbe, CapacityResult, Purpose

_NOISE = 0.02
"""Seconds per second: a backlog that grows less than this is none. Measured where none grew: up to 0.01."""
_GREW = 1.5
"""How many times as long a target's list is in the end, if that is told."""
_FURTHER = 4
"""The probes with twice the processes and against the null chat, at most."""
_PATIENCE = 15.0
"""Seconds that a probe waits for dashboards that the target does not admit."""
SPARE = 30.0
"""Seconds that the last probe may take longer than planned: dashboards that never subscribe are waited for."""
_CONCLUSIVE = ("found", "ceiling", "nothing held", "unconfirmed")


def own(probes: Sequence[CapacityProbe]) -> list[CapacityProbe]:
    """The probes of the search itself."""
    return [probe for probe in probes if probe.purpose == "search"]


def step_of(asked: AskedCapacity, probes: Sequence[CapacityProbe]) -> LoadProbe | SearchEnd:
    """The search's next probe, or how it ended. Raises ValueError if the probes are those of another search."""
    made = [ProbeOutcome(LoadProbe(probe.level, probe.seconds), probe.held) for probe in own(probes)]
    return next_step(asked.search, made)


def stuck(probes: Sequence[CapacityProbe]) -> bool:
    """Whether the same load was undecided twice in a row: a third time would not decide it."""
    last = own(probes)[-2:]
    return len(last) == 2 and all(probe.held is None for probe in last) and last[0].level == last[1].level


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """What to run next."""

    load: LoadProbe
    purpose: Purpose
    processes: int


def next_probe(asked: AskedCapacity, probes: Sequence[CapacityProbe], told: float) -> PlannedProbe | None:
    """What to run next; None: the search has ended. It never takes longer than `told`, in seconds."""
    step = step_of(asked, probes)
    following: PlannedProbe | None
    if isinstance(step, SearchEnd):
        following = _further(asked, probes, step)
    else:
        following = None if stuck(probes) else PlannedProbe(step, "search", asked.processes)
    return None if following is None or not _has_time(asked, probes, following.load, told) else following


def time_of(asked: AskedCapacity) -> float:
    """The seconds that it takes at most, with the probes for what gave out."""
    search = asked.search
    further = _FURTHER * (asked.probe + asked.ramp + asked.drain + PAUSE)
    failing = search.short_probes - len(search.rise)
    waited = _PATIENCE * failing if asked.by == "dashboards" else 0.0
    return search.longest(asked.ramp, asked.drain) + further + waited + SPARE


def _has_time(asked: AskedCapacity, probes: Sequence[CapacityProbe], load: LoadProbe, told: float) -> bool:
    spent = sum(probe.took for probe in probes)
    return spent + asked.ramp + load.seconds + asked.drain + PAUSE + SPARE <= told + 1e-6


def _further(asked: AskedCapacity, probes: Sequence[CapacityProbe], end: SearchEnd) -> PlannedProbe | None:
    """The next probe for what gave out.

    A failure on a rig that was not sound is tried again with twice the processes, and more than the limit against the
    null chat. Each counts as failed only if it fails again.
    """
    if end.kind not in _CONCLUSIVE or end.failed is None:
        return None
    if _rig_sound(_failures_at(probes, end.failed)) is False and not _enough(_of("twice", probes)):
        return PlannedProbe(LoadProbe(end.failed, asked.probe), "twice", 2 * asked.processes)
    if asked.null_chat and not asked.rig and not _enough(_of("null", probes)):
        # With as many processes as it took to find out.
        processes = max([asked.processes, *(probe.processes for probe in _of("twice", probes))])
        return PlannedProbe(LoadProbe(null_level(asked, end), asked.probe), "null", processes)
    return None


def null_level(asked: AskedCapacity, end: SearchEnd) -> float:
    """The load that the rig has to get from a chat that answers at once, to have been able to measure the limit."""
    level = NULL_MARGIN * (end.failed or 0.0 if end.limit is None else end.limit)
    return float(math.floor(level)) if asked.by == "dashboards" else float(f"{level:.4g}")


def result_of(
    asked: AskedCapacity, probes: Sequence[CapacityProbe], wanted: float | None = None, stopped: str | None = None
) -> CapacityResult:
    """The result so far. `wanted`: the load that is to be held; `stopped`: why no further probe is made now."""
    step = step_of(asked, probes)
    end = step if isinstance(step, SearchEnd) else SearchEnd("out of time", None, None)
    kind: CapacityKind = end.kind
    if stuck(probes) and isinstance(step, LoadProbe):
        kind = "undecided"
    elif stopped is not None and isinstance(step, LoadProbe):
        kind = "stopped"
    gave_out, shown = (
        _gave_out(asked, probes, end)
        if kind in _CONCLUSIVE and stopped is None
        else ("unknown", _busy_words(asked, _failing(probes)))
    )
    low, high = _interval(probes)
    if low is not None and end.limit is not None:
        # Loads above it may have held for a short time, but were not confirmed.
        low = min(low, end.limit)
    if gave_out != ("rig" if asked.rig else "target"):
        high = None
    answer = None if wanted is None else _answer(wanted, kind, low, high, gave_out)
    return CapacityResult(
        kind=kind,
        limit=end.limit,
        failed=end.failed,
        low=low,
        high=high,
        confidence=CONFIDENCE,
        gave_out=gave_out,
        evidence=shown,
        knee=knee(_p99s(probes)),
        at_least=wanted,
        answer=answer,
        exit_code=_exit_code(kind, high, answer),
        reasons=[*_reasons(asked, probes, kind), *([stopped] if stopped is not None else [])],
        notes=_notes(asked, probes, end.limit),
        seconds=sum(probe.took for probe in probes),
    )


def _answer(wanted: float, kind: CapacityKind, low: float | None, high: float | None, gave_out: GaveOut) -> AtLeast:
    found = at_least(wanted, (low or 0.0, math.inf if high is None else high), gave_out)
    # Short probes alone hide an overload that shows later.
    return "cannot tell" if found == "shown" and kind not in ("found", "ceiling") else found


def _exit_code(kind: CapacityKind, high: float | None, answer: AtLeast | None) -> ExitCode:
    if answer == "refuted":
        return ExitCode.FAIL
    found = answer == "shown" if answer is not None else kind == "found" and high is not None
    return ExitCode.PASS if found else ExitCode.UNDECIDED


def _interval(probes: Sequence[CapacityProbe]) -> tuple[float | None, float | None]:
    decided = [(probe.level, probe.held) for probe in own(probes) if probe.held is not None]
    if not decided:
        return None, None
    low, high = limit_interval([level for level, _ in decided], [held for _, held in decided], CONFIDENCE)
    # Nothing is extrapolated: beyond the highest load that held, no load was shown to hold.
    low = min(low, max((level for level, held in decided if held), default=0.0)) / (1 + _overload(probes))
    return (low if low > 0 else None), (high if high < math.inf else None)


def _overload(probes: Sequence[CapacityProbe]) -> float:
    """By how much the highest load that held was too much, as the backlog tells that was let pass; 0 if it is noise.

    A load that is x too much adds x seconds of latency in each second.
    """
    held = [probe for probe in own(probes) if probe.held]
    highest = max((probe.level for probe in held), default=0.0)
    grew = _middle(probe.backlog for probe in held if probe.level == highest)
    return grew if grew is not None and grew > _NOISE else 0.0


def _gave_out(asked: AskedCapacity, probes: Sequence[CapacityProbe], end: SearchEnd) -> tuple[GaveOut, list[str]]:
    """What gave out, and sentences that show it."""
    if end.failed is None:
        return "ceiling", [f"the highest load that was asked for held: {end.limit:g} {asked.unit}"]
    failed = _failures_at(probes, end.failed)
    machine, target = _machine_busy(failed), _target_busy(asked, failed)
    shown = [*_sound_words(probes, end.failed), *_null_words(asked, probes), *_busy_words(asked, failed)]
    if asked.rig:
        return ("unknown" if target is not None and target >= BUSY else "rig"), shown
    null_failed = _null_failed(probes)
    used, rig = _middle(probe.machine_cpu for probe in failed), _middle(probe.rig_cpu for probe in failed)
    evidence = LimitEvidence(
        end.limit, end.failed, _sound_at_last(probes, end.failed), null_failed, asked.target_here, machine,
        None if used is None or rig is None or not used else rig / used, target,
    )  # fmt: skip
    if null_failed is not None and _null_saturated(probes):
        # The null chat itself had nothing left, which says nothing about the rig.
        evidence = replace(evidence, null_failed=None)
    found = what_gave_out(evidence)
    if found == "unknown" and machine is not None and machine >= BUSY:
        shown.append("nothing shows who kept the machine busy: stop other programs, or name the target by --pid")
    return found, shown


def _failures_at(probes: Sequence[CapacityProbe], level: float) -> list[CapacityProbe]:
    return [probe for probe in own(probes) if probe.level == level and probe.held is False]


def _failing(probes: Sequence[CapacityProbe]) -> list[CapacityProbe]:
    return [probe for probe in own(probes) if probe.held is False]


def _of(purpose: str, probes: Sequence[CapacityProbe]) -> list[CapacityProbe]:
    return [probe for probe in probes if probe.purpose == purpose]


def _enough(probes: Sequence[CapacityProbe]) -> bool:
    """One probe that held is enough, and so are two that did not."""
    return len(probes) > 1 or any(probe.held for probe in probes)


def _rig_sound(probes: Sequence[CapacityProbe]) -> bool | None:
    if not probes or any(probe.rig_sound is None for probe in probes):
        return None
    return all(probe.rig_sound for probe in probes)


def _sound_at_last(probes: Sequence[CapacityProbe], level: float) -> bool | None:
    """Whether the rig was sound where the load failed: as it was, or with twice the processes."""
    first = _rig_sound(_failures_at(probes, level))
    again = _of("twice", probes)
    if first is not False or not again:
        return first
    # If the load holds with twice the processes, it was the rig that gave out.
    return not any(probe.held for probe in again) and _rig_sound(again)


def _null_failed(probes: Sequence[CapacityProbe]) -> float | None:
    null = _of("null", probes)
    if not _enough(null):
        return None
    if any(probe.held for probe in null):
        return math.inf
    return null[0].level if all(probe.held is False for probe in null) else None


def _null_saturated(probes: Sequence[CapacityProbe]) -> bool:
    return any((probe.target_cpu or 0.0) >= BUSY for probe in _of("null", probes))


def _machine_busy(probes: Sequence[CapacityProbe]) -> float | None:
    shares = (
        None
        if probe.machine_cpu is None
        else max(probe.machine_cpu / max(1, probe.cores or 1), probe.cpu_pressure or 0)
        for probe in probes
    )
    return _middle(shares)


def _target_busy(asked: AskedCapacity, probes: Sequence[CapacityProbe]) -> float | None:
    used = _middle(probe.target_cpu for probe in probes)
    return None if used is None or asked.target_cores is None else used / asked.target_cores


def _sound_words(probes: Sequence[CapacityProbe], level: float) -> list[str]:
    words = {True: "was sound", False: "was not sound", None: "was not measured"}
    first, again = _rig_sound(_failures_at(probes, level)), _of("twice", probes)
    found = [f"the rig {words[first]} where the load failed"]
    if again:
        with_twice = f"with {again[0].processes} processes, the load"
        if any(probe.held for probe in again):
            found.append(f"{with_twice} held: search again with --processes {again[0].processes}")
        else:
            found.append(f"{with_twice} failed, and the rig {words[_rig_sound(again)]}")
    return found


def _null_words(asked: AskedCapacity, probes: Sequence[CapacityProbe]) -> list[str]:
    null = _of("null", probes)
    if not asked.null_chat:
        return [f"no null chat speaks the protocol {asked.protocol}, so the rig's own limit was not measured"]
    if not null:
        return []
    level = f"{null[0].level:g} {asked.unit}"
    if any(probe.held for probe in null):
        return [f"the same rig held {level} against a chat that answers at once"]
    if _null_saturated(probes):
        return [f"against a chat that answers at once, {level} failed, but that chat itself used a whole core"]
    return [f"the same rig did not hold {level} even against a chat that answers at once"]


def _busy_words(asked: AskedCapacity, probes: Sequence[CapacityProbe]) -> list[str]:
    found = []
    target, machine = _middle(probe.target_cpu for probe in probes), _middle(probe.machine_cpu for probe in probes)
    if target is not None:
        of = "" if asked.target_cores is None else f" of the {asked.target_cores} that can be used"
        whose = "the null chat" if asked.rig else "the target's processes"
        found.append(f"{whose} used {target:.2f} cores{of}")
    if machine is not None:
        cores = max(probe.cores or 0 for probe in probes)
        rig, waited = _middle(probe.rig_cpu for probe in probes), _middle(probe.cpu_pressure for probe in probes)
        own_share = "" if rig is None else f", the rig {rig:.2f} of them"
        pressure = "" if waited is None else f"; some task waited for a core {waited:.0%} of the time"
        found.append(f"{machine:.2f} of the machine's {cores} cores were in use{own_share}{pressure}")
    return found


def _reasons(asked: AskedCapacity, probes: Sequence[CapacityProbe], kind: CapacityKind) -> list[str]:
    mine = own(probes)
    last = mine[-1].why if mine else []
    match kind:
        case "undecided":
            return [f"{mine[-1].level:g} {asked.unit} was undecided twice", *last]
        case "nothing held":
            why = next((probe.why for probe in mine if probe.why), [])
            return [f"not even {asked.start:g} {asked.unit} held: {'; '.join(why)}"]
        case "unconfirmed":
            return ["loads held for a short time, but none of them for long: try a lower --from, or longer probes"]
        case "out of time":
            return ["the time that was told is over: probes had to be repeated, or took longer than planned"]
        case _:
            return []


def _notes(asked: AskedCapacity, probes: Sequence[CapacityProbe], limit: float | None) -> list[str]:
    overload = _overload(probes)
    if overload and limit == max(probe.level for probe in own(probes) if probe.held):
        grew = f"at {limit:g} {asked.unit} a backlog grew by {overload:.2f} s/s, which the precision lets pass"
        return [f"{grew}: the lower bound is that much lower", *_list_growth(asked, probes)]
    return _list_growth(asked, probes)


def _list_growth(asked: AskedCapacity, probes: Sequence[CapacityProbe]) -> list[str]:
    if asked.target is None or asked.rig:
        return []
    sizes = [probe.list_bytes for probe in own(probes) if probe.list_bytes]
    if len(sizes) < 2:
        return []
    first, last = (f"{size / 1000:.1f} kB" for size in (sizes[0], sizes[-1]))
    grew = f"dashboards read a list of {first} in the first probe and of {last} in the last"
    if sizes[-1] > _GREW * sizes[0]:
        return [f"{grew}: if the target keeps the chats of earlier probes, a fresh one may hold more"]
    return [grew]


def _p99s(probes: Sequence[CapacityProbe]) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for probe in own(probes):
        if probe.deliveries and probe.held is not None:
            found.setdefault(probe.level, []).append(math.inf if probe.p99 is None else probe.p99)
    return found


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
