"""`unnotified` and `silent_socket`: frames that were due and did not arrive."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, ints
from chatswarm.loadtests.judge.ledger.due import SILENCE, Silence
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.rig import longest_sleeps
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.system.units import human

from .check import WORST, CaseKind, CheckResult


def visible_without_frame(ledger: Ledger) -> Bools:
    """Where frames have ids: the deliveries that are visible although no frame announced them."""
    return np.asarray(ledger.announcements.missed & np.isfinite(ledger.visible))


def unnotified(ledger: Ledger) -> CheckResult:
    """Visible, but no frame announced it on an open connection: a later refetch made up for the missed wake-up.

    Frames that a silent socket explains are not counted again. Without ids, a lower bound per dashboard and chat.
    """
    announcements = ledger.announcements
    if not announcements.measures_missed:
        return CheckResult(None, applies=False)
    if not announcements.exact:
        worst = sorted(announcements.missed_by_count, key=lambda missed: -missed.missing)[:WORST]
        counts = [missed.missing for missed in announcements.missed_by_count]
        return CheckResult(
            sum(counts),
            [
                Example(
                    chat=ledger.chat(missed.chat),
                    dashboard=missed.dashboard,
                    detail=f"at least {missed.missing} of its frames never came",
                )
                for missed in worst
            ],
            messages=np.full(sum(counts), -1),
            dashboards=np.repeat(ints([missed.dashboard for missed in announcements.missed_by_count]), counts),
            kinds=[CaseKind("frame_never_sent")] * sum(counts),
        )
    found = np.flatnonzero(visible_without_frame(ledger))
    return CheckResult(
        len(found), [ledger.example_of(delivery, "no frame announced it") for delivery in found[:WORST].tolist()]
    )


def silent_socket(ledger: Ledger) -> CheckResult:
    """A span of 3 s or more on one subscribed connection in which 5 or more frames were due and none arrived.

    Not counted: what would be shorter without the longest time in it for which the rig did not look.
    """
    silences = sorted(silences_without_delays(ledger), key=lambda silence: -silence.due)
    return CheckResult(
        len(silences),
        [
            Example(
                dashboard=int(ledger.observations.connections.dashboard[silence.connection]),
                detail=f"{silence.due} frames were due and none came for {human(silence.end - silence.start)}, "
                f"from {silence.start - ledger.start:.2f} s on",
                fault=ledger.active_faults(silence.start, silence.end),
            )
            for silence in silences[:WORST]
        ],
        np.array([silence.start for silence in silences]),
        np.array([silence.end for silence in silences]),
        messages=np.full(len(silences), -1),
        dashboards=ledger.observations.connections.dashboard[[silence.connection for silence in silences]],
        kinds=[CaseKind("silent_socket")] * len(silences),
    )


def silences_without_delays(ledger: Ledger) -> list[Silence]:
    """The silences that are long enough without the longest time in each for which the rig did not look."""
    silences = ledger.announcements.silences
    if not silences:
        return []
    starts, ends = (np.array([getattr(silence, name) for silence in silences]) for name in ("start", "end"))
    process = ledger.observations.connections.process[[silence.connection for silence in silences]]
    heard = ends - starts - longest_sleeps(ledger.observations, process, starts, ends) >= SILENCE
    return [silence for silence, real in zip(silences, heard.tolist(), strict=True) if real]
