"""The ledger: every message and delivery of a run and what happened to it. The checks read nothing else."""

from dataclasses import dataclass, replace

import numpy as np

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.history.tables import MembershipEvent, SendOutcome, Sighting
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.messages.trace import refetch_trace_id, send_trace_id
from chatswarm.loadtests.scenario.rooms import UNSETTLED
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.scenario.schedule import intended_times

from .announced_by_count import announced_by_count
from .announcements import Announcements, FrameData, announced_by_id, ids_of
from .arrays import Bools, Floats, Ints, floats, ints
from .audience import Audience, audience_of, deliveries_of, planned_of
from .away import lost_away
from .deliveries import PlannedDeliveries
from .due import Received, due_of, received_of, silences_of
from .leaks import Leaks, begun_of, changes, leaks_of, spells_of, unanswered
from .list_contents import ListContents, list_contents_of
from .messages import Copies, SentMessages, copies_of, messages_of
from .observations import NO_FINAL, Observations
from .rig_outages import RigOutages, rig_outages_of
from .sightings import Sightings, announced_by_text, sightings_of
from .visibility import Reads, Visibility, reads_of, visibility_of


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything about a run. Times are monotonic seconds."""

    manifest: Manifest
    scenario: Scenario
    start: float
    end: float  # of the measured part
    observations: Observations
    messages: SentMessages
    intended: Ints  # per widget: how many messages its schedule holds
    schedule: Floats  # when each of these is intended, ascending
    copies: Copies
    lists: ListContents
    reads: Reads
    visibility: Visibility
    own_chats: Bools  # per chat: created by this run, or a text of this run was seen in it
    created: Bools  # per chat: this run created it, so nobody else has a text in it
    audience: Audience
    deliveries: PlannedDeliveries
    planned: Bools  # per delivery: the dashboard must show the message if it is accepted
    expected: Bools  # per delivery, as are the next five
    visible: Floats  # infinite: never
    lost: Bools
    gap: Bools | None  # the lost whose dashboard was away; None: not measured, as dashboards catch up by refetching
    excused: Bools
    unproven: Bools
    witnessed: Bools  # per dashboard: its record is complete, so what is not in it did not happen
    rig_outages: RigOutages
    sightings: Sightings | None  # None: dashboards show messages by refetching
    leaks: Leaks | None  # None: nobody is a stranger in any room
    announcements: Announcements

    @property
    def doubts(self) -> list[str]:
        """What is wrong with the histories, as sentences."""
        repeated = self.messages.repeated
        recorded_twice = [f"{repeated} sends were recorded twice: the load generator is at fault"] if repeated else []
        return [*self.observations.reasons, *recorded_twice, *self._without_room(), *self._unchanged()]

    def _unchanged(self) -> list[str]:
        table = self.observations.memberships
        refused = changes(table, MembershipEvent.REFUSED).tolist()
        details = dict.fromkeys(table.detail[row] for row in refused if table.detail[row])
        why = f": {next(iter(details))}" if details else ""
        reasons = [f"the target refused {len(refused)} changes of memberships{why}"] if refused else []
        if open_ones := unanswered(self.audience, self.observations, self.end - self.start):
            reasons.append(f"{open_ones} changes of memberships were never answered")
        return reasons

    def _without_room(self) -> list[str]:
        if self.audience.everybody:
            return []
        lost = self.messages.accepted & (self.audience.rooms_of(self.messages.chat) < 0)
        return [f"{lost.sum()} messages were accepted in a chat that is no room of the scenario"] if lost.any() else []

    @property
    def by_frames(self) -> bool:
        """Dashboards show messages by frames that carry their texts; otherwise by refetching the list."""
        return self.sightings is not None

    @property
    def store_asked(self) -> Bools:
        """Per chat: somebody tried to read it whole at the end."""
        finals = self.observations.finals
        asked = np.asarray(finals.status != NO_FINAL)
        if self.manifest.promises.history == "none":
            asked[:] = False
        return asked

    @property
    def reads_store(self) -> bool:
        """The final read, as far as it succeeded, says what is stored. Only a chat with texts in frames needs none."""
        if not self.by_frames:
            return True
        chats = self.messages.chat[self.messages.accepted & (self.messages.chat >= 0)]
        return bool(self.store_asked.any() and self.store_asked[chats].all())

    @property
    def delivered(self) -> Bools:
        return self.expected & np.isfinite(self.visible)

    @property
    def latency(self) -> Floats:
        """Per delivery: how long after the message was intended it was visible."""
        return self.deliveries.less(self.visible, self.messages.intended)

    @property
    def late(self) -> Bools:
        """Visible, but after the update target, and not held up by the rig."""
        late = np.empty(len(self.deliveries), bool)
        for part, mine in self.deliveries.parts():
            latency = self.visible[mine] - np.repeat(self.messages.intended[part], self.deliveries.counts[part])
            late[mine] = (latency > self.scenario.update_target) & np.isfinite(latency)
        late &= self.expected
        return late & ~self.held_up if self.rig_outages.any else late

    @property
    def held_up(self) -> Bools:
        """The deliveries that the rig or its operator may have held up."""
        return self.rig_outages.covers(self.deliveries, self.messages.intended, self.visible)

    @property
    def clock_bound(self) -> float:
        """The error, in seconds, of an interval between two processes on hosts with different clocks."""
        return 2 * self.fault_bound

    @property
    def fault_bound(self) -> float:
        """The error, in seconds, of an interval between a fault, by the master's clock, and another host's process."""
        return max((clock.bound for clock in self.manifest.clocks.values()), default=0.0)

    @property
    def deadline(self) -> Floats:
        """Per message: when it must be visible. One that is not visible by then counts as missed at that moment."""
        return self.messages.intended + self.scenario.update_target

    @property
    def decided(self) -> Floats:
        """Per delivery: when it was settled whether it was in time, which is when it was visible or its deadline."""
        return self.deliveries.apply(np.minimum, self.visible, self.deadline)

    @property
    def answered(self) -> Floats:
        """Per message: when its send ended; its deadline if it never did."""
        return np.where(np.isnan(self.messages.done), self.deadline, self.messages.done)

    def active_faults(self, begin: float, end: float) -> str:
        """The names of the faults that were active in a span of monotonic seconds."""
        names = dict.fromkeys(fault.name for fault in self.observations.faults if fault.overlaps(begin, end))
        return ", ".join(names)

    def uid(self, message: int) -> str:
        return f"{self.manifest.run}.{self.messages.widget[message]}.{self.messages.n[message]}"

    def identity(self, key: int) -> str:
        return f"{self.manifest.run}.{key >> 32}.{key & 0xFFFFFFFF}"

    def trace(self, message: int) -> str:
        """The trace id of the message's send; empty if the send had none, or did not go out."""
        manifest = self.manifest
        by_http = self.scenario.sends_over(manifest.promises) == "http"
        traced = manifest.traceparent and by_http and np.isfinite(self.messages.sent[message])
        return send_trace_id(self.uid(message)) if traced else ""

    def refetch_trace(self, row: int) -> str:
        """The trace id of a refetch, by its row; empty if it had none."""
        table = self.observations.refetches
        dashboard, n = int(table.dashboard[row]), int(table.n[row])
        traced = self.manifest.traceparent and dashboard >= 0 and n >= 0
        return refetch_trace_id(self.manifest.run, dashboard, n) if traced else ""

    def chat(self, chat: int) -> str:
        return self.observations.chat_ids[chat] if chat >= 0 else ""

    def after_start(self, time: float) -> float | None:
        """Seconds after the start; None if the time is not finite."""
        return round(float(time - self.start), 6) if np.isfinite(time) else None

    def example(self, message: int, dashboard: int | None = None, detail: str = "") -> Example:
        """What happened to one message, on one dashboard if `dashboard` is given."""
        messages = self.messages
        accepted = messages.done[message] if messages.accepted[message] else np.nan
        delivery = -1 if dashboard is None else self.deliveries.find_one(message, dashboard)
        known = delivery >= 0
        settled = self.answered[message] if dashboard is None else self.visible[delivery] if known else np.inf
        settled = settled if np.isfinite(settled) else self.deadline[message]
        return Example(
            uid=self.uid(message),
            trace=self.trace(message),
            chat=self.chat(int(messages.chat[message])),
            dashboard=dashboard,
            intended=self.after_start(messages.intended[message]),
            sent=self.after_start(messages.sent[message]),
            accepted=self.after_start(accepted),
            notified=self.after_start(self.announcements.notified[delivery]) if known else None,
            visible=self.after_start(self.visible[delivery]) if known else None,
            fault=self.active_faults(float(messages.intended[message]), float(settled)),
            detail=detail,
        )

    def example_of(self, delivery: int, detail: str = "") -> Example:
        """What happened to one delivery."""
        deliveries = self.deliveries
        return self.example(int(deliveries.message[delivery]), int(deliveries.dashboard[delivery]), detail)


