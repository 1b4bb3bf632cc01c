"""Decides from the symptoms why a chat does not work: the guide's Problems 1–4, most likely cause first.

No sockets and no clock: `delivery.py` and `steps.py` gather the symptoms.
"""

import msgspec

from chatswarm.loadtests.causes.table import CAUSES
from chatswarm.loadtests.system.units import human

from .causes import HANGS, PROCESS_LOG, Diagnosis, dashboard_socket, http, network, not_the_chat
from .symptoms import Delivery, Failure, StepName, Symptoms


class GuideProblem(msgspec.Struct, frozen=True):
    """What is broken, for people: the guide's title, what was seen, likely causes (most likely first), what to do.

    `here`: the problem lies with this machine or this check, and says nothing about the chat.
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
    Failure.HERE: "Not the Chat: This Machine Has Reached a Limit",
    Failure.NOT_READ_HERE: "Undecided: A Response That This Check Cannot Read",
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

_TIMEOUTS = (Failure.NO_ANSWER, Failure.NO_FRAME, Failure.UNREACHABLE)
_SHORT = 1.0  # seconds; with less than this left, the steps before took the time
_SLOW = "the chat is slow or far away: the steps before this one took most of the time limit"


def after_send(delivery: Delivery, update_target: float) -> list[StepName]:
    """The steps from the send on that have passed, in order, up to the first that has not (yet)."""
    shown = delivery.shown
    # Shown in time, but only to an extra refetch: a page refetches once per frame, so it would not have shown it.
    missed = shown is not None and shown <= update_target and not delivery.by_page
    passed = {
        StepName.SENT: delivery.accepted is not None,
        StepName.NOTIFIED: delivery.notified is not None,
        StepName.SHOWN: shown is not None and not missed,
        StepName.IN_TIME: shown is not None and shown <= update_target,
    }
    names = list(passed)
    return names[: next((at for at, name in enumerate(names) if not passed[name]), len(names))]


def brief(symptoms: Symptoms) -> str:
    """What was seen, in a few words for the step's line."""
    delivery = symptoms.delivery or Delivery()
    match symptoms:
        case Symptoms(failure=Failure.STATUS, status=int(status)):
            return f"HTTP {status}"
        case Symptoms(failure=Failure() as failure):
            return failure
        case Symptoms(broken=StepName.NOTIFIED):
            return "no frame for this chat" if delivery.lost is None else "the connection was lost"
        case Symptoms(broken=StepName.SHOWN):
            return "the message is not in the list" if delivery.shown is None else "not in the page's refetch"
        case _:
            return f"{human(delivery.shown)} after it was sent; the target is {symptoms.update_target:g} s"


def diagnose(symptoms: Symptoms) -> GuideProblem:
    """The guide's matching problem, its causes ordered by what was seen."""
    if symptoms.failure is not None and (found := not_the_chat(symptoms)) is not None:
        return GuideProblem(HERE[symptoms.failure], *found, here=True)
    assert isinstance(symptoms.broken, StepName)
    number = _PROBLEM_OF[symptoms.broken]
    delivery = symptoms.delivery or Delivery()
    match symptoms.broken:
        case StepName.NOTIFIED:
            # A lost socket is no longer a subscriber: the guide's Problem 4, "dashboard closed".
            number = 4 if delivery.lost is not None else 2
            found = _not_notified(delivery)
        case StepName.SHOWN if symptoms.failure is None:
            found = _not_shown(delivery, symptoms.list_window)
        case StepName.IN_TIME:
            found = _late(delivery, symptoms.update_target)
        case StepName.SENT if symptoms.failure is Failure.NO_ANSWER:
            found = _send_hangs(symptoms, delivery)
        case StepName.CONNECTED | StepName.SUBSCRIBED:
            found = dashboard_socket(symptoms) or network(symptoms)
        case StepName.REACHABLE:
            found = network(symptoms)
        case _:
            found = http(symptoms) or network(symptoms)
    return GuideProblem(TITLES[number], found.seen, unless_slow(symptoms, found.causes), found.remedies)


def unless_slow(symptoms: Symptoms, causes: list[str]) -> list[str]:
    """The causes, after the one that little time was left for the step, if that may be why."""
    if symptoms.failure in _TIMEOUTS and symptoms.delivery is None and symptoms.waited < _SHORT:
        return [_SLOW, *causes]
    return causes


def _send_hangs(symptoms: Symptoms, delivery: Delivery) -> Diagnosis:
    seen = f"{symptoms.what} got no response within {human(symptoms.waited)}"
    stored, announced = delivery.shown is not None or bool(delivery.stored), delivery.notified is not None
    if stored or announced:
        done = [word for word, is_so in (("stored", stored), ("announced", announced)) if is_so]
        return Diagnosis(
            f"{seen}, although the message was {' and '.join(done)}.",
            [
                "the backend waits for every dashboard in turn, and one of them has stopped reading",
                "it waits for its broker after storing, without a timeout",
            ],
            [
                "close all other dashboards and try again: if that works, a stalled one held up the send",
                "never await a write to a dashboard in the handler: queue it, and drop dashboards whose queue is full",
            ],
        )
    return Diagnosis(
        f"{seen}, and nothing shows that the message was stored.",
        ["the store hangs: a lock, an exhausted connection pool, an unreachable database", *HANGS],
        ["look for `WIDGET MESSAGE RECEIVED` in the backend's terminal: what follows it hangs", PROCESS_LOG],
    )


