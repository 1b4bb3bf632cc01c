"""The ledger: every message and delivery of a run and what happened to it. The checks read nothing else."""

from dataclasses import dataclass, replace

import numpy as np

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.scenario.schedule import intended_times

from .announcements import Announcements, announcements_of
from .arrays import Bools, Floats, Ints, floats, ints
from .list_contents import ListContents, list_contents_of
from .messages import Copies, SentMessages, copies_of, messages_of
from .observations import Observations
from .rig_outages import RigOutages, rig_outages_of
from .visibility import Reads, Visibility, reads_of, visibility_of


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything about a run. Matrices are messages × dashboards; times are monotonic seconds."""

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
    expected: Bools
    visible: Floats  # infinite: never
    lost: Bools
    excused: Bools
    unproven: Bools
    witnessed: Bools  # per dashboard: its record is complete, so what is not in it did not happen
    rig_outages: RigOutages
    announcements: Announcements

    @property
    def doubts(self) -> list[str]:
        """What is wrong with the histories, as sentences."""
        repeated = self.messages.repeated
        recorded_twice = [f"{repeated} sends were recorded twice: the load generator is at fault"] if repeated else []
        return [*self.observations.reasons, *recorded_twice]

    @property
    def delivered(self) -> Bools:
        return self.expected & np.isfinite(self.visible)

    @property
    def late(self) -> Bools:
        """Visible, but after the update target, and not held up by the rig."""
        latency = self.visible - self.messages.intended[:, None]
        late = np.asarray(self.expected & (latency > self.scenario.update_target) & np.isfinite(latency))
        return late & ~self.held_up if self.rig_outages.any else late

    @property
    def held_up(self) -> Bools:
        """The deliveries that the rig or its operator may have held up."""
        return self.rig_outages.covers(self.messages.intended, self.visible)

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
        return np.minimum(self.visible, self.deadline[:, None])

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

    def chat(self, chat: int) -> str:
        return self.observations.chat_ids[chat] if chat >= 0 else ""

    def after_start(self, time: float) -> float | None:
        """Seconds after the start; None if the time is not finite."""
        return round(float(time - self.start), 6) if np.isfinite(time) else None

    def example(self, message: int, dashboard: int | None = None, detail: str = "") -> Example:
        """What happened to one message, on one dashboard if `dashboard` is given."""
        messages = self.messages
        accepted = messages.done[message] if messages.accepted[message] else np.nan
        settled = self.answered[message] if dashboard is None else self.visible[message, dashboard]
        settled = settled if np.isfinite(settled) else self.deadline[message]
        return Example(
            uid=self.uid(message),
            chat=self.chat(int(messages.chat[message])),
            dashboard=dashboard,
            intended=self.after_start(messages.intended[message]),
            sent=self.after_start(messages.sent[message]),
            accepted=self.after_start(accepted),
            notified=None if dashboard is None else self.after_start(self.announcements.notified[message, dashboard]),
            visible=None if dashboard is None else self.after_start(self.visible[message, dashboard]),
            fault=self.active_faults(float(messages.intended[message]), float(settled)),
            detail=detail,
        )


def list_window(scenario: Scenario, manifest: Manifest) -> int | None:
    """How many chats the target's list shows, as declared; None if it shows all."""
    return scenario.list_window if scenario.list_window is not None else manifest.list_window


def build(observations: Observations, manifest: Manifest, scenario: Scenario, start: float, end: float) -> Ledger:
    """The ledger of a run that began. Raises ValueError if the histories contradict themselves."""
    messages = messages_of(observations)
    copies = copies_of(observations, messages)
    lists = list_contents_of(observations, messages, copies)
    reads = reads_of(observations, scenario.dashboards)
    visibility = visibility_of(messages, copies, lists, reads)
    visible = visibility.visible(reads)
    expected = planned_of(messages.intended - start, scenario) & messages.accepted[:, None]
    witnessed = _witnessed(observations, scenario.dashboards)
    missing = expected & ~np.isfinite(visible)
    excused = missing & _excused(missing, messages, reads, list_window(scenario, manifest))
    no_read = ~np.append(copies.read, False)[messages.chat] & (copies.of_message < 0)
    rig_outages = rig_outages_of(observations, scenario.dashboards, reads)
    unproven = missing & ~excused & (no_read[:, None] | ~witnessed | rig_outages.permanent)
    own_chats = observations.chat_widget >= 0
    own_chats[lists.text_chat[lists.text_key >= 0]] = True
    own_chats[copies.chat[copies.key >= 0]] = True
    scheduled = _scheduled(manifest, scenario, end - start)
    announcements = announcements_of(
        observations, messages, copies, own_chats=own_chats, expected=expected, visible=visible
    )
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
        expected=expected,
        visible=visible,
        lost=missing & ~excused & ~unproven,
        excused=excused,
        unproven=unproven,
        witnessed=witnessed,
        rig_outages=rig_outages,
        announcements=replace(
            announcements, notified=_measured(announcements.notified, witnessed, rig_outages, messages)
        ),
    )