def list_window(scenario: Scenario, manifest: Manifest) -> int | None:
    """How many chats the target's list shows, as declared; None if it shows all."""
    return scenario.list_window if scenario.list_window is not None else manifest.list_window


def build(observations: Observations, manifest: Manifest, scenario: Scenario, start: float, end: float) -> Ledger:
    """The ledger of a run that began. Raises ValueError if the histories contradict themselves."""
    messages = messages_of(observations)
    fixed = scenario.rooms is not None and scenario.rooms.fixed is not None
    created = observations.own_chats & ~(fixed & (observations.chat_room >= 0))
    copies = copies_of(observations, messages, created)
    lists = list_contents_of(observations, messages, copies)
    reads = reads_of(observations, scenario.dashboards)
    audience = audience_of(observations, manifest, scenario)
    deliveries = deliveries_of(audience, messages)
    planned = planned_of(audience, deliveries, messages, scenario, start)
    if (begun := begun_of(audience, deliveries, observations)) is not None:
        planned &= deliveries.over(messages.intended) >= begun[deliveries.seat] + UNSETTLED
    visibility = visibility_of(messages, copies, lists, reads, deliveries)
    expected = planned if messages.accepted.all() else planned & deliveries.over(messages.accepted)
    witnessed = _witnessed(observations, scenario.dashboards)
    by_frames = manifest.promises.visible == "frame"
    rig_outages = rig_outages_of(observations, scenario.dashboards, reads, by_frames=by_frames)
    own_chats = _own_chats(observations, lists, copies, by_frames=by_frames)
    received = received_of(observations, deliveries.dashboards, own_chats)
    sightings = sightings_of(observations, messages, received, deliveries) if by_frames else None
    if sightings is not None:
        visibility = _earlier(sightings.first, visibility)
    visible = visibility.time
    missing = expected & ~np.isfinite(visible)
    excused = missing & _excused(missing, messages, reads, deliveries, list_window(scenario, manifest))
    unproven = missing & ~excused
    if by_frames:
        unproven &= deliveries.at_home(~witnessed) | _held_back(deliveries, rig_outages, messages, scenario)
    else:
        no_read = ~np.append(copies.read, False)[messages.chat] & (copies.of_message < 0)
        unproven &= deliveries.over(no_read) | deliveries.at_home(~witnessed | rig_outages.permanent)
    scheduled = _scheduled(manifest, scenario, end - start)
    members = None if audience.everybody else planned
    if sightings is None:
        due = due_of(observations, messages, deliveries, copies.of_message >= 0, members)
    else:
        due = due_of(observations, messages, deliveries, messages.accepted, members, audience.room)
        received = _only_frames(received, sightings)
    data = FrameData(observations, messages, copies, received, due, silences_of(due, received))
    lost = missing & ~excused & ~unproven
    announcements = _announcements(data, sightings, expected, visible, replays_once=manifest.promises.replays_once)
    notified = _measured(announcements.notified, witnessed, rig_outages, messages, deliveries)
    return Ledger(
        manifest=manifest,
        scenario=scenario,
        start=start,
        end=end,
        observations=observations,
        messages=messages,
        intended=ints([len(moments) for moments in scheduled]),
        schedule=np.sort(np.concatenate([np.zeros(0), *scheduled])) + start,
        copies=copies,
        lists=lists,
        reads=reads,
        visibility=visibility,
        own_chats=own_chats,
        created=created,
        audience=audience,
        deliveries=deliveries,
        planned=planned,
        expected=expected,
        visible=visible,
        lost=lost,
        gap=None
        if sightings is None
        else lost_away(lost, messages.sent, messages.done, due, received, observations.connections),
        excused=excused,
        unproven=unproven,
        witnessed=witnessed,
        rig_outages=rig_outages,
        sightings=sightings,
        leaks=_leaks(observations, sightings, audience, deliveries, messages, start),
        announcements=replace(announcements, notified=notified),
    )