def _not_notified(delivery: Delivery) -> Diagnosis:
    watched = human(delivery.watched)
    stored = delivery.shown is not None or bool(delivery.stored)
    if delivery.lost is not None:
        return Diagnosis(
            f"The dashboard's connection was lost before the frame came: {delivery.lost}.",
            ["the handler crashed while it announced the message", "the backend or a proxy closes connections early"],
            [PROCESS_LOG, "look up what the close code means", "check the proxy's idle timeouts"],
        )
    if delivery.unreadable:
        return Diagnosis(
            f"The only frame within {watched} cannot be read: {delivery.unreadable}.",
            ["the backend's frames have another shape than the protocol's"],
            ["compare the frame with the protocol", "choose this chat's protocol with --protocol"],
        )
    if not stored:
        # Only what a successful read lacked is called missing.
        missing = "it is not in its chat either" if delivery.stored is False else "it is not in the list either"
        known = delivery.stored is False or delivery.chats is not None
        return Diagnosis(
            f"The send was accepted, but no frame came within {watched}, and "
            + (f"{missing}." if known else "neither the list nor the chat could be read."),
            [
                f"the message was not stored: {CAUSES['never_stored'].likely}"
                if known
                else "the backend's store fails after the response",
                "it was stored under another chat",
            ],
            [CAUSES["never_stored"].next, "look for `Message saved to chat` in the backend's terminal"],
        )
    if delivery.other_frames:
        others = f"{delivery.other_frames} frame{'' if delivery.other_frames == 1 else 's'} for other chats"
        return Diagnosis(
            f"The message is stored, and {others} came within {watched}, but none for this one.",
            [CAUSES["one_chat"].likely, CAUSES["frame_never_sent"].likely],
            ["check how the backend filters before it broadcasts", "try again while nobody else writes"],
        )
    return Diagnosis(
        f"The message is stored, but no frame came within {watched}.",
        [
            "the backend does not broadcast: its log has no `Broadcasting chat_updates`",
            CAUSES["one_worker"].likely,
            "a filter keeps the message from this dashboard",
        ],
        [
            "look for `Broadcasting chat_updates to X subscriber(s)` at the send; X = 0: nobody is subscribed",
            CAUSES["one_worker"].next,
        ],
    )


def _not_shown(delivery: Delivery, window: int | None) -> Diagnosis:
    frame = f"The frame came after {human(delivery.notified)}"
    if delivery.shown is not None:
        later = f"a later read found it {human(delivery.shown)} after the send"
        return Diagnosis(
            f"{frame}, but the refetch after it did not show the message, and a page refetches only once; {later}.",
            [CAUSES["frame_before_list"].likely, CAUSES["cached_list"].likely],
            [CAUSES["frame_before_list"].next, CAUSES["cached_list"].next],
        )
    seen = f"{frame}, but no list within {human(delivery.watched)} showed the message"
    if delivery.stored is not None:
        seen += f"; the chat itself {'has it' if delivery.stored else 'does not have it either'}"
    if delivery.stored is False:
        return Diagnosis(
            f"{seen}.",
            ["the message is announced, but not stored: the write failed after the broadcast, or still waits"],
            [CAUSES["frame_before_list"].next, "look for `Message saved to chat` in the backend's terminal"],
        )
    if delivery.listed:
        return Diagnosis(
            f"{seen}. The chat is in the list, but neither its texts nor its count has changed.",
            [
                CAUSES["cached_list"].likely,
                "the count is not updated",
            ],
            ["check where the list comes from", "compare the list with the chat itself"],
        )
    chats = delivery.chats or 0
    limited = CAUSES["list_window"].likely.format(shown=chats)
    filtered = "a filter excludes the chat (status, website, user)"
    unknown = "the list comes from another store, or from a cache that does not know new chats"
    order, look = CAUSES["list_window"].next, "check the list's filters, and where it comes from"
    full = chats >= (window or 100)
    return Diagnosis(
        f"{seen}. The chat is not among the {chats} in the list.",
        [limited, filtered, unknown] if full else [filtered, unknown],
        [order, look] if full else [look],
    )


def _late(delivery: Delivery, update_target: float) -> Diagnosis:
    notified, shown = delivery.notified or 0.0, delivery.shown or 0.0
    seen = f"A refetch showed the message {human(shown)} after it was sent; the target is {update_target:g} s. "
    if not delivery.by_page:
        return Diagnosis(
            f"{seen}The frame came after {human(notified)}, but the refetch after it came too early for the list.",
            [CAUSES["cached_list"].likely, CAUSES["frame_before_list"].likely],
            [CAUSES["cached_list"].next, CAUSES["frame_before_list"].next],
        )
    if shown - notified > notified:
        return Diagnosis(
            f"{seen}The frame came after {human(notified)}; the refetch took {human(delivery.refetch)}.",
            [CAUSES["slow_list"].likely, "the database is overloaded"],
            [CAUSES["slow_list"].next, "see how long the GET takes in the network tab"],
        )
    if delivery.accepted is not None and delivery.accepted > notified / 2:
        return Diagnosis(
            f"{seen}The send itself took {human(delivery.accepted)}; the frame came after {human(notified)}.",
            [CAUSES["slow_accept"].likely, *HANGS],
            ["look at the time between `WIDGET MESSAGE RECEIVED` and `Message saved` in the backend's terminal"],
        )
    return Diagnosis(
        f"{seen}The send took {human(delivery.accepted)}; the frame came only after {human(notified)}.",
        [f"{CAUSES['dashboards_in_turn'].likely}, and one of them is slow", CAUSES["slow_notify"].likely],
        ["close all other dashboards and try again", "see when `Broadcasting chat_updates` is logged"],
    )
