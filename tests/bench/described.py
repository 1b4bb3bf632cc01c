"""What a new message costs the swarm by each shipped protocol file, in times of the class `push`.

From the socket's bytes to the row in the history, in one process, turn by turn. The frames are those of the transcripts
in tests/contract/, with other texts.
"""

import contextlib
import json
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import Described, Description, read_description
from chatswarm.loadtests.protocols.protocol import Kind, PlainSession, Unreadable
from chatswarm.loadtests.protocols.push import Push

from .figure import ROOT, Figure, fresh
from .intake import RUN, intakes

TIMES = 2.5
MESSAGES, ROUNDS = 1000, 25
SIDE = "the class push"
NUMBER = '"message_id":1,'
"""What differs where frames have no text."""


def figures() -> Iterator[Figure]:
    measured = fresh("described")
    side = measured.pop(SIDE)
    for name, microseconds in measured.items():
        yield Figure(f"intake: {name}.toml ({microseconds:.1f} µs, push {side:.1f})", microseconds / side, TIMES, "×")


def _transcript(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "tests/contract/transcripts" / f"{name}.toml").read_text(encoding="utf-8"))


def _frames(name: str) -> Sequence[Sequence[bytes]]:
    """By round: a frame of the transcript that has one message, with another text or number each time."""
    from chatswarm.loadtests.messages.identity import text_of

    said = [line["in"] for line in _transcript(name)["line"] if "in" in line]
    rules = _description(name).rules
    for one in [*said, *(part for each in said for part in each.split("\n"))]:
        with contextlib.suppress(Unreadable):
            shown = [frame.text for frame in rules.read(one.encode()) if frame.kind is Kind.MESSAGE]
            if len(shown) == 1 and (shown[0] or NUMBER) in one:
                old = shown[0] or NUMBER
                new = [
                    text_of(RUN, 0, n, 120) if shown[0] else NUMBER.replace("1", str(n))
                    for n in range(ROUNDS * MESSAGES)
                ]
                made = [one.replace(old, each).encode() for each in new]
                return [made[at : at + MESSAGES] for at in range(0, len(made), MESSAGES)]
    raise ValueError(f"expected a frame with a message in the transcript of {name}, got none")


def _description(name: str) -> Description:
    return read_description(shipped()[name].read_text(encoding="utf-8"), name)


def _side(name: str, folder: Path) -> tuple[Any, Callable[[Sequence[bytes]], object]]:
    """What takes the frames of one dashboard by a file."""
    transcript = _transcript(name)
    protocol = Described(_description(name), transcript.get("environment", {}))
    user = protocol.user("dashboard", 0, RUN, transcript["user"])
    room = transcript["room"] if protocol.promises.one_room else ""
    recorder, (take,) = intakes(protocol, folder, 1, lambda: protocol.session(user, room=room), room)
    return recorder, take


def _round(recorder: Any, take: Callable[[Sequence[bytes]], object], frames: Sequence[bytes]) -> float:
    begun = time.process_time()
    for data in frames:
        take((data,))
    used = time.process_time() - begun
    recorder.flush()
    return used


def main() -> None:
    """Runs in a fresh process, because the recorder imports Locust, which patches the process."""
    with tempfile.TemporaryDirectory() as folder:
        recorder, (take,) = intakes(Push(), Path(folder) / "push", 1, PlainSession)
        sides = {SIDE: (recorder, take)} | {name: _side(name, Path(folder) / f"{name}.toml") for name in shipped()}
        frames = {name: _frames("push" if name == SIDE else name) for name in sides}
        used: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(ROUNDS):
            for name, side in sides.items():
                used[name].append(_round(*side, frames[name][number]))
    print(json.dumps({name: median(seconds) / MESSAGES * 1e6 for name, seconds in used.items()}))


if __name__ == "__main__":
    main()
