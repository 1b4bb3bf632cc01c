"""How a run deviated from what was requested: its users, duration and processes.

A change by an operator, a load shape, a setting or a lost process makes a pass untrustworthy. It is not a finding about
the target.
"""

import numpy as np

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.history.tables import Role, UserEvent
from chatswarm.loadtests.scenario.scenario import Scenario

from .ledger import Ledger
from .ledger.observations import Users
from .ledger.rig_outages import never_started

_NAMES = {Role.WIDGET: "widget", Role.DASHBOARD: "dashboard"}
_EXACT = 0.001  # seconds


def deviations(ledger: Ledger) -> list[str]:
    """How the run differs from what was requested, as sentences; empty if it does not."""
    return [
        *_settings(ledger.manifest, ledger.scenario),
        *_operator_changes(ledger.observations.users, ledger.start),
        *_idle_dashboards(ledger),
    ]


def withdrawn(users: Users, role: Role) -> set[int]:
    """The numbers of the users that were removed."""
    return set(users.number[(users.role == role) & (users.event == UserEvent.WITHDRAWN)].tolist())


def _settings(manifest: Manifest, scenario: Scenario) -> list[str]:
    asked = manifest.asked
    if asked is None:
        return []
    compared = [
        ("dashboards", asked.dashboards, scenario.dashboards),
        ("widgets", asked.widgets, scenario.widgets),
        ("processes", asked.processes, len(manifest.with_users)),
    ]
    reasons = [f"{what}: {wanted} requested, but the run had {got}" for what, wanted, got in compared if wanted != got]
    if abs(asked.seconds - scenario.duration) > _EXACT:
        reasons.append(f"seconds: {asked.seconds:g} requested, but the run was planned for {scenario.duration:g}")
    return reasons


def _operator_changes(users: Users, start: float) -> list[str]:
    reasons = []
    gone = users.event == UserEvent.WITHDRAWN
    if gone.any():
        first = float(users.time[gone].min()) - start
        when = f"from {first:.1f} s after the start on" if first >= 0 else "before the start"
        reasons.append(
            f"{_counted(users, UserEvent.WITHDRAWN)} removed ({when}) by the operator, a load shape or a "
            "process that left: what they missed says nothing about the target"
        )
    if (users.event == UserEvent.ADDED).any():
        reasons.append(f"{_counted(users, UserEvent.ADDED)} started in excess of the scenario, and left idle")
    return reasons


def _counted(users: Users, event: UserEvent) -> str:
    counts = [(len(np.unique(users.number[(users.event == event) & (users.role == role)])), role) for role in Role]
    many = [f"{count} {_NAMES[role]}{'s' if count > 1 else ''}" for count, role in counts if count]
    return f"{' and '.join(many)} {'was' if sum(count for count, _ in counts) == 1 else 'were'}"


def _idle_dashboards(ledger: Ledger) -> list[str]:
    if not ledger.observations.complete:
        return []
    idle = [
        dashboard
        for dashboard in never_started(ledger.observations, ledger.scenario.dashboards).tolist()
        if any(first < ledger.end - ledger.start for first, _ in ledger.scenario.planned(dashboard))
    ]
    return [f"{len(idle)} of {ledger.scenario.dashboards} dashboards were never started"] if idle else []
