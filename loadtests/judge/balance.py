"""What a run comes to in numbers: its counts and balances, and why less was measured than planned."""

from collections.abc import Mapping

import numpy as np

from chatswarm.loadtests.history.tables import Role, SendOutcome
from chatswarm.loadtests.scenario.metric_names import COUNTS

from .asked import differences, withdrawn
from .checks import Found
from .ledger import Ledger
from .ledger.observations import NO_FINAL
from .rig import UNREADABLE
from .verdict import Counts, Deliveries, Frames, Messages

_UNREADABLE = 5  # reasons; of thousands of answers each may differ in a number


class InternalError(AssertionError):
    """The judge contradicts itself: a balance does not add up. Never the target's fault."""


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


def deliveries_in(ledger: Ledger, answers: Mapping[str, Found]) -> Deliveries:
    """Accepted messages × eligible dashboards. `answers` are the checks'. Raises InternalError."""
    delivered = ledger.delivered
    measured = ledger.announced.notified[ledger.expected]
    found = Deliveries(
        expected=int(ledger.expected.sum()),
        visible=int(delivered.sum()),
        lost=int(ledger.lost.sum()),
        excused=int(ledger.excused.sum()),
        unproven=int(ledger.unproven.sum()),
        notified=None if np.isnan(measured).any() else int(np.isfinite(measured).sum()),
        unnotified=answers["unnotified"].count,
        late=answers["late"].count or 0,
        seen_as_text=int((delivered & ledger.sight.as_text).sum()),
    )
    parts = found.visible + found.lost + found.excused + found.unproven
    if found.expected != parts:
        raise InternalError(f"deliveries: {found.expected} expected, but visible + lost + excused + unproven = {parts}")
    return found


def frames_in(ledger: Ledger) -> Frames:
    """Frames that announce a message. Raises InternalError."""
    frames = ledger.announced.balance
    if frames.due != frames.matched + frames.missed:
        raise InternalError(f"frames: {frames.due} due, but matched + missed = {frames.matched + frames.missed}")
    if frames.received != frames.matched + frames.extra:
        raise InternalError(
            f"frames: {frames.received} received, but matched + extra = {frames.matched + frames.extra}"
        )
    return Frames(frames.due, frames.received, frames.matched, frames.missed, frames.extra)


def counts_in(answers: Mapping[str, Found]) -> Counts:
    """How often each finding was made."""
    return Counts(**{name: answer.count for name, answer in answers.items() if name in COUNTS})


def gaps(ledger: Ledger) -> list[str]:
    """Why less was measured than planned."""
    reasons = differences(ledger)
    if ledger.manifest.cut_short:
        reasons.append(f"the run was cut short: {ledger.manifest.cut_short}")
    widget = ledger.messages.widget
    widgets = max(len(ledger.intended), int(widget.max(initial=-1)) + 1)
    sent = np.bincount(widget, minlength=widgets)
    intended = np.append(ledger.intended, np.zeros(widgets - len(ledger.intended), np.int64))
    # What a widget did not send after it was taken away is told with that.
    gone = [widget for widget in withdrawn(ledger.evidence.users, Role.WIDGET) if widget < widgets]
    intended[gone] = np.minimum(intended[gone], sent[gone])
    missing, extra = int(np.maximum(0, intended - sent).sum()), int(np.maximum(0, sent - intended).sum())
    if missing and not ledger.manifest.cut_short:
        reasons.append(
            f"{missing} of {ledger.intended.sum()} messages of the schedule were never sent: "
            "the load generator did not keep up"
        )
    if extra and not ledger.manifest.cut_short:
        reasons.append(f"{extra} messages were sent that the schedule does not have: the load generator is at fault")
    unreadable = [detail for _, kind, detail in ledger.evidence.troubles if kind == UNREADABLE]
    reasons += [f"an answer could not be read: {detail}" for detail in unreadable[:_UNREADABLE]]
    if len(unreadable) > _UNREADABLE:
        reasons.append(
            f"{len(unreadable) - _UNREADABLE} more answers could not be read, each for a reason that differs"
        )
    if not ledger.messages.accepted.any():
        reasons.append("no message was accepted: there is nothing to judge")
    unread = np.flatnonzero((ledger.evidence.chat_widget >= 0) & ~ledger.copies.read)
    if len(unread):
        chat = int(unread[0])
        status, detail = int(ledger.evidence.finals.status[chat]), ledger.evidence.finals.detail.get(chat, "")
        why = "there was none" if status == NO_FINAL and not detail else detail if status <= 0 else f"status {status}"
        reasons.append(
            f"the final read of {len(unread)} chats failed, so losses in them cannot be proven "
            f"(chat {ledger.chat(chat)}: {why})"
        )
    if unproven := int(ledger.unproven.sum()):
        reasons.append(f"{unproven} deliveries were neither seen nor provably lost")
    return reasons
