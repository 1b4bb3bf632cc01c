"""The counts of a run, checked to add up, and the reasons why less was measured than planned."""

from collections.abc import Mapping

import numpy as np

from chatswarm.loadtests.history.tables import Role, SendOutcome
from chatswarm.loadtests.scenario.metric_names import COUNTS

from .checks import CheckResult
from .deviations import deviations, withdrawn
from .ledger import Ledger
from .ledger.observations import NO_FINAL
from .rig import UNREADABLE
from .verdict import Counts, Deliveries, Frames, Messages

_MAX_UNREADABLE = 5  # reasons to list: thousands of responses may each differ in a number


class InternalError(AssertionError):
    """A balance does not add up: the judge itself is wrong, never the target."""


def messages_in(ledger: Ledger) -> Messages:
    """What the widgets meant to send, and what became of it."""
    messages = ledger.messages
    return Messages(
        intended=int(ledger.intended.sum()),
        sent=len(messages),
        accepted=int(messages.accepted.sum()),
        rejected=int(((messages.outcome == SendOutcome.REJECTED) & ~messages.rig_failed).sum()),
        unknown=int(((messages.outcome == SendOutcome.UNKNOWN) & ~messages.rig_failed).sum()),
        rig_failed=int(messages.rig_failed.sum()),
    )


def deliveries_in(ledger: Ledger, results: Mapping[str, CheckResult]) -> Deliveries:
    """Accepted messages × eligible dashboards. Raises InternalError."""
    delivered = ledger.delivered
    notified = ledger.announcements.notified
    counts = Deliveries(
        expected=int(ledger.expected.sum()),
        visible=int(delivered.sum()),
        lost=int(ledger.lost.sum()),
        excused=int(ledger.excused.sum()),
        unproven=int(ledger.unproven.sum()),
        notified=None
        if (ledger.expected & np.isnan(notified)).any()
        else int(np.count_nonzero(ledger.expected & np.isfinite(notified))),
        unnotified=results["unnotified"].count,
        late=results["late"].count or 0,
        seen_as_text=int((delivered & ledger.visibility.as_text).sum()),
        gap=None if ledger.gap is None else int(ledger.gap.sum()),
    )
    parts = counts.visible + counts.lost + counts.excused + counts.unproven
    if counts.expected != parts:
        raise InternalError(
            f"deliveries: {counts.expected} expected, but visible + lost + excused + unproven = {parts}"
        )
    return counts


def frames_in(ledger: Ledger) -> Frames:
    """Frames that announce a message. Raises InternalError."""
    frames = ledger.announcements.balance
    if frames.due is None or frames.matched is None or frames.missed is None or frames.extra is None:
        return Frames(due=None, received=frames.received)
    if frames.due != frames.matched + frames.missed:
        raise InternalError(f"frames: {frames.due} due, but matched + missed = {frames.matched + frames.missed}")
    if frames.received != frames.matched + frames.extra:
        raise InternalError(
            f"frames: {frames.received} received, but matched + extra = {frames.matched + frames.extra}"
        )
    return Frames(
        due=frames.due,
        received=frames.received,
        matched=frames.matched,
        missed=frames.missed,
        extra=frames.extra,
    )


def counts_in(results: Mapping[str, CheckResult]) -> Counts:
    """How often each finding was made."""
    return Counts(**{name: result.count for name, result in results.items() if name in COUNTS})


def measurement_gaps(ledger: Ledger) -> list[str]:
    """Why less was measured than planned."""
    reasons = deviations(ledger)
    if ledger.manifest.cut_short:
        reasons.append(f"the run was cut short: {ledger.manifest.cut_short}")
    widget = ledger.messages.widget
    widgets = max(len(ledger.intended), int(widget.max(initial=-1)) + 1)
    sent = np.bincount(widget, minlength=widgets)
    intended = np.append(ledger.intended, np.zeros(widgets - len(ledger.intended), np.int64))
    # What a widget did not send after it was removed is part of that reason.
    removed = [widget for widget in withdrawn(ledger.observations.users, Role.WIDGET) if widget < widgets]
    intended[removed] = np.minimum(intended[removed], sent[removed])
    missing, extra = int(np.maximum(0, intended - sent).sum()), int(np.maximum(0, sent - intended).sum())
    if missing and not ledger.manifest.cut_short:
        reasons.append(
            f"{missing} of {ledger.intended.sum()} messages of the schedule were never sent: "
            "the load generator did not keep up"
        )
    if extra and not ledger.manifest.cut_short:
        reasons.append(f"{extra} messages were sent that are not in the schedule: the load generator is at fault")
    unreadable = [trouble.detail for trouble in ledger.observations.troubles if trouble.kind == UNREADABLE]
    reasons += [f"a response could not be read: {detail}" for detail in unreadable[:_MAX_UNREADABLE]]
    if len(unreadable) > _MAX_UNREADABLE:
        reasons.append(
            f"{len(unreadable) - _MAX_UNREADABLE} more responses could not be read, each for a different reason"
        )
    if not ledger.messages.accepted.any():
        reasons.append("no message was accepted: there is nothing to judge")
    elif not ledger.audience.everybody and not ledger.expected.any():
        reasons.append(
            "no delivery was expected: no message came to a room that had members then, so nothing was proven"
        )
    unread = np.flatnonzero(ledger.observations.own_chats & ~ledger.copies.read)
    if ledger.by_frames:
        unread = unread[ledger.store_asked[unread]]
    if len(unread):
        chat = int(unread[0])
        status, detail = int(ledger.observations.finals.status[chat]), ledger.observations.finals.detail.get(chat, "")
        why = "there was none" if status == NO_FINAL and not detail else detail if status <= 0 else f"status {status}"
        reasons.append(
            f"the final read of {len(unread)} chats failed, so "
            f"{'what they stored is not known' if ledger.by_frames else 'losses in them cannot be proven'} "
            f"(chat {ledger.chat(chat)}: {why})"
        )
    if unproven := int(ledger.unproven.sum()):
        reasons.append(f"{unproven} deliveries were neither seen nor provably lost")
    return reasons
