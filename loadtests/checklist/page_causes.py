"""Why the guide's two pages fail in a browser: likely causes and remedies, by the step that broke."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatswarm.loadtests.system.units import human

from .causes import HANGS, PROCESS_LOG, Diagnosis
from .diagnosis import TITLES, GuideProblem
from .symptoms import PageStep

NOT_OPENED = "The guide's pages cannot be opened"

_TITLES = {
    PageStep.INBOX: NOT_OPENED,
    PageStep.CONNECTED: TITLES[1],
    PageStep.SUBSCRIBED: TITLES[4],
    PageStep.WIDGET: NOT_OPENED,
    PageStep.CHAT: TITLES[2],
    PageStep.SENT: TITLES[2],
    PageStep.NOTIFIED: TITLES[2],
    PageStep.SHOWN: TITLES[3],
    PageStep.IN_TIME: TITLES[3],
}

_NETWORK_TAB = "open the page in your own browser, with the network tab open (F12)"


@dataclass(slots=True)
class PageSymptoms:
    """What was seen of the step that broke."""

    broken: PageStep
    backend: str  # the backend that the pages say they talk to; otherwise the target
    waited: float = 0.0  # seconds
    detail: str = ""  # what the browser, the page or the backend said about it
    missing: str | None = None  # the first line of the guide that the console lacks
    console: Sequence[str] = ()  # the console's lines
    elsewhere: str = ""  # the pages' backend, if it is not the target
    wants_token: bool = False
    latency: float | None = None  # seconds from the click until the inbox had shown the message
    counted: int | None = None  # the inbox's count of the chat; None: the chat was not in the inbox
    update_target: float = 2.0  # seconds


def explain(symptoms: PageSymptoms) -> GuideProblem:
    """The guide's matching problem, most likely cause first."""
    seen, causes, remedies = _DIAGNOSES[symptoms.broken](symptoms)
    if symptoms.missing is not None:
        seen += f" The console lacks this line: {symptoms.missing}"
    return GuideProblem(_TITLES[symptoms.broken], seen, causes, remedies)


def _not_opened(symptoms: PageSymptoms) -> Diagnosis:
    if symptoms.elsewhere:
        return Diagnosis(
            f"The pages talk to the backend at {symptoms.elsewhere}, expected --target {symptoms.backend}.",
            ["the pages belong to another chat than --target", "the backend was given another --backend-url"],
            [f"pass --target {symptoms.elsewhere}", "or start `chatswarm serve` with the right --backend-url"],
        )
    return Diagnosis(
        f"The page did not open{_said(symptoms)}.",
        [
            "`chatswarm serve` is not running, has --pages-port off, or left the pages out because the port was taken",
            "they are on another port, or another application has this one",
        ],
        ["start `chatswarm serve`: it logs where its pages are", "compare that address with --pages"],
    )


def _not_connected(symptoms: PageSymptoms) -> Diagnosis:
    waited = human(symptoms.waited)
    if symptoms.wants_token:
        return Diagnosis(
            "The inbox asks for a token.",
            ["the backend was started with --dashboard-token-file; this check does not enter a token"],
            ["check a backend without tokens, or follow the guide by hand"],
        )
    if any(line.startswith("🔌 Attempting") for line in symptoms.console):
        return Diagnosis(
            f"The inbox could not connect to the backend at {symptoms.backend} within {waited}.",
            [
                "the backend is not running, or the pages look for it at the wrong address",
                "it refuses this page's origin: --origins must list the pages' own",
            ],
            [
                f"run `chatswarm check --target {symptoms.backend}`, which says what is wrong with its WebSocket",
                "compare the address with the backend's --backend-url and --port",
            ],
        )
    return Diagnosis(
        f"The inbox opened, but did not try to connect within {waited}{_said(symptoms)}.",
        ["a script of the page failed or was not loaded", "the page belongs to another application"],
        [_NETWORK_TAB],
    )


