"""Live comparisons of two chats whose frames come as late on both, or 20 % later on the new one."""

import random
from pathlib import Path
from typing import Any, Literal, get_args

from tests.e2e.command import scenario
from tests.plants import serving
from tests.plants.latency import NoisyFrames

from .trial import Trial, tried

ComparedPair = Literal["alike", "+20 %"]
PAIRS: tuple[ComparedPair, ...] = get_args(ComparedPair)
SLOWER: dict[ComparedPair, float] = {"alike": 1.0, "+20 %": 1.2}
NOISE = 0.08
"""The relative standard deviation of the delay between runs."""
_TYPICAL = 0.25  # seconds
_SCENARIO = """
[swarm]
dashboards = 4
widgets = 3
rate = 10
duration = "2s"
ramp = "0.3s"
update_target = "2s"
drain = "4s"
"""


def compare(pair: ComparedPair, number: int, folder: Path) -> Trial:
    """One comparison of six pairs of runs. `number` seeds the noise of both chats."""
    base = NoisyFrames(typical=_TYPICAL, noise=NOISE, draws=random.Random(f"{number} base"))
    new = NoisyFrames(typical=_TYPICAL * SLOWER[pair], noise=NOISE, draws=random.Random(f"{number} new {pair}"))
    with serving(base) as old_url, serving(new) as new_url:
        words = ["compare", old_url, "--against", new_url, "--scenario", scenario(folder, _SCENARIO)]
        words += ["--on", "notified.p50", "--repeat", "6", "--out", str(folder / "runs")]
        return tried(f"compare, {pair}", words, folder, lambda code, result: judged(pair, code, result))


def judged(pair: ComparedPair, code: int, result: dict[str, Any]) -> tuple[str, str]:
    """What a comparison found, and what is wrong with it."""
    outcome, ratio = result["outcome"], result["metrics"][0]["ratio"]
    found = f"{outcome}: × {ratio['estimate']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else outcome
    if result["reasons"]:
        return found, result["reasons"][0]
    if (outcome == "worse") is not (code == 1):
        return found, f"{outcome}, but exit code {code}"
    if pair == "alike":
        return found, f"told apart as {outcome}" if outcome in ("worse", "better") else ""
    return found, "" if outcome == "worse" else f"not told: {outcome}"
