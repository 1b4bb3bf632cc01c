"""Deliveries lost on the way to a dashboard: it had no connection, or was no member, or nothing came any more."""

import numpy as np

from chatswarm.loadtests.history.tables import RECOVERED, MembershipEvent, Sighting
from chatswarm.loadtests.judge.checks.frames import silences_without_delays
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints, placed
from chatswarm.loadtests.judge.ledger.due import GRACE

from .cases import Cases, moments_of
from .claims import Claim
from .facts import Facts
from .lists import reads_since
from .words import dashboards, many


def not_a_member(facts: Facts, cases: Cases) -> Claim | None:
    """The last word on the dashboard's subscription to the room, before the message was accepted, was no."""
    table = facts.ledger.observations.memberships
    kept = np.flatnonzero(
        (table.chat >= 0)
        & np.isin(table.event, (MembershipEvent.JOINED, MembershipEvent.REFUSED, MembershipEvent.LEFT))
        & (table.connection >= 0)
    )
    if not len(kept):
        return None
    moments = moments_of(facts.ledger, cases)
    chats = len(facts.ledger.observations.chat_ids)
    pair = table.dashboard[kept] * chats + table.chat[kept]
    order = np.lexsort((table.time[kept], pair))
    pair, kept = pair[order], kept[order]
    wanted = cases.dashboard * chats + facts.ledger.messages.chat[cases.message]
    at = placed(pair, table.time[kept], wanted, moments.accepted, after=True) - 1
    known = (at >= 0) & (np.append(pair, -1)[at] == wanted)
    row = np.append(kept, -1)[at]
    said_no = known & (np.append(table.event, MembershipEvent.JOINED)[row] != MembershipEvent.JOINED)
    # A connection that was lost afterwards ends that subscription as well.
    open_then = _open_at(facts, cases, moments.accepted)
    rows = np.flatnonzero(said_no & open_then)
    if not len(rows):
        return None
    first = int(row[rows[0]])
    event = "refused the join" if table.event[first] == MembershipEvent.REFUSED else "ended the subscription"
    detail = f": {table.detail[first]}" if table.detail[first] else ""
    witness = f"the target {event} at {facts.seconds(table.time[first])}{detail}"
    names = {"dashboards": dashboards(cases.dashboard[rows])}
    return Claim("not_a_member", rows, words=names, evidence=(witness,), witness=witness)


def rejoin_not_sent(facts: Facts, cases: Cases) -> Claim | None:
    """The dashboard's connection at that time has no join of the room, although one before had."""
    if not facts.ledger.by_frames or facts.ledger.audience.everybody:
        return None
    table, subscriptions = facts.ledger.observations.memberships, facts.subscriptions
    joined = np.flatnonzero((table.event == MembershipEvent.JOINED) & (table.connection >= 0) & (table.chat >= 0))
    if not len(joined):
        return None
    moments = moments_of(facts.ledger, cases)
    at = subscriptions.until(cases.dashboard, moments.accepted)
    connection = np.append(subscriptions.connection, -1)[at]
    chat, chats = facts.ledger.messages.chat[cases.message], len(facts.ledger.observations.chat_ids)
    on_this = np.isin(connection * chats + chat, table.connection[joined] * chats + table.chat[joined])
    before = np.isin(cases.dashboard * chats + chat, table.dashboard[joined] * chats + table.chat[joined])
    later = (at > 0) & (np.append(subscriptions.dashboard, -1)[np.maximum(at - 1, 0)] == cases.dashboard)
    rows = np.flatnonzero((connection >= 0) & ~on_this & before & later & _open_at(facts, cases, moments.accepted))
    if not len(rows):
        return None
    first = rows[0]
    witness = (
        f"its connection was subscribed again at {facts.seconds(subscriptions.start[at[first]])}, and the room was "
        "not joined on it"
    )
    without = many(len(np.unique(connection[rows])), "connection")
    return Claim(
        "rejoin_not_sent", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, witness=witness,
        evidence=(f"no join of the room on {without} that followed another",),
    )  # fmt: skip


def never_subscribed(facts: Facts, cases: Cases) -> Claim | None:
    """The dashboard has no connection that was ever subscribed."""
    subscriptions = facts.subscriptions
    rows = np.flatnonzero((np.diff(subscriptions.first) == 0)[cases.dashboard])
    if not len(rows):
        return None
    return Claim("never_subscribed", rows, words={"dashboards": dashboards(cases.dashboard[rows])})


def never_reconnected(facts: Facts, cases: Cases) -> Claim | None:
    """The dashboard's last connection ended before the message could come, and none followed."""
    subscriptions, moments = facts.subscriptions, moments_of(facts.ledger, cases)
    last = subscriptions.first[cases.dashboard + 1] - 1
    mine = last >= subscriptions.first[cases.dashboard]
    ended = np.append(subscriptions.end, np.inf)[last] <= moments.accepted + GRACE
    # What a refetch after it lacks did not get lost on the way to the dashboard.
    gone = (
        mine & ended & np.append(subscriptions.lost, False)[last] & (reads_since(facts, cases, moments.accepted) == 0)
    )
    rows = np.flatnonzero(gone)
    if not len(rows):
        return None
    ends = subscriptions.end[last[rows]]
    attempts = _attempts_after(facts, cases.dashboard[rows], ends)
    witness = f"its last connection ended at {facts.seconds(ends[0])}"
    told = f"{many(attempts, 'failed attempt')} to connect after that" if attempts else "no attempt to connect"
    return Claim(
        "never_reconnected", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, witness=witness,
        evidence=(told,),
    )  # fmt: skip


