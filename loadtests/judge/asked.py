"""Was the run the one that was asked for? Its users, seconds and processes, held against what they should have been.

What an operator, a load shape, somebody's settings or a lost process changed is a reason not to trust a pass; it is no
finding about the target.
"""

import numpy as np

from chatswarm.loadtests.history.manifest import NEMESIS, PROXY, Manifest
from chatswarm.loadtests.history.tables import Role, UserEvent
from chatswarm.loadtests.scenario.scenario import Scenario

from .ledger import Ledger
from .ledger.hindrance import unstarted
from .ledger.observations import Users

_NAMES = {Role.WIDGET: "widget", Role.DASHBOARD: "dashboard"}
_EXACT = 0.001  # seconds


def differences(ledger: Ledger) -> list[str]:
    """Why the run is not the one that was asked for; empty if it is."""
    return [
        *_settings(ledger.manifest, ledger.scenario),
        *_hands(ledger.evidence.users, ledger.start),
        *_missing(ledger),
    ]


def withdrawn(users: Users, role: Role) -> set[int]:
    """The numbers of the users that were taken away."""
    return set(users.number[(users.role == role) & (users.event == UserEvent.WITHDRAWN)].tolist())


def _settings(manifest: Manifest, scenario: Scenario) -> list[str]:
    asked = manifest.asked
    if asked is None:
        return []
    processes = len([name for name in manifest.processes if name not in (NEMESIS, PROXY)])
    compared = [
        ("dashboards", asked.dashboards, scenario.dashboards),
        ("widgets", asked.widgets, scenario.widgets),
        ("processes", asked.processes, processes),
    ]
    reasons = [f"{what}: {wanted} asked for, and the run had {got}" for what, wanted, got in compared if wanted != got]
    if abs(asked.seconds - scenario.duration) > _EXACT:
        reasons.append(f"seconds: {asked.seconds:g} asked for, and the run was made for {scenario.duration:g}")
    return reasons


def _hands(users: Users, start: float) -> list[str]:
    reasons = []
    gone = users.event == UserEvent.WITHDRAWN
    if gone.any():
        first = float(users.time[gone].min()) - start
        when = f"from {first:.1f} s after the start on" if first >= 0 else "before the start"
        reasons.append(
            f"{_counted(users, UserEvent.WITHDRAWN)} taken away ({when}) by the operator, a load shape or a "
            "process that left: what they missed says nothing of the target"
        )
    if (users.event == UserEvent.ADDED).any():
        reasons.append(f"{_counted(users, UserEvent.ADDED)} started beyond those of the scenario, and left idle")
    return reasons


def _counted(users: Users, event: UserEvent) -> str:
    counts = [(len(np.unique(users.number[(users.event == event) & (users.role == role)])), role) for role in Role]
    many = [f"{count} {_NAMES[role]}{'s' if count > 1 else ''}" for count, role in counts if count]
    return f"{' and '.join(many)} {'was' if sum(count for count, _ in counts) == 1 else 'were'}"


def _missing(ledger: Ledger) -> list[str]:
    if not ledger.evidence.complete:
        return []
    idle = [
        dashboard
        for dashboard in unstarted(ledger.evidence, ledger.scenario.dashboards).tolist()
        if any(first < ledger.end - ledger.start for first, _ in ledger.scenario.planned(dashboard))
    ]
    return [f"{len(idle)} of {ledger.scenario.dashboards} dashboards were never started"] if idle else []
