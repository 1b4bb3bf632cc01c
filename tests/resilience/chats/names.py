"""The chats, by their names on the command line."""

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
