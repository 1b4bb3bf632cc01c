"""Why the guide's pages do not do in a browser what the guide says, by the step that broke. Values in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass

from chatswarm.loadtests.system.units import human

from .causes import HANGS, PROCESS_LOG
from .diagnosis import TITLES, GuideProblem
from .symptoms import PageStep

NOT_THERE = "The guide's pages cannot be opened"

_TITLES = {
    PageStep.INBOX: NOT_THERE,
    PageStep.CONNECTED: TITLES[1],
    PageStep.SUBSCRIBED: TITLES[4],
    PageStep.WIDGET: NOT_THERE,
    PageStep.CHAT: TITLES[2],
    PageStep.SENT: TITLES[2],
    PageStep.NOTIFIED: TITLES[2],
    PageStep.SHOWN: TITLES[3],
    PageStep.IN_TIME: TITLES[3],
}

_NETWORK_TAB = "open the page in a browser of your own, with the network tab open (F12)"


@dataclass(slots=True)
class PageSymptoms:
    """What was seen of the step that broke."""

    broken: PageStep
    backend: str  # the backend that the pages talk to, as they say themselves; else the target
    waited: float = 0.0  # seconds
    detail: str = ""  # what the browser, the page or the backend said about it
    missing: str | None = None  # the first line of the guide that the console did not write
    console: Sequence[str] = ()  # what it wrote
    elsewhere: str = ""  # the backend of the pages, if it is not the target
    wants_token: bool = False
    latency: float | None = None  # from the click until the inbox had shown it
    counted: int | None = None  # the inbox's count of the chat, if it showed the chat at all
    update_target: float = 2.0  # seconds


def explain(sight: PageSymptoms) -> GuideProblem:
    """The guide's matching problem, in sentences, the likeliest cause first."""
    seen, causes, remedies = _found(sight)
    if sight.missing is not None:
        seen += f" The console did not say: {sight.missing}"
    return GuideProblem(_TITLES[sight.broken], seen, causes, remedies)


def _found(sight: PageSymptoms) -> tuple[str, list[str], list[str]]:
    waited, said = human(sight.waited), f": {sight.detail}" if sight.detail else ""
    match sight.broken:
        case PageStep.INBOX | PageStep.WIDGET if sight.elsewhere:
            return (
                f"The pages talk to the backend at {sight.elsewhere}, expected --target {sight.backend}.",
                ["the pages belong to another chat than --target", "the backend was given another --backend-url"],
                [f"say --target {sight.elsewhere}", "or start `chatswarm serve` with the right --backend-url"],
            )
        case PageStep.INBOX | PageStep.WIDGET:
            return (
                f"The page did not open{said}.",
                [
                    "`chatswarm serve` is not running, has --pages-port off, or left the pages out: the port was taken",
                    "they are on another port, or another application has this one",
                ],
                ["start `chatswarm serve`: it logs where its pages are", "compare that address with --pages"],
            )
        case PageStep.CONNECTED if sight.wants_token:
            return (
                "The inbox asks for a token.",
                ["the backend was started with --dashboard-token-file; this check gives no token"],
                ["check a backend without tokens, or follow the guide by hand"],
            )
        case PageStep.CONNECTED if any(line.startswith("🔌 Attempting") for line in sight.console):
            return (
                f"The inbox could not connect to the backend at {sight.backend} in {waited}.",
                [
                    "the backend is not running, or the pages look for it at the wrong address",
                    "it refuses this page's origin: with --origins, the pages' own must be listed",
                ],
                [
                    f"run `chatswarm check --target {sight.backend}`, which says what is wrong with its WebSocket",
                    "compare the address with the backend's --backend-url and --port",
                ],
            )
        case PageStep.CONNECTED:
            return (
                f"The inbox opened, and did not try to connect within {waited}{said}.",
                ["a script of the page failed or was not loaded", "the page is another application's"],
                [_NETWORK_TAB],
            )
        case PageStep.SUBSCRIBED:
            return (
                f"The inbox's WebSocket is open, but its subscription was not confirmed within {waited}.",
                ["the backend does not know the channel, or hangs", "it closed the socket in between"],
                ["look for `subscribed to chat_updates` in the backend's terminal", PROCESS_LOG],
            )
        case PageStep.CHAT:
            return (
                f"The contact form was sent, and no chat was created within {waited}{said}.",
                ["the backend refused the contact or the chat, or cannot be reached from the widget", *HANGS],
                [PROCESS_LOG, _NETWORK_TAB],
            )
        case PageStep.SENT:
            return (
                f"The message was written in the widget, and was not accepted within {waited}{said}.",
                ["the backend refused it, or could not store it", *HANGS],
                [PROCESS_LOG, _NETWORK_TAB],
            )
        case PageStep.NOTIFIED:
            return _not_notified(sight)
        case PageStep.SHOWN:
            count = "the chat was not in the list" if sight.counted is None else f"its count was {sight.counted}"
            return (
                f"The inbox was notified, but did not show text and count within {waited}; {count}.",
                [
                    "the list lacks the message: the backend announces before it commits, or caches the list",
                    "the refetch failed",
                    "the list holds only the chats with the newest activity, and this one was crowded out",
                ],
                ["look at GET /api/debug/users-chats in the network tab: its status, and whether it has the message"],
            )
        case PageStep.IN_TIME:
            return (
                f"The inbox showed it {human(sight.latency)} after the click; the target is {sight.update_target:g} s.",
                [
                    "the backend is slow to store, to announce, or to answer the list",
                    "this machine is too busy for a browser",
                ],
                [f"run `chatswarm check --target {sight.backend}`, which measures it without a browser"],
            )


def _not_notified(sight: PageSymptoms) -> tuple[str, list[str], list[str]]:
    waited = human(sight.waited)
    look = "look for `Broadcasting chat_updates to 1 subscriber(s)` in the backend's terminal"
    if any("notifications received in the last second" in line for line in sight.console):
        return (
            f"The inbox did not write the guide's lines for this message within {waited}.",
            ["the chat is in use: above 5 notifications a second, the inbox writes one line a second in their place"],
            ["check it when it is quiet, or without --browser"],
        )
    if any(line.startswith("🔌 WebSocket closed") for line in sight.console):
        return (
            f"The inbox's WebSocket was closed, and no notification came within {waited}.",
            ["the backend closed it while it stored or announced the message (a crash, a restart)", "the net broke"],
            [PROCESS_LOG],
        )
    if sight.missing is not None and not sight.missing.startswith("🔵"):
        return (
            f"The notification came, but the inbox did not handle it within {waited}.",
            ["a script of the page failed on it"],
            [_NETWORK_TAB],
        )
    return (
        f"The message was accepted, the inbox was subscribed, and no notification came within {waited}.",
        [
            "the backend stores the message without announcing it on chat_updates",
            "it announces it in another process than the inbox's, and no bus joins them",
        ],
        [look, "run one process, or give all of them the same bus"],
    )
