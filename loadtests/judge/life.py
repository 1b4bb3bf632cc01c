"""Looks up one message's whole life in the ledger: its send, and what came of it on each dashboard.

Nothing here is as large as the deliveries: a life is found by passing over the history's frames and refetches once.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from chatswarm.loadtests.history.manifest import PROXY
from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent, SendOutcome, Sighting
from chatswarm.loadtests.messages.damage import WORDS, Condition
from chatswarm.loadtests.scenario.rooms import UNSETTLED

from .ledger.arrays import Bools, Floats, Ints, blocks, ints, joined, key_of
from .ledger.ledger import Ledger, list_window
from .ledger.messages import Explanation, is_damage
from .ledger.observations import NO_FINAL
from .message_life import (
    FATES,
    DashboardLife,
    DeliveryFate,
    LifeConnection,
    LifeFault,
    LifeFrame,
    LifeRefetch,
    LifeServer,
    LifeSilence,
    LifeStall,
    MessageLife,
    SendFate,
    StoredMessage,
    life_json,
)
from .rig import homes_of

ROWS = 200
"""At most this many rows for the dashboards and their events, but at least one dashboard."""
STALL = 0.05
"""The rig stalls if a loop wakes more than this many seconds late."""
_FIRST = 4
"""Of many events of one kind, these first ones are given, and the last."""
_AROUND = 20
"""At most this many faults, and this many stalls."""
_SENT: dict[int, SendFate] = {
    SendOutcome.ACCEPTED: "accepted", SendOutcome.REJECTED: "rejected", SendOutcome.UNKNOWN: "unknown",
}  # fmt: skip
_NOT_ACCEPTED: dict[SendFate, str] = {
    "rejected": "the send was rejected",
    "unknown": "the send got no clear response, so the message need not be shown",
    "rig failed": "the send failed on a limit of the load generator",
}
_WRONG = {
    Explanation.MISPLACED: "in another chat than it was sent to",
    Explanation.DUPLICATED: "more than once",
    Explanation.PHANTOM: "although its send was rejected",
}
_ENDS: dict[int, Literal["", "closed", "failed", "stopped"]] = {
    ConnectionEvent.CLOSED: "closed", ConnectionEvent.FAILED: "failed", ConnectionEvent.STOPPED: "stopped",
}  # fmt: skip
_HOW: dict[int, Literal["live", "replayed", "read"]] = {
    Sighting.LIVE: "live", Sighting.REPLAYED: "replayed", Sighting.READ: "read",
}  # fmt: skip
_UID = re.compile(r"([^.]+)\.(\d{1,9})\.(\d{1,9})", re.ASCII)
_Event = TypeVar("_Event")


class NotInThisRunError(ValueError):
    """The run has no such message or dashboard. The text says what was expected."""


def find_message(ledger: Ledger, uid: str) -> int:
    """The number of the message whose text carries this identity, `<run>.<widget>.<n>`. Raises NotInThisRunError."""
    messages = ledger.messages
    if not len(messages):
        raise NotInThisRunError(f"{uid!r}: this run sent no message")
    match = _UID.fullmatch(uid)
    if match is None:
        raise NotInThisRunError(f"expected a message as run.widget.n, such as {ledger.uid(0)}, got {uid!r}")
    run, widget, n = match[1], int(match[2]), int(match[3])
    key = key_of(ints([widget]), ints([n]))
    at = min(int(np.searchsorted(messages.keys, key[0])), len(messages) - 1)
    # The one before may be nearer: the next one may be another widget's.
    near = min((max(0, at - 1), at), key=lambda place: abs(int(messages.keys[place] - key[0])))
    example = ledger.uid(int(messages.owners[near]))
    if run != ledger.manifest.run:
        raise NotInThisRunError(f"expected a message of the run {ledger.manifest.run}, such as {example}, got {uid!r}")
    if messages.keys[at] == key[0]:
        return int(messages.owners[at])
    planned = widget < len(ledger.intended) and n < ledger.intended[widget]
    what = "got one that was planned, but never sent" if planned else "got"
    raise NotInThisRunError(f"expected a message that this run sent, such as {example}, {what}: {uid!r}")


def life_of(ledger: Ledger, message: int, dashboard: int | None = None, rows: int = ROWS) -> MessageLife:
    """The life of a message, on all dashboards of its audience or on one. Raises NotInThisRunError for that one.

    At most `rows` rows, but at least one dashboard: see DashboardLife.rows.
    """
    dashboards = ledger.scenario.dashboards
    if dashboard is not None and not 0 <= dashboard < dashboards:
        wanted = f"expected a dashboard from 0 to {dashboards - 1}" if dashboards else "this run had no dashboards"
        raise NotInThisRunError(f"{wanted}, got {dashboard}")
    found = _Search(ledger, message)
    fates = found.fates(dashboard)
    # None takes less than one row.
    lives = found.dashboards(fates[: max(1, rows)])
    used = np.cumsum([life.rows for life in lives])
    shown = lives[: max(1, int(np.searchsorted(used, rows, side="right")))]
    return found.life(fates, shown)


@dataclass(frozen=True, slots=True)
class _Fate:
    """One dashboard's, in monotonic seconds."""

    dashboard: int
    fate: DeliveryFate
    visible: float  # infinite: never
    notified: float  # infinite: never; NaN: nobody knows
    why: str = ""


