"""What holds for all cases of a cause, and so excludes other causes: facts, each of which could be otherwise."""

import numpy as np

from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .connections import open_throughout
from .facts import Facts
from .faults import spans_of, under
from .lists import reads_since
from .words import many

_SPREAD = 3


def facts_about(facts: Facts, cases: Cases, cause: str = "") -> list[str]:
    """These facts about the cases that one cause explains, or none, as sentences."""
    if not len(cases) or (cases.message < 0).any():
        return []
    return [
        *_store(facts, cases), *_connections(facts, cases), *_lists(facts, cases), *_faults(facts, cases, cause),
        *_spread(facts, cases),
    ]  # fmt: skip


def _store(facts: Facts, cases: Cases) -> list[str]:
    if cases.finding == "lost":
        return []  # `reached` says it
    if facts.store_known[cases.message].all() and facts.stored[cases.message].all():
        return ["all of them are stored: the final read has them"]
    return []


def _connections(facts: Facts, cases: Cases) -> list[str]:
    if (cases.delivery < 0).any():
        return []
    if open_throughout(facts, cases).all():
        return ["their dashboards were connected from the send until it was accepted"]
    return []


def _lists(facts: Facts, cases: Cases) -> list[str]:
    if cases.finding != "lost" or facts.ledger.by_frames:
        return []
    if (reads_since(facts, cases, moments_of(facts.ledger, cases).accepted) > 0).all():
        return ["their dashboards read the list again after they were accepted, and it lacks them"]
    return []


def _faults(facts: Facts, cases: Cases, cause: str) -> list[str]:
    faults = facts.ledger.observations.faults
    if cause in ("fault", "rig"):
        return []
    out = []
    begin, end = spans_of(facts, cases)
    if faults and not under(begin, end, [(span.start, span.stop) for span in faults]).any():
        out.append("no fault was active meanwhile")
    if cases.finding == "late":
        own = facts.delays.of_deliveries(cases.delivery)
        latency = facts.ledger.latency[cases.delivery]
        moments = moments_of(facts.ledger, cases)
        if np.isfinite(moments.visible).all() and (own < 0.5 * latency).all():
            out.append(f"the load generator delayed none of them by more than {human(float(own.max()))}")
    return out


def _spread(facts: Facts, cases: Cases) -> list[str]:
    parts = []
    if (cases.dashboard >= 0).all() and len(different := np.unique(cases.dashboard)) >= _SPREAD:
        parts.append(many(len(different), "dashboard"))
    if len(chats := np.unique(facts.ledger.messages.chat[cases.message])) >= _SPREAD:
        parts.append(many(len(chats), "chat"))
    return [f"spread over {' and '.join(parts)}"] if parts else []
