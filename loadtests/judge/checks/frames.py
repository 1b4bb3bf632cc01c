"""`unnotified` and `silent_socket`: frames that were due and did not come."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.system.units import human

from .check import WORST, Found


def healed(ledger: Ledger) -> Bools:
    """Where frames have ids: the deliveries that are visible although no frame announced them."""
    return np.asarray(ledger.announced.missed & np.isfinite(ledger.visible))


def unnotified(ledger: Ledger) -> Found:
    """Visible, but no frame announced it on a connection that was there: a later refetch healed a missed wake-up.

    What a silent socket explains is not counted again. Without ids this is a lower bound, per dashboard and chat.
    """
    announced = ledger.announced
    if not announced.exact:
        worst = sorted(announced.missed_by_count, key=lambda missed: -missed[2])[:WORST]
        return Found(
            sum(count for *_, count in announced.missed_by_count),
            [
                Example(
                    chat=ledger.chat(chat), dashboard=dashboard, detail=f"at least {count} of its frames never came"
                )
                for dashboard, chat, count in worst
            ],
        )
    rows, dashboards = np.nonzero(healed(ledger))
    return Found(
        len(rows),
        [
            ledger.example(row, dashboard, "no frame announced it")
            for row, dashboard in zip(rows[:WORST].tolist(), dashboards[:WORST].tolist(), strict=True)
        ],
    )


def silent_socket(ledger: Ledger) -> Found:
    """A span of 3 s or more on one subscribed connection in which 5 or more frames were due and none came."""
    silences = sorted(ledger.announced.silences, key=lambda silence: -silence.due)
    return Found(
        len(silences),
        [
            Example(
                dashboard=int(ledger.evidence.connections.dashboard[silence.connection]),
                detail=f"{silence.due} frames were due and none came for {human(silence.end - silence.start)}, "
                f"from {silence.start - ledger.start:.2f} s on",
                fault=ledger.active(silence.start, silence.end),
            )
            for silence in silences[:WORST]
        ],
        np.array([silence.start for silence in silences]),
        np.array([silence.end for silence in silences]),
    )
