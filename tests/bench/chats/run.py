"""One run of a scenario against a real server, as the figures of its verdict."""

import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w

from tests.bench.row import NotMeasuredError
from tests.bench.swarm_run import SCENARIOS, cpu_of_machine
from tests.protocols.catalogue import Chat
from tests.protocols.runs import perform_against
from tests.servers.server import UnavailableError

Kind = Literal["push", "cut", "kill", "slow-reader"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The scenarios, in `tests/bench/scenarios/chats-….toml`."""


@dataclass(frozen=True)
class ChatRun:
    """What one run showed. Seconds; None: not measured. Of an undecided run nothing counts."""

    chat: str
    version: str
    kind: Kind
    verdict: str
    reasons: Sequence[str]
    p50: float | None
    p99: float | None
    """`visible`. None with samples: it falls among the lost."""
    samples: int
    expected: int
    lost: int
    gap: int | None
    duplicated: int | None
    recovery: float | None
    recovery_at_least: float | None
    busy: float
    """Cores that all programs of the machine used, on average, the run among them."""

    @property
    def decided(self) -> bool:
        return self.verdict in ("pass", "fail")


def round_of(chats: Sequence[Chat], number: int) -> list[Chat]:
    """The servers in a round: each round is followed by the same backwards, and the next two by another beginning."""
    first = number // 2 % len(chats)
    turned = [*chats[first:], *chats[:first]]
    return turned[::-1] if number % 2 else turned


def measure_chat(chat: Chat, kind: Kind) -> ChatRun:
    """Runs a scenario against a fresh server. Raises NotMeasuredError if it cannot be had here."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = folder / f"{kind}.toml"
        content = tomllib.loads((SCENARIOS / f"chats-{kind}.toml").read_text(encoding="utf-8"))
        if chat.rooms:
            content["rooms"] = dict(chat.rooms)
        scenario.write_text(tomli_w.dumps(content), encoding="utf-8")
        try:
            version = chat.server.version()
            with chat.server.running(folder / "server") as running:
                before, began = cpu_of_machine(), time.monotonic()
                ended = perform_against(chat, running, scenario, folder, kills=kind == "kill")
                busy = (cpu_of_machine() - before) / (time.monotonic() - began)
        except UnavailableError as error:
            raise NotMeasuredError(str(error)) from None
        if not ended.verdict:
            raise NotMeasuredError(f"{kind}: expected a verdict, got: {ended.said.strip()[-300:]}")
        return run_of(chat.name, version, kind, ended.verdict, busy)


def run_of(chat: str, version: str, kind: Kind, verdict: Mapping[str, Any], busy: float) -> ChatRun:
    """The figures of a verdict, as it is in `verdict.json`."""
    visible, deliveries = verdict["latency"]["visible"], verdict["deliveries"]
    recovered: Mapping[str, Any] = next(iter(verdict["recoveries"]), {})
    # Readers that stall strike nobody else, so there is nothing to recover from.
    strikes = kind in ("cut", "kill")
    return ChatRun(
        chat, version, kind, verdict["verdict"], verdict["reasons"], visible["p50"], visible["p99"], visible["count"],
        deliveries["expected"], deliveries["lost"], deliveries["gap"], verdict["counts"]["duplicated"],
        recovered.get("whole_again") if strikes else None, recovered.get("at_least") if strikes else None,
        round(busy, 3),
    )  # fmt: skip