def _measured(notified: Floats, witnessed: Bools, rig_outages: RigOutages, messages: SentMessages) -> Floats:
    """`notified`, with NaN for *never* where that cannot be known."""
    if witnessed.all() and not rig_outages.any:
        return notified
    # A frame missing from a cut history may have arrived, and no frame arrives while the rig has no connection.
    unknown = ~witnessed | rig_outages.covers(messages.intended, notified)
    return np.where(np.isinf(notified) & unknown, np.nan, notified)


def planned_of(at: Floats, scenario: Scenario) -> Bools:
    """Which messages each dashboard must show if they are accepted: those intended while it was planned to be online.

    `at`: when they were intended, in seconds after the start. A dashboard counts whether or not it connected, so a
    refused one does not shrink the denominator. A dashboard that is planned to stop before the end only counts for
    messages whose whole update target passes before its stop.
    """
    planned = np.zeros((len(at), scenario.dashboards), bool)
    columns: dict[tuple[tuple[float, float], ...], Bools] = {}
    for dashboard in range(scenario.dashboards):
        spans = tuple(scenario.planned(dashboard))
        if spans not in columns:
            due = np.zeros(len(at), bool)
            for first, last in spans:
                inside = (at >= first) & (at < last)
                if last < scenario.duration - 1e-9:
                    inside &= at + scenario.update_target <= last
                else:
                    # The end of the measured part belongs to it.
                    inside |= at >= last
                due |= inside
            columns[spans] = due
        planned[:, dashboard] = columns[spans]
    return planned


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


def _excused(missing: Bools, messages: SentMessages, reads: Reads, window: int | None) -> Bools:
    """Whether at least `window` other chats may have pushed the message's chat out of the list before it was read."""
    excused = np.zeros_like(missing)
    rows = np.flatnonzero(missing.any(axis=1))
    if window is None or not len(rows):
        return excused
    pushed = _pushed_out(messages, window)
    for dashboard in np.flatnonzero(missing.any(axis=0)).tolist():
        mine = slice(reads.first[dashboard], reads.first[dashboard + 1])
        order = np.argsort(reads.started[mine], kind="stable")
        started, done = reads.started[mine][order], np.append(reads.done[mine][order], -np.inf)
        # The next read that could contain the message, because it began after the response.
        following = done[np.searchsorted(started, messages.done[rows])]
        excused[rows, dashboard] = missing[rows, dashboard] & (following >= pushed[rows])
    return excused


def _pushed_out(messages: SentMessages, window: int) -> Floats:
    """Per message: when at least `window` other chats may have had a later message; infinite for never."""
    active = np.flatnonzero((messages.chat >= 0) & (messages.outcome != SendOutcome.REJECTED))
    chats = np.unique(messages.chat[active])
    after = np.full((len(chats), len(messages)), np.inf)
    for row, chat in enumerate(chats.tolist()):
        mine = active[messages.chat[active] == chat]
        # The target's order of two messages is only known if one got its response before the other was sent.
        done = np.where(np.isnan(messages.done[mine]), np.inf, messages.done[mine])
        order = np.argsort(done)
        earliest = np.minimum.accumulate(messages.sent[mine][order][::-1])[::-1]
        at = np.searchsorted(done[order], messages.sent)
        after[row] = np.append(earliest, np.inf)[at]
        after[row, messages.chat == chat] = np.inf
    if len(chats) < window:
        return np.full(len(messages), np.inf)
    return np.asarray(np.partition(after, window - 1, axis=0)[window - 1])