def _attempts_after(facts: Facts, numbers: Ints, ends: Floats) -> int:
    connections = facts.ledger.observations.connections
    last = np.full(facts.ledger.deliveries.dashboards + 1, np.inf)
    last[numbers] = ends
    known = (connections.dashboard >= 0) & (connections.dashboard < len(last) - 1)
    return int((known & (connections.opening > last[np.where(known, connections.dashboard, -1)])).sum())


def not_recovered(facts: Facts, cases: Cases) -> Claim | None:
    """Lost between two connections, although the second one's subscription said that it had recovered everything."""
    if facts.ledger.gap is None:
        return None
    table = facts.ledger.observations.memberships
    joined = np.flatnonzero((table.event == MembershipEvent.JOINED) & (table.connection >= 0) & (table.chat >= 0))
    if not any(table.detail[row].startswith(RECOVERED) for row in joined.tolist()):
        return None
    chats = len(facts.ledger.observations.chat_ids)
    pair = table.dashboard[joined] * chats + table.chat[joined]
    order = np.lexsort((table.time[joined], pair))
    pair, joined = pair[order], joined[order]
    wanted = cases.dashboard * chats + facts.ledger.messages.chat[cases.message]
    at = placed(pair, table.time[joined], wanted, moments_of(facts.ledger, cases).sent, after=True)
    here = np.append(pair, -1)[at] == wanted
    said = np.array([table.detail[row].startswith(RECOVERED) for row in joined.tolist()] + [False])
    rows = np.flatnonzero(facts.ledger.gap[cases.delivery] & here & said[at])
    if not len(rows):
        return None
    moment = table.time[joined[at[rows[0]]]]
    witness = f"{_away(facts, cases, rows)}; the subscription at {facts.seconds(moment)} said that nothing was missing"
    again = _sent_again(facts, cases.dashboard[rows])
    names = {"dashboards": dashboards(cases.dashboard[rows])}
    return Claim("not_recovered", rows, words=names, evidence=(again,), witness=witness)


def no_replay(facts: Facts, cases: Cases) -> Claim | None:
    """Lost between two connections of its dashboard."""
    if facts.ledger.gap is None:
        return None
    rows = np.flatnonzero(facts.ledger.gap[cases.delivery])
    if not len(rows):
        return None
    losses = np.unique(
        facts.subscriptions.until(cases.dashboard[rows], moments_of(facts.ledger, cases.only(rows)).sent)
    )
    return Claim(
        "no_replay", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, witness=_away(facts, cases, rows),
        evidence=(
            f"between {many(len(losses), 'connection')} that ended and the next ones of the same dashboards",
            _sent_again(facts, cases.dashboard[rows]),
        ),
    )  # fmt: skip


def _sent_again(facts: Facts, numbers: Ints) -> str:
    """How many deliveries these dashboards got by a replay or a read after reconnecting."""
    sightings = facts.ledger.sightings
    if sightings is None:
        return "nothing was sent again"
    again = sightings.texts.how[sightings.known_announcement] != Sighting.LIVE
    dashboard = facts.ledger.observations.connections.dashboard[sightings.known.connection[again]]
    count = int(np.isin(dashboard, numbers).sum())
    return f"{many(count, 'other message')} came to these dashboards by a replay or a read"


def _away(facts: Facts, cases: Cases, rows: Ints) -> str:
    """From when until when the dashboard of the first row was away, in a sentence."""
    subscriptions, first = facts.subscriptions, rows[:1]
    moments = moments_of(facts.ledger, cases.only(first))
    before = int(subscriptions.until(cases.dashboard[first], moments.sent)[0])
    after = int(subscriptions.after(cases.dashboard[first], moments.sent)[0])
    parts = [f"accepted at {facts.seconds(moments.accepted[0])}"]
    if before >= 0 and np.isfinite(subscriptions.end[before]):
        parts.append(f"its dashboard's connection ended at {facts.seconds(subscriptions.end[before])}")
    if after >= 0:
        parts.append(f"the next one was subscribed at {facts.seconds(subscriptions.start[after])}")
    return "; ".join(parts)