def _own_chats(observations: Observations, lists: ListContents, copies: Copies, *, by_frames: bool) -> Bools:
    own_chats = observations.own_chats
    own_chats[lists.text_chat[lists.text_key >= 0]] = True
    own_chats[copies.chat[copies.key >= 0]] = True
    if by_frames:
        frames = observations.frames
        own_chats[frames.chat[(frames.widget >= 0) & (frames.chat >= 0)]] = True
    return own_chats


def _earlier(shown: Floats, read: Visibility) -> Visibility:
    """When each delivery was visible if it was `shown` as a text or `read` in a list, whichever came first."""
    first = shown <= read.time
    as_text = read.as_text | (first & np.isfinite(shown))
    return Visibility(np.where(first, np.int32(-1), read.read), as_text, np.minimum(shown, read.time))


def _held_back(deliveries: PlannedDeliveries, outages: RigOutages, messages: SentMessages, scenario: Scenario) -> Bools:
    """Per delivery: whether the message would have come in its time while the rig kept the dashboard from seeing it."""
    if not outages.any:
        return np.zeros(len(deliveries), bool)
    late = messages.intended + scenario.update_target
    before = deliveries.pairwise(np.greater_equal, outages.until, messages.intended)
    return np.asarray(before & deliveries.pairwise(np.less_equal, outages.since, late))


