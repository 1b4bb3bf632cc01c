"""Why a chat does not work, decided from what was seen: the guide's Problems 1–4, with causes in order of likelihood.

Values in, values out: no sockets and no clock. `delivery.py` and `steps.py` gather the evidence.
"""

import msgspec

from chatswarm.loadtests.system.units import human

from .causes import HANGS, PROCESS_LOG, Found, dashboard_socket, here, http, network
from .symptoms import Delivery, Failure, StepName, Symptoms


class GuideProblem(msgspec.Struct, frozen=True):
    """What is broken, for people: the guide's title, what was seen, likely causes (likeliest first), what to do.

    `here`: it is this machine's or this check's own trouble, and says nothing of the chat.
    """

    title: str
    seen: str
    causes: list[str]
    remedies: list[str]
    here: bool = False


TITLES = {
    1: "Problem 1: Dashboard Console Shows Nothing",
    2: "Problem 2: WebSocket Connects But No Messages",
    3: "Problem 3: Message Received But Dashboard Doesn't Update",
    4: 'Problem 4: Backend Says "No subscribers"',
}

HERE = {
    Failure.HERE: "Not the Chat: This Machine Is at a Limit",
    Failure.NOT_READ_HERE: "Not Decided: An Answer That This Check Cannot Read",
}

_PROBLEM_OF = {
    StepName.REACHABLE: 1,
    StepName.CONNECTED: 1,
    StepName.SUBSCRIBED: 4,
    StepName.LIST: 3,
    StepName.CHAT: 2,
    StepName.SENT: 2,
    StepName.NOTIFIED: 2,
    StepName.SHOWN: 3,
    StepName.IN_TIME: 3,
}

_WAITED = (Failure.NO_ANSWER, Failure.NO_FRAME, Failure.UNREACHABLE)
_SHORT = 1.0  # seconds; a step that got less had it taken by the steps before it
_SLOW = "the chat is slow or far away: the steps before this one took most of the time there is"


def after_send(delivery: Delivery, update_target: float) -> list[StepName]:
    """Which of the steps from the send on have passed, in order, up to the first that has not (yet)."""
    shown = delivery.shown
    # Shown in time, but only to a look that no frame asked for: a page refetches once a frame, so it showed nothing.
    missed = shown is not None and shown <= update_target and not delivery.by_page
    passed = {
        StepName.SENT: delivery.accepted is not None,
        StepName.NOTIFIED: delivery.notified is not None,
        StepName.SHOWN: shown is not None and not missed,
        StepName.IN_TIME: shown is not None and shown <= update_target,
    }
    names = list(passed)
    return names[: next((at for at, name in enumerate(names) if not passed[name]), len(names))]


def brief(evidence: Symptoms) -> str:
    """What was seen, in a few words for one line."""
    delivery = evidence.delivery or Delivery()
    match evidence:
        case Symptoms(failure=Failure.STATUS, status=int(status)):
            return f"HTTP {status}"
        case Symptoms(failure=Failure() as failure):
            return failure
        case Symptoms(broken=StepName.NOTIFIED):
            return "no frame for this chat" if delivery.lost is None else "the socket was lost"
        case Symptoms(broken=StepName.SHOWN):
            return "the message is not in the list" if delivery.shown is None else "not in the page's refetch"
        case _:
            return f"{human(delivery.shown)} after it was sent; the target is {evidence.update_target:g} s"


def diagnose(evidence: Symptoms) -> GuideProblem:
    """The guide's matching problem, its causes ordered by what was seen."""
    if evidence.failure is not None and (ours := here(evidence)) is not None:
        return GuideProblem(HERE[evidence.failure], *ours, here=True)
    number = _PROBLEM_OF[evidence.broken]
    delivery = evidence.delivery or Delivery()
    match evidence.broken:
        case StepName.NOTIFIED:
            # A socket that is gone is no subscriber: the guide's Problem 4, "dashboard closed".
            number = 4 if delivery.lost is not None else 2
            found = _not_notified(delivery)
        case StepName.SHOWN if evidence.failure is None:
            found = _not_shown(delivery, evidence.list_window)
        case StepName.IN_TIME:
            found = _late(delivery, evidence.update_target)
        case StepName.SENT if evidence.failure is Failure.NO_ANSWER:
            found = _send_hangs(evidence, delivery)
        case StepName.CONNECTED | StepName.SUBSCRIBED:
            found = dashboard_socket(evidence) or network(evidence)
        case StepName.REACHABLE:
            found = network(evidence)
        case _:
            found = http(evidence) or network(evidence)
    seen, causes, remedies = found
    if evidence.failure in _WAITED and evidence.delivery is None and evidence.waited < _SHORT:
        causes = [_SLOW, *causes]
    return GuideProblem(TITLES[number], seen, causes, remedies)


def _send_hangs(evidence: Symptoms, delivery: Delivery) -> Found:
    seen = f"{evidence.what} got no answer within {human(evidence.waited)}"
    shown, notified = delivery.shown is not None or bool(delivery.stored), delivery.notified is not None
    if shown or notified:
        reached = "was stored" if not notified else "was stored and announced" if shown else "was announced"
        return (
            f"{seen}, although the message {reached}.",
            [
                "the backend waits for every dashboard in turn, and one of them has stopped reading",
                "it waits for its broker after storing, without a time limit",
            ],
            [
                "close all other dashboards and try again: if it works, a stalled one held it up",
                "never await a dashboard's send in the handler: queue it, and drop the dashboard whose queue is full",
            ],
        )
    return (
        f"{seen}, and nothing shows that the message was stored.",
        ["the store hangs: a lock, a full pool of connections, a database out of reach", *HANGS],
        ["look for `WIDGET MESSAGE RECEIVED` in the backend's terminal: what follows it hangs", PROCESS_LOG],
    )


