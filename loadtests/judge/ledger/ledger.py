"""The ledger: every message and every delivery of a run, and all that happened to it. Checks only ask it."""

from dataclasses import dataclass, replace

import numpy as np

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.scenario.schedule import intended_times

from .announcements import Announcements, announced_of
from .arrays import Bools, Floats, Ints, floats, ints
from .hindrance import Hindrance, hindrance_of
from .list_contents import ListContents, lists_of
from .messages import Copies, SentMessages, copies_of, messages_of
from .observations import Observations
from .visibility import Reads, Visibility, reads_of, sight_of


@dataclass(frozen=True, slots=True)
class Ledger:
    """All of a run. Matrices are messages × dashboards; times are monotonic seconds."""

    manifest: Manifest
    scenario: Scenario
    start: float
    end: float  # of the measured part
    evidence: Observations
    messages: SentMessages
    intended: Ints  # per widget: how many messages its schedule has
    schedule: Floats  # when each of them was to be sent, ascending
    copies: Copies
    lists: ListContents
    reads: Reads
    sight: Visibility
    ours: Bools  # per chat: made by this run, or a text of this run was seen in it
    expected: Bools
    visible: Floats  # infinite: never
    lost: Bools
    excused: Bools
    unproven: Bools
    witnessed: Bools  # per dashboard: all that it saw was recorded, so that what is not there did not happen
    hindrance: Hindrance
    announced: Announcements

    @property
    def doubts(self) -> list[str]:
        """What is wrong with the histories, in plain words."""
        repeated = self.messages.repeated
        twice = [f"{repeated} sends were recorded twice: the load generator is at fault"] if repeated else []
        return [*self.evidence.reasons, *twice]

    @property
    def delivered(self) -> Bools:
        return self.expected & np.isfinite(self.visible)

    @property
    def late(self) -> Bools:
        """Visible, but after the update target, and nothing of the rig's own held it up."""
        latency = self.visible - self.messages.intended[:, None]
        late = np.asarray(self.expected & (latency > self.scenario.update_target) & np.isfinite(latency))
        return late & ~self.held_up if self.hindrance.any else late

    @property
    def held_up(self) -> Bools:
        """The deliveries that the rig or its operator may have held up."""
        return self.hindrance.covers(self.messages.intended, self.visible)

    @property
    def clock_bound(self) -> float:
        """Seconds by which a time between two processes may be wrong, because their clocks are on different hosts."""
        return 2 * max((clock.bound for clock in self.manifest.clocks.values()), default=0.0)

    @property
    def deadline(self) -> Floats:
        """Per message: until when it should be visible. What did not come by then was missed at that moment."""
        return self.messages.intended + self.scenario.update_target

    @property
    def decided(self) -> Floats:
        """Per delivery: when it was known whether it was in time, that is when it came or its deadline."""
        return np.minimum(self.visible, self.deadline[:, None])

    @property
    def answered(self) -> Floats:
        """Per message: the end of its send; where it had none, its deadline."""
        return np.where(np.isnan(self.messages.done), self.deadline, self.messages.done)

    def active(self, begun: float, over: float) -> str:
        """The names of the faults that were there in a span of monotonic seconds."""
        names = dict.fromkeys(fault.name for fault in self.evidence.faults if fault.overlaps(begun, over))
        return ", ".join(names)

    def uid(self, message: int) -> str:
        return f"{self.manifest.run}.{self.messages.widget[message]}.{self.messages.n[message]}"

    def identity(self, key: int) -> str:
        return f"{self.manifest.run}.{key >> 32}.{key & 0xFFFFFFFF}"

    def chat(self, chat: int) -> str:
        return self.evidence.chat_ids[chat] if chat >= 0 else ""

    def after_start(self, time: float) -> float | None:
        """Seconds after the start; None for a time that is not there."""
        return round(float(time - self.start), 6) if np.isfinite(time) else None

    def example(self, message: int, dashboard: int | None = None, detail: str = "") -> Example:
        """What happened to one message, on one dashboard if given."""
        messages = self.messages
        accepted = messages.done[message] if messages.accepted[message] else np.nan
        over = self.answered[message] if dashboard is None else self.visible[message, dashboard]
        over = over if np.isfinite(over) else self.deadline[message]
        return Example(
            uid=self.uid(message),
            chat=self.chat(int(messages.chat[message])),
            dashboard=dashboard,
            intended=self.after_start(messages.intended[message]),
            sent=self.after_start(messages.sent[message]),
            accepted=self.after_start(accepted),
            notified=None if dashboard is None else self.after_start(self.announced.notified[message, dashboard]),
            visible=None if dashboard is None else self.after_start(self.visible[message, dashboard]),
            fault=self.active(float(messages.intended[message]), float(over)),
            detail=detail,
        )


def list_window(scenario: Scenario, manifest: Manifest) -> int | None:
    """How many chats the target's list shows, as declared; None for all of them."""
    return scenario.list_window if scenario.list_window is not None else manifest.list_window


