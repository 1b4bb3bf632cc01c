"""The chats, by their names on the command line."""

from collections.abc import Callable
from functools import partial

from tests.plants.push import PushChat
from tests.plants.push.leaking import LetsStrangersJoin, LetsStrangersRead
from tests.plants.push.losing import ReplaysNothing

from .accepting import AnswersBeforeTheCommit, DropsWhatWaited, SwallowsStoreErrors
from .chat import Chat
from .connecting import LetsEverybodyIn, NoLimits, OneFrameInFlight, SlowHandshakes
from .ending import ForgetsToSayGoodbye
from .tutorial import AwaitsEachDashboard, DiesOfBadFrames
from .workers import PublishesAtMostOnce, PublishesLater

CLEAN = "clean"

CHATS: dict[str, type[Chat]] = {
    CLEAN: Chat,
    "awaits-each-dashboard": AwaitsEachDashboard,
    "answers-before-the-commit": AnswersBeforeTheCommit,
    "drops-what-waited": DropsWhatWaited,
    "swallows-store-errors": SwallowsStoreErrors,
    "publishes-at-most-once": PublishesAtMostOnce,
    "publishes-later": PublishesLater,
    "one-frame-in-flight": OneFrameInFlight,
    "slow-handshakes": SlowHandshakes,
    "dies-of-bad-frames": DiesOfBadFrames,
    "no-limits": NoLimits,
    "lets-everybody-in": LetsEverybodyIn,
    "forgets-to-say-goodbye": ForgetsToSayGoodbye,
}
"""Each class's docstring says which promise it breaks."""

PUSH_CLEAN = "push-clean"

PUSH_CHATS: dict[str, Callable[[], PushChat]] = {
    PUSH_CLEAN: PushChat,
    "forgets-when-killed": PushChat,
    "replays-nothing": partial(ReplaysNothing, closes_every=0),
    "lets-strangers-join-rooms": LetsStrangersJoin,
    "lets-strangers-read-rooms": LetsStrangersRead,
}
"""Chats that speak the protocol `push`: the plants. They keep everything in memory only. In the clean one, rooms are
only for their members, and what was missed is replayed."""
