"""What `chatswarm compare` was asked for, read from its options. Problems are collected, so all are told at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.flags import read_flag
from chatswarm.loadtests.system.units import seconds

from .arguments import is_url, parse_backend, parse_share
from .decide import CompareSettings
from .metrics import metrics_of
from .verdicts import ComparisonRules

_STRICTER = 0.3
"""How much of the error a comparison may make at each of its looks: see `verdicts.UNTIL_DECIDED`."""


@dataclass(frozen=True)
class SideRequest:
    """One side of a comparison that makes its runs: a chat by its URL, or the reference chat with flags."""

    url: str | None
    flags: Mapping[str, object]

    @property
    def name(self) -> str:
        """For people."""
        words = (f"--{key.replace('_', '-')} {_word(value)}".rstrip() for key, value in self.flags.items())
        return self.url or " ".join(["the reference chat", *words])

    def applied_to(self, scenario: Scenario) -> Scenario:
        """The scenario with these flags of the chat that is started for it, besides its own."""
        backend = {**scenario.backend, **self.flags}
        return replace(scenario, backend=backend, table={**scenario.table, "backend": backend})


@dataclass(frozen=True)
class CompareRequest:
    """The words and options that say what is compared, as they were given."""

    base: Sequence[str]
    new: Sequence[str]
    base_backend: str | None = None
    new_backend: str | None = None
    live_options: Mapping[str, object] | None = None
    """The options that are only for comparisons that make their runs, by flag, with a value if they were given."""

    @property
    def is_live(self) -> bool:
        """Whether the runs are still to be made."""
        return self.base_backend is not None or self.new_backend is not None or any(map(is_url, self._words))

    @property
    def _words(self) -> list[str]:
        return [*self.base, *self.new]

    def folders(self, problems: list[str]) -> tuple[list[Path], list[Path]]:
        """Both sides' folders, for a comparison of runs that were made. What is wrong is added to `problems`."""
        if not self.base or not self.new:
            problems.append("expected BASE... --against NEW...: folders of runs, or the URLs of two chats")
        wrong = [flag for flag, value in (self.live_options or {}).items() if value]
        if wrong and self._words:
            problems.append(f"{', '.join(wrong)}: expected chats and no recorded runs, got the folder {self._words[0]}")
        return [Path(word) for word in self.base], [Path(word) for word in self.new]

    def chats(self, problems: list[str]) -> tuple[SideRequest, SideRequest]:
        """Both sides, for a comparison that makes its runs. What is wrong is added to `problems`.

        Beside flags of the reference chat, a side that was not given is the reference chat without flags.
        """
        base_flags, new_flags = self.base_backend, self.new_backend
        if base_flags is None and not self.base and new_flags is not None:
            base_flags = ""
        if new_flags is None and not self.new and base_flags is not None:
            new_flags = ""
        base = _side("BASE", self.base, "--base-backend", base_flags, problems)
        return base, _side("--against", self.new, "--new-backend", new_flags, problems)


def _side(where: str, words: Sequence[str], flag: str, backend: str | None, problems: list[str]) -> SideRequest:
    if len(words) + (backend is not None) != 1:
        got = ", ".join([*words, *([f"{flag} {backend!r}"] if backend is not None else [])]) or "neither"
        problems.append(f"{where}: expected the URL of one chat, or flags of the reference chat ({flag}), got {got}")
        return SideRequest(None, {})
    if backend is not None:
        return SideRequest(None, read_flag(flag, parse_backend, backend, problems) or {})
    address = read_flag(where, parse_address, words[0], problems)
    return SideRequest(None if address is None else address.url, {})


def unreachable(*sides: SideRequest) -> list[str]:
    """Why a chat that is to be compared does not answer; empty if all do."""
    problems = [http_problem(side.url) for side in sides if side.url is not None]
    return [problem for problem in problems if problem is not None]


def read_settings(
    on: Sequence[str],
    margin: str,
    confidence: str,
    problems: list[str],
    *,
    assume_no_drift: bool = False,
    until_decided: bool = False,
) -> CompareSettings:
    """What is compared, and what a claim needs. What is wrong is added to `problems`."""
    metrics = read_flag("--on", lambda _: metrics_of(on), "", problems) if on else ()
    share = read_flag("--margin", parse_share, margin, problems)
    sure = read_flag("--confidence", parse_share, confidence, problems)
    settings = CompareSettings(metrics or (), assume_no_drift=assume_no_drift)
    if share is None or sure is None:
        return settings
    try:
        rules = ComparisonRules(1 - _STRICTER * (1 - sure) if until_decided else sure, share)
    except ValueError as error:
        problems.append(f"--margin, --confidence: {error}")
        return settings
    return replace(settings, rules=rules)


def read_time(text: str | None, problems: list[str]) -> float | None:
    """The seconds of `--max-time`. What is wrong is added to `problems`."""
    return None if text is None else read_flag("--max-time", seconds, text, problems)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