class _Search:
    """One message in its ledger."""

    def __init__(self, ledger: Ledger, message: int) -> None:
        self._ledger, self._message = ledger, message
        messages = ledger.messages
        self._intended = float(messages.intended[message])
        sent = float(messages.sent[message])
        self._since = self._intended if math.isnan(sent) else sent
        self._deadline = self._intended + ledger.scenario.update_target
        rig_failed = bool(messages.rig_failed[message])
        self._outcome: SendFate = "rig failed" if rig_failed else _SENT[int(messages.outcome[message])]
        self._chat = int(messages.chat[message])

    def fates(self, only: int | None) -> list[_Fate]:
        """What became of it on each dashboard of its audience, and on each other one that it came to; or on one."""
        known = self._delivery_on
        others = {*self._frame_dashboards.tolist()} - known.keys() - {-1} if self._exact else set()
        wanted = [*known, *sorted(others)] if only is None else [only]
        fates = [self._fate(number, known[number]) if number in known else self._stranger(number) for number in wanted]
        slowest = sorted(fates, key=lambda fate: (-fate.visible if math.isfinite(fate.visible) else 0, fate.dashboard))
        urgency = {fate: place for place, fate in enumerate(("lost", "late", *FATES[3:]))} | {"gap": 0}
        return sorted(slowest, key=lambda fate: urgency[fate.fate])

    def dashboards(self, fates: Sequence[_Fate]) -> list[DashboardLife]:
        """Everything that happened on these dashboards."""
        until = np.full(self._ledger.scenario.dashboards, -np.inf)
        for fate in fates:
            until[fate.dashboard] = self._until(fate)
        connections, refetches = self._connections(until), self._refetches(until)
        frames, silences = self._frames_of(until), self._silences(until)
        homes = homes_of(self._ledger.observations, len(until))
        return [
            self._dashboard(
                fate,
                connections.get(fate.dashboard, []),
                frames.get(fate.dashboard, []),
                refetches.get(fate.dashboard, []),
                silences.get(fate.dashboard, []),
                int(homes[fate.dashboard]),
            )
            for fate in fates
        ]

    def life(self, fates: Sequence[_Fate], shown: Sequence[DashboardLife]) -> MessageLife:
        ledger, message, messages = self._ledger, self._message, self._ledger.messages
        counts = {fate: sum(one.fate == fate for one in fates) for fate in FATES}
        ends = self._ends(shown)
        faults = [
            LifeFault(fault.name, fault.kind, self._after(fault.start) or 0.0, self._after(fault.stop))
            for fault in ledger.observations.faults
            if fault.overlaps(self._intended, ends + ledger.start)
        ]
        stalls = sorted(self._stalls(shown, ends + ledger.start), key=lambda stall: stall.begin - stall.end)
        return MessageLife(
            uid=ledger.uid(message),
            trace=ledger.trace(message),
            widget=int(messages.widget[message]),
            chat=ledger.chat(self._chat),
            process=ledger.observations.processes[int(messages.process[message])],
            intended=self._after(self._intended) or 0.0,
            handed=self._after(messages.handed[message]),
            sent=self._after(messages.sent[message]),
            answered=self._after(messages.done[message]),
            outcome=self._outcome,
            status=int(messages.status[message]),
            served_by=self._server(int(messages.server[message])),
            stored=self._stored(),
            visible_by="frame" if ledger.by_frames else "refetch",
            update_target=ledger.scenario.update_target,
            ends=ends,
            watched=max(
                ends, self._after(np.fmax.reduce(ledger.observations.connections.ended, initial=-np.inf)) or 0.0
            ),
            fates={fate: count for fate, count in counts.items() if count},
            dashboards=tuple(shown),
            left_out=len(fates) - len(shown),
            faults=tuple(faults[:_AROUND]),
            faults_left_out=max(0, len(faults) - _AROUND),
            stalls=tuple(sorted(stalls[:_AROUND], key=lambda stall: stall.begin)),
            stalls_left_out=max(0, len(stalls) - _AROUND),
        )

    @cached_property
    def _delivery_on(self) -> dict[int, int]:
        """Its deliveries by dashboard, in order."""
        ledger, message = self._ledger, self._message
        deliveries = ledger.deliveries
        first, after = int(deliveries.first[message]), int(deliveries.first[message + 1])
        if deliveries.rooms is None:
            return {delivery - first: delivery for delivery in range(first, after)}
        begin = int(deliveries.rooms.first[deliveries.rooms.room[message]])
        members = deliveries.rooms.dashboard[begin : begin + after - first].tolist()
        return dict(zip(members, range(first, after), strict=True))

    def _fate(self, dashboard: int, delivery: int) -> _Fate:
        ledger = self._ledger
        visible, notified = float(ledger.visible[delivery]), float(ledger.announcements.notified[delivery])
        held_up = bool(ledger.rig_outages.until[dashboard] >= self._intended) and bool(
            visible >= ledger.rig_outages.since[dashboard]
        )
        fate: DeliveryFate = "visible"
        why = ""
        if not ledger.expected[delivery]:
            fate, why = "not expected", self._not_expected(dashboard)
        elif ledger.lost[delivery]:
            fate = "gap" if ledger.gap is not None and ledger.gap[delivery] else "lost"
        elif ledger.excused[delivery]:
            window = list_window(ledger.scenario, ledger.manifest)
            fate, why = (
                "excused",
                f"at least {window} other chats may have pushed it out of the list, which shows {window}",
            )
        elif ledger.unproven[delivery]:
            fate, why = "unproven", self._unproven(dashboard, held_up=held_up)
        elif visible - self._intended > ledger.scenario.update_target:
            fate = "visible" if held_up else "late"
            why = "not in time, but the load generator or its operator may have held it up" if held_up else ""
        return _Fate(dashboard, fate, visible, notified, why)

    def _stranger(self, dashboard: int) -> _Fate:
        """A dashboard that is never in its audience."""
        mine = self._frame_times[self._frame_dashboards == dashboard] if self._exact else np.zeros(0)
        came = float(mine.min(initial=np.inf))
        by_frames = self._ledger.by_frames
        told = "the message came" if by_frames else "a frame announced it"
        why = f"it is never a member of the room{'' if math.isinf(came) else f', and yet {told}'}"
        return _Fate(dashboard, "not expected", came if by_frames else np.inf, np.nan, why)

    def _not_expected(self, dashboard: int) -> str:
        ledger = self._ledger
        if self._outcome != "accepted":
            return _NOT_ACCEPTED[self._outcome]
        audience, at = ledger.audience, self._intended - ledger.start
        if audience.excludes_sender and ledger.messages.widget[self._message] == dashboard:
            return "it sent the message itself, and this chat echoes nothing"
        memberships = audience.memberships
        if memberships is not None and memberships.change:
            room = audience.rooms_of(ints([self._chat]))
            place = int(memberships.place(room, ints([dashboard]))[0])
            start, stop = float(memberships.start[place]), float(memberships.stop[place])
            if at < start + UNSETTLED:
                return f"its membership begins at {start:.1f} s{', too close to tell' if at >= start else ''}"
            if at > stop - UNSETTLED - ledger.scenario.update_target:
                return f"its membership ends at {stop:.1f} s{', too close to tell' if at < stop else ''}"
            if start >= 0 and any(first <= at for first, _ in ledger.scenario.planned(dashboard)):
                return "the target had not made it a member by then"
        return "it was not planned to be online, or not for long enough"

    def _unproven(self, dashboard: int, *, held_up: bool) -> str:
        if not self._ledger.witnessed[dashboard]:
            return "the history of this dashboard is incomplete"
        if held_up:
            return "the load generator or its operator kept this dashboard from seeing it"
        return "the final read of its chat failed, so nobody knows its place in it"

    def _until(self, fate: _Fate) -> float:
        """Up to when this dashboard's events belong to the message's life."""
        if math.isfinite(fate.visible):
            return fate.visible
        return self._deadline if fate.fate == "not expected" else np.inf

    def _stored(self) -> StoredMessage:
        ledger = self._ledger
        copies, finals = ledger.copies, ledger.observations.finals
        best = int(copies.of_message[self._message])
        if best >= 0:
            explanation = int(copies.explanation[best])
            detail = _WRONG.get(Explanation(explanation), "")
            if explanation == Explanation.CORRUPTED:
                detail = _damage(int(copies.condition[best]))
            count = int((copies.message == self._message).sum())
            if count > 1 and not detail:
                detail = _WRONG[Explanation.DUPLICATED]
            return StoredMessage(
                "stored", ledger.chat(int(copies.chat[best])), int(copies.position[best]), count, detail
            )
        if self._chat < 0 or finals.status[self._chat] == NO_FINAL:
            return StoredMessage("not known", detail="nobody read its chat at the end")
        if copies.read[self._chat]:
            return StoredMessage("not stored")
        why = finals.detail.get(self._chat) or f"status {finals.status[self._chat]}"
        return StoredMessage("not known", detail=f"the final read of its chat failed: {why}")

    # Frames

    @cached_property
    def _exact(self) -> bool:
        """Frames say which message they announce."""
        return self._ledger.by_frames or self._ledger.announcements.exact

    @cached_property
    def _announcements(self) -> Bools:
        """Which announcements are, or may be, of this message."""
        ledger = self._ledger
        frames = ledger.observations.frames
        if ledger.sightings is not None:
            return np.asarray(ledger.sightings.texts.message == self._message)
        if self._exact:
            copies = ledger.copies
            own = np.append(
                copies.message_id[copies.message == self._message], ledger.messages.message_id[self._message]
            )
            return np.asarray(np.isin(frames.message_id, own[own >= 0]) & frames.from_customer)
        return np.asarray((frames.chat == self._chat) & frames.from_customer)

    @cached_property
    def _frame_rows(self) -> Ints:
        """The frames of these announcements, from the send on where they only say which chat it is."""
        frames, ours = self._ledger.observations.frames, self._announcements
        found = []
        for part in blocks(len(frames.announcement)):
            mine = ours[frames.announcement[part]]
            if not self._exact:
                mine &= frames.time[part] >= self._since
            found.append(np.flatnonzero(mine) + part.start)
        rows = joined(found)
        return rows[np.argsort(frames.time[rows], kind="stable")]

    @cached_property
    def _frame_times(self) -> Floats:
        return self._ledger.observations.frames.time[self._frame_rows]

    @cached_property
    def _frame_dashboards(self) -> Ints:
        """Where each of these frames came; -1: to no dashboard of the scenario."""
        observations = self._ledger.observations
        dashboard = observations.connections.dashboard[observations.frames.connection[self._frame_rows]]
        return np.where(dashboard < self._ledger.scenario.dashboards, dashboard, -1)

    def _frames_of(self, until: Floats) -> dict[int, list[LifeFrame]]:
        ledger = self._ledger
        frames, texts = ledger.observations.frames, ledger.sightings and ledger.sightings.texts
        found: dict[int, list[LifeFrame]] = {}
        limit = np.append(until, -np.inf)[self._frame_dashboards]
        if self._exact:
            # What comes later still shows how often it came.
            limit = np.where(np.isinf(limit), limit, np.inf)
        chosen = np.flatnonzero(self._frame_times <= limit)
        for row, dashboard, time in zip(
            self._frame_rows[chosen].tolist(), self._frame_dashboards[chosen].tolist(),
            self._frame_times[chosen].tolist(), strict=True,
        ):  # fmt: skip
            delivery = self._delivery_on.get(dashboard)
            known = self._exact or (delivery is not None and time == float(ledger.announcements.notified[delivery]))
            announcement = int(frames.announcement[row])
            chat, condition = int(frames.chat[announcement]), int(frames.condition[announcement])
            damaged = texts is not None and bool(is_damage(ints([condition]))[0])
            found.setdefault(dashboard, []).append(
                LifeFrame(
                    time=self._after(time) or 0.0,
                    how=_HOW[int(frames.how[announcement])],
                    certain=known,
                    chat=ledger.chat(chat) if chat != self._chat else "",
                    damage=_damage(condition) if damaged else "",
                )
            )
        return found

    # Connections

    def _connections(self, until: Floats) -> dict[int, list[LifeConnection]]:
        observations = self._ledger.observations
        table, memberships = observations.connections, observations.memberships
        begin = np.fmin(table.opening, table.subscribed)
        inside = (table.dashboard >= 0) & (table.dashboard < len(until))
        candidates = np.flatnonzero(
            inside & (begin <= np.append(until, -np.inf)[np.where(inside, table.dashboard, -1)])
        )
        rows = self._around(candidates[np.argsort(begin[candidates], kind="stable")])
        of_room = np.flatnonzero((memberships.chat == self._chat) & (memberships.connection >= 0))
        of_room = of_room[np.argsort(memberships.time[of_room], kind="stable")]
        rooms: dict[int, list[int]] = {}
        wanted = {*rows}
        for at in of_room.tolist():
            if int(memberships.connection[at]) in wanted:
                rooms.setdefault(int(memberships.connection[at]), []).append(at)
        found: dict[int, list[LifeConnection]] = {}
        for row in rows:
            found.setdefault(int(table.dashboard[row]), []).append(self._connection(row, rooms.get(row, [])))
        return found

    def _around(self, rows: Ints) -> list[int]:
        """Of these connections, by when they began, those of the message's time. If a dashboard was not subscribed when
        it was intended, also those before, back to its last subscription: they tell since when.
        """
        table = self._ledger.observations.connections
        kept: dict[int, list[int]] = {}
        for row in rows.tolist():
            mine = kept.setdefault(int(table.dashboard[row]), [])
            if table.subscribed[row] <= self._intended:
                mine.clear()
            mine.append(row)
        return [row for mine in kept.values() for row in mine]

    def _connection(self, row: int, memberships: Sequence[int]) -> LifeConnection:
        observations = self._ledger.observations
        table, rooms = observations.connections, observations.memberships
        end = _ENDS.get(int(table.event[row]), "")
        moments: dict[int, float | None] = {}
        details = []
        for at in memberships:
            moments.setdefault(int(rooms.event[at]), self._after(rooms.time[at]))
            if rooms.detail[at]:
                details.append(rooms.detail[at])
        return LifeConnection(
            opening=self._after(table.opening[row]),
            subscribed=self._after(table.subscribed[row]),
            joined=moments.get(MembershipEvent.JOINED),
            join_refused=moments.get(MembershipEvent.REFUSED),
            left=moments.get(MembershipEvent.LEFT),
            join_detail="; ".join(dict.fromkeys(details)),
            ended=self._after(table.ended[row]) if end else None,
            end=end,
            code=int(table.code[row]) if end else 0,
            detail=table.detail[row] if table.detail[row] != str(int(table.code[row])) else "",
            served_by=self._server(int(table.server[row])),
        )

    # Refetches

    def _refetches(self, until: Floats) -> dict[int, list[LifeRefetch]]:
        table = self._ledger.observations.refetches
        bound = np.append(until, -np.inf)
        found = []
        for part in blocks(len(table.dashboard)):
            dashboard = table.dashboard[part]
            limit = bound[np.where((dashboard >= 0) & (dashboard < len(until)), dashboard, -1)]
            # NaN: it never ended.
            mine = (table.started[part] <= limit) & ~(table.done[part] < self._since) & ~(table.done[part] > limit)
            found.append(np.flatnonzero(mine) + part.start)
        rows = joined(found)
        # By when they ended, so that the first one that shows it is what made it visible.
        rows = rows[np.argsort(table.done[rows], kind="stable")]
        shown, shows = table.showed[rows], self._shows(table.version[rows])
        lives: dict[int, list[LifeRefetch]] = {}
        for row, has_list, has_it in zip(rows.tolist(), shown.tolist(), shows.tolist(), strict=True):
            events = lives.setdefault(int(table.dashboard[row]), [])
            if events and events[-1].shows:
                continue
            events.append(
                LifeRefetch(
                    started=self._after(table.started[row]) or 0.0,
                    done=self._after(table.done[row]),
                    status=int(table.status[row]),
                    shows=has_it if has_list else None,
                    served_by=self._server(int(table.server[row])),
                    trace=self._ledger.refetch_trace(row),
                )
            )
        return lives

    def _shows(self, versions: Ints) -> Bools:
        """Whether each of these versions of the list shows the message: its text, or a sufficient count."""
        lists, copies = self._ledger.lists, self._ledger.copies
        shows = np.zeros(len(versions), bool)
        stored = int(copies.of_message[self._message])
        if stored >= 0:
            count = lists.at_versions(int(copies.chat[stored]), lists.believed, versions)
            shows |= count >= copies.position[stored]
        for text in np.flatnonzero(lists.text_message == self._message).tolist():
            shows |= (versions >= lists.text_shown[text]) & (versions < lists.text_gone[text])
        return shows

    # What was around it

    def _silences(self, until: Floats) -> dict[int, list[LifeSilence]]:
        ledger = self._ledger
        found: dict[int, list[LifeSilence]] = {}
        for silence in ledger.announcements.silences:
            dashboard = int(ledger.observations.connections.dashboard[silence.connection])
            if silence.end >= self._since and silence.start <= until[dashboard]:
                begin, end = self._after(silence.start), self._after(silence.end)
                found.setdefault(dashboard, []).append(LifeSilence(begin or 0.0, end or 0.0, silence.due))
        return found

    def _stalls(self, shown: Sequence[DashboardLife], ends: float) -> list[LifeStall]:
        ledger = self._ledger
        sender = ledger.observations.processes[int(ledger.messages.process[self._message])]
        on_its_way = {sender, PROXY, *(life.process for life in shown)}
        found = []
        for samples in ledger.observations.samples:
            if samples.name not in on_its_way:
                continue
            due = samples.lag_time - samples.lag
            stalled = (samples.lag > STALL) & (samples.lag_time >= self._intended) & (due <= ends)
            found += [
                LifeStall(samples.name, self._after(begin) or 0.0, self._after(end) or 0.0)
                for begin, end in zip(due[stalled].tolist(), samples.lag_time[stalled].tolist(), strict=True)
            ]
        return found

    def _dashboard(
        self, fate: _Fate, connections: list[LifeConnection], frames: list[LifeFrame], refetches: list[LifeRefetch],
        silences: list[LifeSilence], home: int,
    ) -> DashboardLife:  # fmt: skip
        return DashboardLife(
            dashboard=fate.dashboard,
            fate=fate.fate,
            why=fate.why,
            notified=self._after(fate.notified),
            visible=self._after(fate.visible),
            process=self._ledger.observations.processes[home] if home >= 0 else "",
            connections=_few(connections),
            connections_left_out=max(0, len(connections) - _FIRST - 1),
            frames=_few(frames),
            frames_left_out=max(0, len(frames) - _FIRST - 1),
            refetches=_few(refetches),
            refetches_left_out=max(0, len(refetches) - _FIRST - 1),
            silences=_few(silences),
        )

    def _ends(self, shown: Sequence[DashboardLife]) -> float:
        """The last moment that the shown part of its life tells about, in seconds after the start."""
        moments = [self._after(self._intended), self._after(self._ledger.messages.done[self._message])]
        for life in shown:
            moments += [life.visible, *(frame.time for frame in life.frames)]
            moments += [moment for refetch in life.refetches for moment in (refetch.started, refetch.done)]
            if life.visible is None:
                moments.append(self._after(self._deadline))
                for one in life.connections:
                    # That the swarm stopped it at the end of the run is no part of the message's life.
                    ended = one.ended if one.end != "stopped" else None
                    moments += [one.opening, one.subscribed, one.joined, one.join_refused, one.left, ended]
        return max(moment for moment in moments if moment is not None)

    def _server(self, number: int) -> LifeServer | None:
        if number < 0:
            return None
        address, name = self._ledger.observations.servers[number]
        return LifeServer(name, address)

    def _after(self, time: float) -> float | None:
        return self._ledger.after_start(time)


def _few(events: Sequence[_Event]) -> tuple[_Event, ...]:
    """All of them; or if there are many, the first ones and the last."""
    return tuple(events) if len(events) <= _FIRST + 1 else (*events[:_FIRST], events[-1])


def _damage(condition: int) -> str:
    return WORDS.get(Condition(condition), "differs from the text that was sent")


__all__ = ["ROWS", "STALL", "NotInThisRunError", "find_message", "life_json", "life_of"]
