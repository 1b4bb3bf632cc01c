"""What a frame that differs on every connection costs the swarm more than a bare one, whose bytes all dashboards share.

Both from the socket's bytes to the row in the history, in one process, turn by turn.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .figure import Figure, fresh

MICROSECONDS = 3.0
MESSAGES, DASHBOARDS, ROUNDS = 200, 50, 15
RUN = "abcdefghij"
SHAPES = {"json": "JSON with a sequence number", "stomp": "a STOMP head", "wide": "JSON with text beyond ASCII"}


def figures() -> Iterator[Figure]:
    measured = fresh("intake")
    for shape, name in SHAPES.items():
        yield Figure(f"intake: {name}, more than a bare frame", measured[shape], MICROSECONDS, "µs")


@dataclass
class _Socket:
    received_at: float = 1.0


@dataclass
class _Progress:
    frames: int = 0


@dataclass
class _Plan:
    run: str = RUN


@dataclass
class _Node:
    """What the intake needs of the swarm's."""

    recorder: Any
    protocol: Any
    plan: _Plan = field(default_factory=_Plan)
    progress: _Progress = field(default_factory=_Progress)

    def note_text_not_shown(self, data: bytes) -> None:
        raise AssertionError(f"expected a frame with a text of this run, got {data!r}")


def _texts(alphabet: Any) -> list[str]:
    from chatswarm.loadtests.messages.identity import text_of

    return [text_of(RUN, 0, n, 120, alphabet) for n in range(MESSAGES)]


def _frames(shape: str) -> Sequence[Sequence[bytes]]:
    """By dashboard: the messages as that connection gets them."""
    texts = _texts("unicode" if shape == "wide" else "ascii")
    sequence = itertools.count(1)

    def frame(n: int, text: str) -> bytes:
        body = {
            "type": "message",
            "room": "room-1",
            "id": n,
            "user": "customer-0",
            "text": text,
            "sent_at": "2026-11-26",
        }
        if shape == "bare":
            body = {"type": "message", "room": "room-1", "id": n}
        elif shape == "stomp":
            head = f"MESSAGE\nsubscription:sub-0\nmessage-id:{next(sequence)}\ndestination:/topic/room-1\n\n"
            return head.encode() + json.dumps(body).encode() + b"\0"
        else:
            body["seq"] = next(sequence)
        return json.dumps(body, ensure_ascii=shape != "wide").encode()

    if shape == "bare":
        return [[frame(n, text) for n, text in enumerate(texts)]] * DASHBOARDS
    return [[frame(n, text) for n, text in enumerate(texts)] for _ in range(DASHBOARDS)]


def intakes(
    protocol: Any, folder: Path, dashboards: int, session: Callable[[], Any], room: str = ""
) -> tuple[Any, list[Callable[[Sequence[bytes]], object]]]:
    """A recorder, and what takes the frames of each dashboard."""
    from chatswarm.loadtests.swarm.intake import Intake
    from chatswarm.loadtests.swarm.pending_sends import PendingSends
    from chatswarm.loadtests.swarm.recorder import Recorder

    recorder = Recorder(folder, RUN, "swarm-0")
    node: Any = _Node(recorder, protocol)
    taking: list[Callable[[Sequence[bytes]], object]] = []
    for dashboard in range(dashboards):
        intake = Intake(node, None, dashboard, PendingSends(by_echo=False), None)  # type: ignore[arg-type]
        intake.begin(dashboard, room)
        intake.attach(_Socket(), session())  # type: ignore[arg-type]
        intake.subscribed = True
        taking.append(intake.take)
    return recorder, taking


def _round(
    recorder: Any, taking: Sequence[Callable[[Sequence[bytes]], object]], frames: Sequence[Sequence[bytes]]
) -> float:
    """CPU seconds for all messages on all dashboards, in the order in which a broadcast arrives."""
    begun = time.process_time()
    for message in zip(*frames, strict=True):
        for take, data in zip(taking, message, strict=True):
            take((data,))
    used = time.process_time() - begun
    recorder.flush()
    return used


def main() -> None:
    """Runs in a fresh process, because the recorder imports Locust, which patches the process."""
    from chatswarm.loadtests.protocols.protocol import PlainSession
    from tests.bench.intake_protocols import Bare, Numbered, Stomp

    protocols = {"bare": Bare(), "json": Numbered(), "stomp": Stomp(), "wide": Numbered()}
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            shape: intakes(protocol, Path(folder) / shape, DASHBOARDS, PlainSession)
            for shape, protocol in protocols.items()
        }
        frames = {shape: _frames(shape) for shape in protocols}
        used: dict[str, list[float]] = {shape: [] for shape in protocols}
        for _ in range(ROUNDS):
            for shape, (recorder, taking) in sides.items():
                used[shape].append(_round(recorder, taking, frames[shape]))
    each = {shape: median(seconds) / MESSAGES / DASHBOARDS * 1e6 for shape, seconds in used.items()}
    print(json.dumps({shape: each[shape] - each["bare"] for shape in SHAPES} | {"bare": each["bare"]}))


if __name__ == "__main__":
    main()
