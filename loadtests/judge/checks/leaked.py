"""`leaked`: shown to a dashboard that is no member of the room, or to a stranger who was let in."""

import numpy as np

from chatswarm.loadtests.judge.ledger.leaks import FAULTS, Leaks
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

from .check import WORST, CaseKind, CheckResult


def leaked(ledger: Ledger) -> CheckResult:
    """Each text and dashboard once, apart from 2 s around a change of membership; and what strangers got, by faults.

    Not measured where nobody is a stranger.
    """
    by_strangers = [
        (fault, sum(int(value) for key in ("let_in", "shown") if isinstance(value := fault.evidence.get(key), float)))
        for fault in ledger.observations.faults
        if fault.kind in FAULTS and ledger.manifest.promises.has_members
    ]
    undated = sum(count for _, count in by_strangers)
    examples = [
        Example(
            fault=fault.name,
            detail=f"strangers: let in {fault.evidence.get('let_in', 0):g} times, "
            f"shown {fault.evidence.get('shown', 0):g} texts",
        )
        for fault, count in by_strangers
        if count
    ]
    leaks = ledger.leaks
    nobody, strangers = np.full(undated, -1), [CaseKind("stranger_let_in")] * undated
    if leaks is None:
        if not undated:
            return CheckResult(None, applies=False)
        return CheckResult(undated, examples, messages=nobody, dashboards=nobody, kinds=strangers)
    rows = leaks.message[leaks.message >= 0]
    examples += [_example(ledger, number) for number in range(min(WORST, len(leaks)))]
    starts, ends = ledger.messages.intended[rows], leaks.time[leaks.message >= 0]
    return CheckResult(
        len(leaks) + undated, examples[:WORST], starts, np.maximum(starts, ends),
        messages=np.append(leaks.message, nobody), dashboards=np.append(leaks.dashboard, nobody),
        kinds=[*(_kind(leaks, number) for number in range(len(leaks))), *strangers],
    )  # fmt: skip


def _kind(leaks: Leaks, number: int) -> CaseKind:
    if leaks.stranger[number]:
        return CaseKind("never_a_member")
    return CaseKind("former_member" if leaks.former[number] else "not_yet_a_member")


def _example(ledger: Ledger, number: int) -> Example:
    leaks = ledger.leaks
    assert leaks is not None
    message, dashboard = int(leaks.message[number]), int(leaks.dashboard[number])
    why = f"{leaks.why(number)}, {leaks.time[number] - ledger.start:.2f} s after the start"
    if message >= 0:
        return ledger.example(message, dashboard, why)
    return Example(chat=ledger.chat(int(leaks.chat[number])), dashboard=dashboard, detail=why)