def _not_notified(delivery: Delivery) -> Found:
    watched = human(delivery.watched)
    stored = delivery.shown is not None or bool(delivery.stored)
    if delivery.lost is not None:
        return (
            f"The dashboard's socket was lost before the frame came: {delivery.lost}.",
            ["the handler crashed while it announced the message", "the backend or a proxy closes sockets early"],
            [PROCESS_LOG, "see the code's own words", "check idle timeouts of the proxy"],
        )
    if delivery.unreadable:
        return (
            f"No readable frame came within {watched}, but one that cannot be read: {delivery.unreadable}.",
            ["the backend's frames have another shape than the protocol's"],
            ["compare the frame with the protocol", "choose the protocol for this chat with --protocol"],
        )
    if not stored:
        # Only what was looked for and found missing may be called missing.
        missing = "it is not in its chat either" if delivery.stored is False else "it is not in the list either"
        known = delivery.stored is False or delivery.chats is not None
        return (
            f"The send was accepted, but no frame came within {watched}, and "
            + (f"{missing}." if known else "neither list nor chat could be read."),
            [
                "the message was not stored: the answer comes before the write, and the write failed or waits"
                if known
                else "the backend's store fails after the answer",
                "it was stored under another chat",
            ],
            ["answer a send only after the commit", "look for `Message saved to chat` in the backend's terminal"],
        )
    if delivery.other_frames:
        others = f"{delivery.other_frames} frame{'' if delivery.other_frames == 1 else 's'} for other chats"
        return (
            f"The message is stored, and {others} came within {watched}, but none for this one.",
            ["a filter keeps this chat from this dashboard (user, website, status)", "frames are dropped under load"],
            ["check what the backend filters by before it broadcasts", "try again while nobody else writes"],
        )
    return (
        f"The message is stored, but no frame came within {watched}.",
        [
            "the backend does not broadcast: its log has no `Broadcasting chat_updates`",
            "this dashboard is no subscriber of the process that took the send (no broker between them, or down)",
            "a filter keeps the message from this dashboard",
        ],
        [
            "look for `Broadcasting chat_updates to X subscriber(s)` at the send; X = 0: nobody is subscribed",
            "run one process; if that works, connect the processes by a broker",
        ],
    )


def _not_shown(delivery: Delivery, window: int | None) -> Found:
    frame = f"The frame came after {human(delivery.notified)}"
    if delivery.shown is not None:
        later = f"a later look found it {human(delivery.shown)} after the send"
        return (
            f"{frame}, but the refetch it asked for did not show the message, and a page asks only once; {later}.",
            ["the message is announced before it is committed", "the list comes from a cache or replica that lags"],
            ["commit first, broadcast after", "clear the list's cache with the commit"],
        )
    seen = f"{frame}, but no list within {human(delivery.watched)} showed the message"
    if delivery.stored is not None:
        seen += f"; its chat, read on its own, has it{'' if delivery.stored else ' neither'}"
    if delivery.stored is False:
        return (
            f"{seen}.",
            ["the message is announced, but not stored: the write failed after the broadcast", "it is still waiting"],
            ["commit first, broadcast after", "look for `Message saved to chat` in the backend's terminal"],
        )
    if delivery.listed:
        return (
            f"{seen}. The chat is in the list, but neither its texts nor its count changed.",
            ["the list comes from a cache that a new message does not clear", "the count is not updated with the text"],
            ["check what the list is built from", "compare the list with the chat itself"],
        )
    chats = delivery.chats or 0
    limited = f"the list is limited to {chats} chats, and does not put the newest activity first"
    filtered = "a filter excludes the chat (status, website, user)"
    unknown = "the list is built from another store, or from a cache that does not know new chats"
    order, look = "order the list by last activity, newest first", "check the list's filters, and what it is built from"
    full = chats >= (window or 100)
    return (
        f"{seen}. The chat is not among the {chats} in the list.",
        [limited, filtered, unknown] if full else [filtered, unknown],
        [order, look] if full else [look],
    )


def _late(delivery: Delivery, update_target: float) -> Found:
    notified, shown = delivery.notified or 0.0, delivery.shown or 0.0
    seen = f"A refetch showed the message {human(shown)} after it was sent; the target is {update_target:g} s. "
    if not delivery.by_page:
        return (
            f"{seen}The frame came after {human(notified)}, but the refetch it asked for was too early for the list.",
            [
                "the list comes from a cache or replica that lags behind",
                "the message is announced long before it is stored",
            ],
            ["clear the list's cache with the commit, or read from the primary", "commit first, broadcast after"],
        )
    if shown - notified > notified:
        return (
            f"{seen}The frame came after {human(notified)}; the refetch took {human(delivery.refetch)}.",
            ["the list is slow: it sends every message of every chat, or has no index", "the database is overloaded"],
            ["send only the newest chats and their last texts", "see how long the GET takes in the network tab"],
        )
    if delivery.accepted is not None and delivery.accepted > notified / 2:
        return (
            f"{seen}The send itself took {human(delivery.accepted)}; the frame came after {human(notified)}.",
            ["storing a message is slow (locks, a slow disk, a database out of reach)", *HANGS],
            ["look at the time between `WIDGET MESSAGE RECEIVED` and `Message saved` in the backend's terminal"],
        )
    return (
        f"{seen}The send took {human(delivery.accepted)}; the frame came only after {human(notified)}.",
        [
            "the broadcast is slow: it waits for each dashboard in turn, and one of them is slow",
            "the broker between the processes lags, or is polled",
        ],
        ["close all other dashboards and try again", "look at when `Broadcasting chat_updates` is logged"],
    )
