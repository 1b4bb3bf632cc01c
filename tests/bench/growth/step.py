"""One step of growth: a short run against a fresh reference chat, and what it cost both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.bench.swarm_run import SwarmRun, cpu_of_tree, reference_chat

from .law import SECOND

Mode = Literal["refetch", "push"]
Side = Literal["rig", "chat"]
MODES: tuple[Mode, ...] = ("refetch", "push")
SIDES: tuple[Side, ...] = ("rig", "chat")


@dataclass(frozen=True)
class GrowthStep:
    """A load, what happened, and the CPU seconds of the rig and of the chat from T0 to the end of the drain."""

    mode: Mode
    dashboards: int
    rate: int
    counts: Mapping[str, float]
    """How many seconds, messages, deliveries, refetches and reads. Frames that come together are one read."""
    cpu: Mapping[Side, float]
    visible_p99: float | None
    """In seconds. None: it falls among the lost."""
    is_sound: bool
    """Whether the rig was."""

    def cores(self, side: Side) -> float:
        """CPU seconds per second of load."""
        return self.cpu[side] / self.counts[SECOND]


def measure_step(mode: Mode, dashboards: int, rate: int) -> GrowthStep:
    """Runs a step. Raises NotMeasuredError."""
    is_push = mode == "push"
    flags = {"dashboards": dashboards, "rate": rate, "protocol": "push" if is_push else "reference"}
    with reference_chat({"push": True} if is_push else None) as chat:
        run = SwarmRun(f"growth-{mode}", {**flags, "target": chat.url})
        measured = run.perform(lambda: cpu_of_tree(chat.pid))
    verdict = measured.verdict
    counts = {
        SECOND: verdict.seconds,
        "message": verdict.messages.accepted,
        "delivery": verdict.deliveries.visible,
        "read": measured.reads,
        **({} if is_push else {"refetch": verdict.latency.refetch.count}),
    }
    cpu: dict[Side, float] = {"rig": measured.cpu, "chat": measured.beside}
    return GrowthStep(mode, dashboards, rate, counts, cpu, verdict.latency.visible.p99, verdict.rig.sound)
