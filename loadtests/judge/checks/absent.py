"""`absent`: a planned dashboard that never subscribed, or was not subscribed at the end of the drain."""

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

from .check import WORST, Found


def absent(ledger: Ledger) -> Found:
    """A dashboard whose history was cut or is missing is not counted: nobody knows. Nor is one that the rig or its
    operator kept away.
    """
    connections, scenario = ledger.evidence.connections, ledger.scenario
    examples: list[Example] = []
    for dashboard in range(scenario.dashboards):
        planned = [span for span in scenario.planned(dashboard) if span[0] < ledger.end - ledger.start]
        if not planned or not ledger.witnessed[dashboard] or ledger.hindrance.for_good[dashboard]:
            continue
        mine = np.flatnonzero(connections.dashboard == dashboard)
        if not np.isfinite(connections.subscribed[mine]).any():
            tried = [connections.detail[number] for number in mine.tolist() if connections.detail[number]]
            why = f": {tried[-1]}" if tried else ""
            examples.append(Example(dashboard=dashboard, detail=f"never subscribed, in {len(mine)} tries{why}"))
            continue
        last = int(mine[np.argmax(connections.opening[mine])])
        stayed = connections.event[last] in (ConnectionEvent.SUBSCRIBED, ConnectionEvent.STOPPED)
        if not stayed or not np.isfinite(connections.subscribed[last]):
            code = int(connections.code[last])
            examples.append(
                Example(
                    dashboard=dashboard,
                    detail=f"not subscribed at the end: {connections.detail[last] or 'its last connection was closed'}"
                    + (f" (code {code})" if code > 0 else ""),
                )
            )
    return Found(len(examples), examples[:WORST])