def _not_subscribed(symptoms: PageSymptoms) -> Diagnosis:
    return Diagnosis(
        f"The inbox's WebSocket is open, but its subscription was not confirmed within {human(symptoms.waited)}.",
        ["the backend does not know the channel, or hangs", "it closed the socket in between"],
        ["look for `subscribed to chat_updates` in the backend's terminal", PROCESS_LOG],
    )


def _no_chat(symptoms: PageSymptoms) -> Diagnosis:
    return Diagnosis(
        f"The contact form was submitted, but no chat was created within {human(symptoms.waited)}{_said(symptoms)}.",
        ["the backend refused the contact or the chat, or cannot be reached from the widget", *HANGS],
        [PROCESS_LOG, _NETWORK_TAB],
    )


def _not_sent(symptoms: PageSymptoms) -> Diagnosis:
    return Diagnosis(
        f"The widget sent the message, but it was not accepted within {human(symptoms.waited)}{_said(symptoms)}.",
        ["the backend refused it, or could not store it", *HANGS],
        [PROCESS_LOG, _NETWORK_TAB],
    )


def _not_notified(symptoms: PageSymptoms) -> Diagnosis:
    waited = human(symptoms.waited)
    if any("notifications received in the last second" in line for line in symptoms.console):
        return Diagnosis(
            f"The inbox did not log the guide's lines for this message within {waited}.",
            ["the chat is busy: above 5 notifications a second, the inbox logs one summary line a second instead"],
            ["check it when it is quiet, or without --browser"],
        )
    if any(line.startswith("🔌 WebSocket closed") for line in symptoms.console):
        return Diagnosis(
            f"The inbox's WebSocket was closed, and no notification came within {waited}.",
            [
                "the backend closed it while it stored or announced the message (a crash, a restart)",
                "the network connection broke",
            ],
            [PROCESS_LOG],
        )
    if symptoms.missing is not None and not symptoms.missing.startswith("🔵"):
        return Diagnosis(
            f"The notification came, but the inbox did not handle it within {waited}.",
            ["a script of the page failed on it"],
            [_NETWORK_TAB],
        )
    return Diagnosis(
        f"The message was accepted and the inbox was subscribed, but no notification came within {waited}.",
        [
            "the backend stores the message without announcing it on chat_updates",
            "it announces it in another process than the inbox's, and no bus connects the two",
        ],
        [
            "look for `Broadcasting chat_updates to 1 subscriber(s)` in the backend's terminal",
            "run one process, or give all of them the same bus",
        ],
    )


def _not_shown(symptoms: PageSymptoms) -> Diagnosis:
    count = "the chat was not in the list" if symptoms.counted is None else f"its count was {symptoms.counted}"
    return Diagnosis(
        f"The inbox was notified, but did not show text and count within {human(symptoms.waited)}; {count}.",
        [
            "the list lacks the message: the backend announces before it commits, or caches the list",
            "the refetch failed",
            "the list holds only the chats with the newest activity, and this one was crowded out",
        ],
        ["look at GET /api/debug/users-chats in the network tab: its status, and whether it has the message"],
    )


def _late(symptoms: PageSymptoms) -> Diagnosis:
    return Diagnosis(
        f"The inbox showed the message {human(symptoms.latency)} after the click; the target is "
        f"{symptoms.update_target:g} s.",
        [
            "the backend is slow to store the message, to announce it, or to return the list",
            "this machine is too busy for a browser",
        ],
        [f"run `chatswarm check --target {symptoms.backend}`, which measures without a browser"],
    )


_DIAGNOSES: dict[PageStep, Callable[[PageSymptoms], Diagnosis]] = {
    PageStep.INBOX: _not_opened,
    PageStep.CONNECTED: _not_connected,
    PageStep.SUBSCRIBED: _not_subscribed,
    PageStep.WIDGET: _not_opened,
    PageStep.CHAT: _no_chat,
    PageStep.SENT: _not_sent,
    PageStep.NOTIFIED: _not_notified,
    PageStep.SHOWN: _not_shown,
    PageStep.IN_TIME: _late,
}


def _said(symptoms: PageSymptoms) -> str:
    return f": {symptoms.detail}" if symptoms.detail else ""