def _announcements(
    data: FrameData, sightings: Sightings | None, expected: Bools, visible: Floats, *, replays_once: bool
) -> Announcements:
    """What the frames announced, matched by text or by id where frames carry them."""
    if sightings is not None:
        return announced_by_text(data, sightings, replays_once=replays_once)
    owners = ids_of(data.observations, data.messages, data.copies, data.received)
    return announced_by_count(data, expected, visible) if owners is None else announced_by_id(data, owners)


def _leaks(
    observations: Observations, sightings: Sightings | None, audience: Audience, deliveries: PlannedDeliveries,
    messages: SentMessages, start: float,
) -> Leaks | None:  # fmt: skip
    if sightings is None or not audience.limited:
        return None
    spells = spells_of(audience, deliveries, observations, start)
    return leaks_of(sightings, audience, deliveries, spells, messages, observations.connections.dashboard)


def _only_frames(received: Received, sightings: Sightings) -> Received:
    """Without what dashboards read after connecting, which ends no silence."""
    kept = (sightings.texts.how != Sighting.READ)[received.announcement]
    if kept.all():
        return received
    counts = np.bincount(received.connection[kept], minlength=len(received.edges) - 1)
    edges = ints(np.concatenate([[0], np.cumsum(counts)]))
    return Received(received.announcement[kept], received.time[kept], edges)


def _measured(
    notified: Floats, witnessed: Bools, rig_outages: RigOutages, messages: SentMessages, deliveries: PlannedDeliveries
) -> Floats:
    """`notified`, with NaN for *never* where that cannot be known."""
    if witnessed.all() and not rig_outages.any:
        return notified
    # A frame missing from a cut history may have arrived, and no frame arrives while the rig has no connection.
    unknown = deliveries.at_home(~witnessed) | rig_outages.covers(deliveries, messages.intended, notified)
    return np.where(np.isinf(notified) & unknown, np.nan, notified)


def _scheduled(manifest: Manifest, scenario: Scenario, seconds: float) -> list[Floats]:
    """Per widget: when its messages were intended, up to the end of the measured part, in seconds after its start."""
    limit = seconds if manifest.cut_short else max(seconds, scenario.duration)
    return [
        floats([time for time in times if time <= limit])
        for times in (
            intended_times(manifest.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)
            for widget in range(scenario.widgets)
        )
    ]


def _witnessed(observations: Observations, dashboards: int) -> Bools:
    """False if a dashboard's history was cut, or if it has no rows and a file is missing: it may have seen more."""
    witnessed = np.full(dashboards, observations.complete)
    for dashboard, process in (
        (observations.connections.dashboard, observations.connections.process),
        (observations.refetches.dashboard, observations.refetches.process),
    ):
        known = (dashboard >= 0) & (dashboard < dashboards)
        witnessed[dashboard[known]] = observations.whole[process[known]]
    return witnessed


def _excused(
    missing: Bools, messages: SentMessages, reads: Reads, deliveries: PlannedDeliveries, window: int | None
) -> Bools:
    """Whether at least `window` other chats may have pushed the message's chat out of the list before it was read."""
    excused = np.zeros_like(missing)
    if window is None or not missing.any():
        return excused
    rows = np.flatnonzero(deliveries.any(missing))
    pushed = np.full(len(messages), np.inf)
    pushed[rows] = _pushed_out(messages, window, rows)
    for dashboard in np.flatnonzero(np.diff(reads.first)).tolist():
        lost = deliveries.on(dashboard)
        lost = lost[missing[lost]]
        mine = slice(reads.first[dashboard], reads.first[dashboard + 1])
        order = np.argsort(reads.started[mine], kind="stable")
        started, done = reads.started[mine][order], np.append(reads.done[mine][order], -np.inf)
        # The next read that could contain the message, because it began after the response.
        message = deliveries.message[lost]
        following = done[np.searchsorted(started, messages.done[message])]
        excused[lost] = following >= pushed[message]
    return excused


def _pushed_out(messages: SentMessages, window: int, rows: Ints) -> Floats:
    """For each of these messages: when at least `window` other chats may have had a later one; infinite for never."""
    active = np.flatnonzero((messages.chat >= 0) & (messages.outcome != SendOutcome.REJECTED))
    chats = np.unique(messages.chat[active])
    if len(chats) < window:
        return np.full(len(rows), np.inf)
    after = np.full((len(chats), len(rows)), np.inf)
    for row, chat in enumerate(chats.tolist()):
        mine = active[messages.chat[active] == chat]
        # The target's order of two messages is only known if one got its response before the other was sent.
        done = np.where(np.isnan(messages.done[mine]), np.inf, messages.done[mine])
        order = np.argsort(done)
        earliest = np.minimum.accumulate(messages.sent[mine][order][::-1])[::-1]
        at = np.searchsorted(done[order], messages.sent[rows])
        after[row] = np.append(earliest, np.inf)[at]
        after[row, messages.chat[rows] == chat] = np.inf
    return np.asarray(np.partition(after, window - 1, axis=0)[window - 1])
