"""`absent`: a planned dashboard that never subscribed, or was not subscribed at the end of the drain."""

import math

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

from .check import WORST, CaseKind, CheckResult


def absent(ledger: Ledger) -> CheckResult:
    """Not counted: dashboards whose history was cut or is missing, and those that the rig or its operator kept away.

    If a fault was never healed, nobody knows whether a dashboard that left under it would have been back.
    """
    connections, scenario = ledger.observations.connections, ledger.scenario
    examples: list[Example] = []
    found: list[int] = []
    kinds: list[CaseKind] = []
    faults = ledger.observations.faults
    never_healed = min((fault.start for fault in faults if math.isinf(fault.stop)), default=math.inf)
    unknown = 0
    for dashboard in range(scenario.dashboards):
        planned = [span for span in scenario.planned(dashboard) if span[0] < ledger.end - ledger.start]
        if not planned or not ledger.witnessed[dashboard] or ledger.rig_outages.permanent[dashboard]:
            continue
        mine = np.flatnonzero(connections.dashboard == dashboard)
        if not np.isfinite(connections.subscribed[mine]).any():
            details = [connections.detail[number] for number in mine.tolist() if connections.detail[number]]
            why = f": {details[-1]}" if details else ""
            found.append(dashboard)
            kinds.append(CaseKind("handshake_refused", details[-1]) if details else CaseKind("never_subscribed"))
            examples.append(Example(dashboard=dashboard, detail=f"never subscribed, in {len(mine)} attempts{why}"))
            continue
        last = int(mine[np.argmax(connections.opening[mine])])
        stayed = connections.event[last] in (ConnectionEvent.SUBSCRIBED, ConnectionEvent.STOPPED)
        if not stayed or not np.isfinite(connections.subscribed[last]):
            ended = connections.ended[mine][np.isfinite(connections.subscribed[mine])]
            if np.max(ended, initial=-math.inf, where=np.isfinite(ended)) >= never_healed - ledger.fault_bound:
                unknown += 1
                continue
            code = int(connections.code[last])
            found.append(dashboard)
            tried = connections.event[last] == ConnectionEvent.FAILED and connections.detail[last]
            kinds.append(
                CaseKind("handshake_refused", connections.detail[last]) if tried else CaseKind("never_reconnected")
            )
            examples.append(
                Example(
                    dashboard=dashboard,
                    detail=f"not subscribed at the end: {connections.detail[last] or 'its last connection was closed'}"
                    + (f" (code {code})" if code > 0 else ""),
                )
            )
    return CheckResult(
        None if unknown and not examples else len(examples), examples[:WORST],
        messages=np.full(len(found), -1), dashboards=np.array(found, np.int64), kinds=kinds,
    )  # fmt: skip