def build(evidence: Observations, manifest: Manifest, scenario: Scenario, start: float, end: float) -> Ledger:
    """The ledger of a run that began. Raises ValueError where the histories contradict themselves."""
    messages = messages_of(evidence)
    copies = copies_of(evidence, messages)
    lists = lists_of(evidence, messages, copies)
    reads = reads_of(evidence, scenario.dashboards)
    sight = sight_of(messages, copies, lists, reads)
    visible = sight.visible(reads)
    expected = planned_of(messages.intended - start, scenario) & messages.accepted[:, None]
    witnessed = _witnessed(evidence, scenario.dashboards)
    missing = expected & ~np.isfinite(visible)
    excused = missing & _excused(missing, messages, reads, list_window(scenario, manifest))
    no_read = ~np.append(copies.read, False)[messages.chat] & (copies.of_message < 0)
    hindrance = hindrance_of(evidence, scenario.dashboards, reads)
    unproven = missing & ~excused & (no_read[:, None] | ~witnessed | hindrance.for_good)
    chats = evidence.chat_widget >= 0
    chats[lists.text_chat[lists.text_key >= 0]] = True
    chats[copies.chat[copies.key >= 0]] = True
    scheduled = _scheduled(manifest, scenario, end - start)
    announced = announced_of(evidence, messages, copies, chats, expected, visible)
    return Ledger(
        manifest=manifest,
        scenario=scenario,
        start=start,
        end=end,
        evidence=evidence,
        messages=messages,
        intended=ints([len(moments) for moments in scheduled]),
        schedule=np.sort(np.concatenate([np.zeros(0), *scheduled])) + start,
        copies=copies,
        lists=lists,
        reads=reads,
        sight=sight,
        ours=chats,
        expected=expected,
        visible=visible,
        lost=missing & ~excused & ~unproven,
        excused=excused,
        unproven=unproven,
        witnessed=witnessed,
        hindrance=hindrance,
        announced=replace(announced, notified=_measured(announced.notified, witnessed, hindrance, messages)),
    )


def _measured(notified: Floats, witnessed: Bools, hindrance: Hindrance, messages: SentMessages) -> Floats:
    """NaN in place of *never* where nobody can know."""
    if witnessed.all() and not hindrance.any:
        return notified
    # A frame that a cut history does not have may have come, and none comes on a connection that the rig did not have.
    unknown = ~witnessed | hindrance.covers(messages.intended, notified)
    return np.where(np.isinf(notified) & unknown, np.nan, notified)


def planned_of(at: Floats, scenario: Scenario) -> Bools:
    """Which messages each dashboard must show if they are accepted: those intended while it was planned to be there.

    `at` says when they were intended, in seconds after the start. Connected or not: a dashboard that was refused is no
    smaller denominator. One whose planned stop comes before the end must have had the whole target to show a message.
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
                    # The last moment belongs to the measured part.
                    inside |= at >= last
                due |= inside
            columns[spans] = due
        planned[:, dashboard] = columns[spans]
    return planned


def _scheduled(manifest: Manifest, scenario: Scenario, seconds: float) -> list[Floats]:
    """Per widget: when its messages were to be sent, up to the end of the measured part, in seconds after its start."""
    limit = seconds if manifest.cut_short else max(seconds, scenario.duration)
    return [
        floats([time for time in times if time <= limit])
        for times in (
            intended_times(manifest.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)
            for widget in range(scenario.widgets)
        )
    ]


def _witnessed(evidence: Observations, dashboards: int) -> Bools:
    """A dashboard of a cut history may have seen more than is there; so may one without rows, if a file is missing."""
    witnessed = np.full(dashboards, evidence.complete)
    for dashboard, process in (
        (evidence.connections.dashboard, evidence.connections.process),
        (evidence.refetches.dashboard, evidence.refetches.process),
    ):
        known = (dashboard >= 0) & (dashboard < dashboards)
        witnessed[dashboard[known]] = evidence.whole[process[known]]
    return witnessed


def _excused(missing: Bools, messages: SentMessages, reads: Reads, window: int | None) -> Bools:
    """Whether at least `window` other chats may have pushed a message's chat out of the list before it was read."""
    excused = np.zeros_like(missing)
    rows = np.flatnonzero(missing.any(axis=1))
    if window is None or not len(rows):
        return excused
    pushed = _pushed_out(messages, window)
    for dashboard in np.flatnonzero(missing.any(axis=0)).tolist():
        mine = slice(reads.first[dashboard], reads.first[dashboard + 1])
        order = np.argsort(reads.started[mine], kind="stable")
        started, done = reads.started[mine][order], np.append(reads.done[mine][order], -np.inf)
        # The next read that the message could have been in, because it began after the answer.
        following = done[np.searchsorted(started, messages.done[rows])]
        excused[rows, dashboard] = missing[rows, dashboard] & (following >= pushed[rows])
    return excused


def _pushed_out(messages: SentMessages, window: int) -> Floats:
    """Per message: from when on at least `window` other chats may have had a message after it; infinite for never."""
    active = np.flatnonzero((messages.chat >= 0) & (messages.outcome != SendOutcome.REJECTED))
    chats = np.unique(messages.chat[active])
    after = np.full((len(chats), len(messages)), np.inf)
    for row, chat in enumerate(chats.tolist()):
        mine = active[messages.chat[active] == chat]
        # Which of two messages the target stored first is only known where one was answered before the other was sent.
        done = np.where(np.isnan(messages.done[mine]), np.inf, messages.done[mine])
        order = np.argsort(done)
        earliest = np.minimum.accumulate(messages.sent[mine][order][::-1])[::-1]
        at = np.searchsorted(done[order], messages.sent)
        after[row] = np.append(earliest, np.inf)[at]
        after[row, messages.chat == chat] = np.inf
    if len(chats) < window:
        return np.full(len(messages), np.inf)
    return np.asarray(np.partition(after, window - 1, axis=0)[window - 1])