def silent_socket(facts: Facts, cases: Cases) -> Claim | None:
    """In a span without frames on an open connection of its dashboard, and no refetch after it made up for that."""
    dashboard_of = facts.ledger.observations.connections.dashboard
    moments = moments_of(facts.ledger, cases)
    inside = np.zeros(len(cases), bool)
    silences = silences_without_delays(facts.ledger)
    for silence in silences:
        mine = cases.dashboard == dashboard_of[silence.connection]
        inside |= mine & (moments.accepted + GRACE > silence.start) & (moments.sent <= silence.end)
    rows = np.flatnonzero(inside & (reads_since(facts, cases, moments.accepted) == 0))
    if not len(rows):
        return None
    here = [silence for silence in silences if dashboard_of[silence.connection] == cases.dashboard[rows[0]]]
    first = min(here, key=lambda silence: silence.start)
    everybody = len({int(dashboard_of[silence.connection]) for silence in silences})
    others = f"{everybody} of {facts.ledger.deliveries.dashboards} dashboards fell silent"
    witness = f"no frame from {facts.seconds(first.start)} to {facts.seconds(first.end)}, while {first.due} were due"
    names = {"dashboards": dashboards(cases.dashboard[rows])}
    return Claim("silent_socket", rows, words=names, evidence=(others,), witness=witness)


def unreadable_frames(facts: Facts, cases: Cases) -> Claim | None:
    """As many frames that nobody could read came to its dashboard as messages were lost there, at the same moments."""
    table, connections = facts.ledger.observations.unreadable, facts.ledger.observations.connections
    if not len(table.connection) or any(trouble.kind == "frame" for trouble in facts.ledger.observations.troubles):
        return None  # there are none, or only this rig could not read them
    dashboard = connections.dashboard[table.connection]
    order = np.lexsort((table.time, dashboard))
    dashboard, time = dashboard[order], table.time[order]
    moments = moments_of(facts.ledger, cases)
    begin = placed(dashboard, time, cases.dashboard, moments.sent)
    end = placed(dashboard, time, cases.dashboard, moments.accepted + GRACE, after=True)
    rows = np.flatnonzero(end > begin)
    if not len(rows):
        return None
    lost = np.bincount(cases.dashboard[rows], minlength=facts.ledger.deliveries.dashboards)
    came = np.bincount(dashboard[dashboard >= 0], minlength=len(lost))
    affected = np.unique(cases.dashboard[rows])
    exact = bool((lost[affected] == came[affected]).all())
    if not exact and (lost[affected] > 1.1 * came[affected]).any():
        return None
    detail = table.detail[int(order[begin[rows[0]]])]
    told = f"{int(came[affected].sum()):,} unreadable frames, {len(rows):,} lost there at these moments"
    return Claim(
        "unreadable_frames", rows, "proven" if exact else "probable", evidence=(told, detail),
        witness=f"an unreadable frame came at {facts.seconds(time[begin[rows[0]]])}: {detail}",
    )  # fmt: skip


def frame_never_sent(facts: Facts, cases: Cases) -> Claim | None:
    """Its dashboard's connection was open all the while, and no frame came."""
    ledger = facts.ledger
    moments = moments_of(ledger, cases)
    missing = np.isinf(moments.notified)
    if not ledger.by_frames:
        missing &= ledger.announcements.missed[cases.delivery] if ledger.announcements.exact else False
        if cases.finding == "lost":
            # A list that lacks it would not have it with a frame either.
            missing &= reads_since(facts, cases, moments.accepted) == 0
    rows = np.flatnonzero(missing & open_throughout(facts, cases, GRACE))
    if not len(rows):
        return None
    announced = int((ledger.deliveries.any(np.isfinite(ledger.announcements.notified)))[cases.message[rows]].sum())
    others = (
        f"other dashboards got frames for {announced:,} of them" if announced else "no dashboard got a frame for them"
    )
    return Claim("frame_never_sent", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, evidence=(others,))


def _open_at(facts: Facts, cases: Cases, moment: Floats, throughout: Floats | None = None) -> Bools:
    """Whether the dashboard had a subscribed connection at this moment, from `throughout` on if given."""
    subscriptions = facts.subscriptions
    at = subscriptions.until(cases.dashboard, moment if throughout is None else throughout)
    return np.asarray((at >= 0) & (np.append(subscriptions.end, -np.inf)[at] > moment))


def connection_lost(facts: Facts, cases: Cases) -> Claim | None:
    """Its dashboard's connection was open when it was accepted, and ended before its frame was overdue."""
    subscriptions, moments = facts.subscriptions, moments_of(facts.ledger, cases)
    at = subscriptions.until(cases.dashboard, moments.sent)
    end, lost = np.append(subscriptions.end, np.inf)[at], np.append(subscriptions.lost, False)[at]
    # A refetch after it would have shown it.
    unasked = reads_since(facts, cases, moments.accepted) == 0
    rows = np.flatnonzero((at >= 0) & lost & (end > moments.accepted) & (end <= moments.accepted + GRACE) & unasked)
    if not len(rows):
        return None
    first = rows[0]
    witness = (
        f"accepted at {facts.seconds(moments.accepted[first])}; the connection ended at {facts.seconds(end[first])}"
    )
    return Claim("connection_lost", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, witness=witness)


def open_throughout(facts: Facts, cases: Cases, longer: float = 0.0) -> Bools:
    """Which cases' dashboards had one subscribed connection from the send until `longer` seconds after acceptance."""
    moments = moments_of(facts.ledger, cases)
    return _open_at(facts, cases, moments.accepted + longer, throughout=moments.sent)
