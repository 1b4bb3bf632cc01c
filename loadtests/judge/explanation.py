"""Why a run went wrong: the causes of each finding, the most frequent first, and what no rule explains.

A case goes to the first rule whose evidence holds for it. What none explains is `unexplained`: nothing is blamed on a
hunch.
"""

import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from chatswarm.loadtests.causes.table import CAUSES
from chatswarm.loadtests.system.text import to_json

from .checks import CHECKS
from .checks.check import CheckResult
from .ledger.arrays import Ints
from .ledger.ledger import Ledger
from .rules import connections, faults, late, lists, load, patterns, store
from .rules.cases import Cases, cases_of
from .rules.claims import Certainty, Claim, Rule
from .rules.exclusions import facts_about
from .rules.facts import Facts
from .rules.ranking import ranking_of
from .rules.stations import reached
from .rules.words import dashboards, many
from .verdict import Example, Recovery, Verdict

EXAMPLES = 8
"""At most this many per cause."""

_PATTERNS: tuple[Rule, ...] = (
    patterns.one_worker, patterns.one_dashboard, patterns.one_whole_chat, patterns.every_kth,
    patterns.last_before_quiet, patterns.one_chat,
)  # fmt: skip

RULES: Mapping[str, tuple[Rule, ...]] = {
    "lost": (
        store.unacknowledged,
        store.never_stored,
        store.deleted,
        connections.never_subscribed,
        connections.never_reconnected,
        connections.not_a_member,
        connections.rejoin_not_sent,
        connections.not_recovered,
        connections.no_replay,
        connections.silent_socket,
        connections.connection_lost,
        lists.nobody_asked_again,
        connections.unreadable_frames,
        lists.list_fails,
        lists.list_window,
        patterns.one_worker,
        lists.stale_list,
        *_PATTERNS,
        faults.fault,
        patterns.same_dashboards,
        connections.frame_never_sent,
        lists.nobody_asked,
    ),
    "late": (
        late.rig,
        faults.fault,
        load.pauses,
        late.away,
        lists.growing_list,
        load.backlog,
        load.dashboards_in_turn,
        connections.frame_never_sent,
        lists.stale_list,
        late.slow_accept,
        late.slow_notify,
        late.asked_late,
        late.slow_list,
    ),
    "unnotified": (*_PATTERNS, faults.fault, patterns.same_dashboards, connections.frame_never_sent),
    "store_lost": (store.unacknowledged, *_PATTERNS, faults.fault, store.never_stored, store.deleted),
}
"""The rules of the findings that are not explained by what their check saw, in the order in which they are asked."""


class ExplainedCause(msgspec.Struct):
    """A cause of one finding."""

    id: str
    finding: str
    certainty: Certainty
    deliveries: int  # cases of the finding: deliveries, or where it counts something else, that
    coverage: float  # the share of the finding's cases, from 0 to 1
    sentence: str
    evidence: list[str]
    excluded: list[str]
    witness: str  # what happened to the first example, as far as it proves the cause
    examples: list[Example]
    likely: str
    next: str


class Unexplained(msgspec.Struct):
    """What no rule explains, and the attributes at which it is concentrated."""

    count: int = 0
    known: list[str] = []  # what holds for all of them
    ranking: list[str] = []
    by_finding: dict[str, int] = {}
    examples: list[Example] = []


class RunCauses(msgspec.Struct):
    """Why a run went wrong: what `chatswarm why --json` prints."""

    verdict: Literal["pass", "fail", "undecided"]
    size: str  # of the run, and its update target, in a sentence
    causes: list[ExplainedCause]
    unexplained: Unexplained
    reasons: list[str]  # why the verdict is undecided, or why nothing can be explained
    without: list[str] = []  # SLOs that were missed, and for which there are no rules

    def json(self) -> bytes:
        """The bytes that are printed."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"


@dataclass(frozen=True, slots=True)
class FindingCauses:
    """The causes of one finding, the most frequent first, and how many of its cases remain."""

    causes: list[ExplainedCause]
    unexplained: int
    known: list[str]  # what holds for all unexplained ones
    ranking: list[str]
    examples: list[Example]  # of them


def explain(
    ledger: Ledger, results: Mapping[str, CheckResult], recoveries: Sequence[Recovery], names: Iterable[str] = CHECKS
) -> dict[str, FindingCauses]:
    """The causes of each of the findings with these names that were made."""
    facts = Facts(ledger, recoveries)
    return {name: _safely(facts, name, results[name]) for name in names if results[name].count}


def _safely(facts: Facts, name: str, result: CheckResult) -> FindingCauses:
    """The causes; if a rule crashes, all cases are unexplained, and it is known why."""
    try:
        return _explained(facts, name, result)
    except Exception as error:  # noqa: BLE001 - a crash must not end the judgement, or look like a cause
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        return FindingCauses(
            [], result.count or 0, [f"internal error, please report it: a rule crashed: {what}"], [], []
        )


def doubted(found: FindingCauses) -> FindingCauses:
    """The same of a finding that is undecided: what may not be so has no proven cause, but for the load generator."""
    causes = [
        cause if cause.id == "rig" else msgspec.structs.replace(cause, certainty="probable") for cause in found.causes
    ]
    return replace(found, causes=causes)


def explain_slow(
    ledger: Ledger, recoveries: Sequence[Recovery], limit: float, expectation: str
) -> FindingCauses | None:
    """Why deliveries took longer than `limit` seconds, which made the SLO fail; None if none did."""
    stricter = replace(ledger, scenario=replace(ledger.scenario, update_target=limit))
    count = int(stricter.late.sum())
    return _explained(Facts(stricter, recoveries), "late", CheckResult(count), expectation) if count else None


def explanation_of(verdict: Verdict, found: Mapping[str, FindingCauses], target: float) -> RunCauses:
    """All causes of a judged run, by finding; `found` as in `explain`. `target`: the update target in seconds."""
    counts = {name: each.unexplained for name, each in found.items() if each.unexplained}
    return RunCauses(
        verdict=verdict.verdict,
        size=f"{many(verdict.messages.accepted, 'message')} accepted, {verdict.deliveries.expected:,} deliveries "
        f"expected on {many(verdict.dashboards, 'dashboard')}, update target {target:g} s",
        causes=[cause for each in found.values() for cause in each.causes],
        unexplained=Unexplained(
            sum(counts.values()),
            [f"{name}: {text}" for name in counts for text in found[name].known],
            [f"{name}: {text}" for name in counts for text in found[name].ranking],
            counts,
            [example for name in counts for example in found[name].examples],
        ),
        reasons=verdict.reasons,
        without=[result.expect for result in verdict.slos if result.outcome == "fail" and result.expect not in found],
    )


def sentence_of(found: FindingCauses, finding: str) -> str:
    """Why there is this finding, in a sentence: its first cause, and how much more there is."""
    if not found.causes:
        where = f"; {found.ranking[0]}" if found.ranking else ""
        return f"{found.unexplained:,} {finding}: unexplained{where}"
    first = found.causes[0]
    text = f"{first.deliveries:,} {finding}: {first.sentence}"
    if first.certainty == "probable":
        text += " (probable)"
    others = sum(cause.deliveries for cause in found.causes) - first.deliveries
    rest = [f"{others:,} for {many(len(found.causes) - 1, 'other cause')}"] if others else []
    rest += [f"{found.unexplained:,} unexplained"] if found.unexplained else []
    return f"{text}; {', '.join(rest)}" if rest else text


def _explained(facts: Facts, name: str, result: CheckResult, label: str = "") -> FindingCauses:
    """`label`: what was expected, where it is not the finding that was made."""
    cases = cases_of(facts.ledger, name, result)
    claims = _claims(facts, cases)
    causes = [_cause(facts, mine, claim, label or name) for mine, claim in claims]
    left = max(0, cases.count - sum(cause.deliveries for cause in causes))
    rest = np.ones(len(cases), bool)
    for mine, claim in claims:
        rest[mine.row[claim.rows]] = False
    causes.sort(key=lambda cause: -cause.deliveries)
    if not left:
        return FindingCauses(causes, 0, [], [], [])
    others = cases.only(np.flatnonzero(rest))
    known = [*reached(facts, others), *facts_about(facts, others)]
    examples = [_example(facts.ledger, others, row) for row in _varied(others)]
    return FindingCauses(causes, left, known, ranking_of(facts, others), examples)


def _claims(facts: Facts, cases: Cases) -> list[tuple[Cases, Claim]]:
    """Each claim, with the cases that its rule was asked about."""
    claims = []
    if len(cases.kind):
        for kind in dict.fromkeys(cases.kind):
            rows = np.flatnonzero([each == kind for each in cases.kind])
            words = dashboards(cases.dashboard[rows]) if (cases.dashboard[rows] >= 0).all() else "dashboards"
            names = {"dashboards": words, "damage": kind.words, "answer": kind.words}
            claims.append((cases, Claim(kind.cause, rows, words=names)))
        return claims
    left, again = cases, set[str]()
    for rule in RULES.get(cases.finding, ()):
        if cases.step > 1 and rule in _NEED_ALL:
            continue
        while len(left) and (claim := rule(facts, left)) is not None:
            if claim.cause in again:
                # The first one is taken away: of all together, it would not hold.
                claim = replace(claim, certainty="probable")
            again.add(claim.cause)
            claims.append((left, claim))
            rest = np.ones(len(left), bool)
            rest[claim.rows] = False
            left = left.only(np.flatnonzero(rest))
            if claim.cause not in _AGAIN:
                break
    return claims


_NEED_ALL: frozenset[Rule] = frozenset((*_PATTERNS, patterns.same_dashboards, faults.fault, load.dashboards_in_turn))
"""Rules about all cases together: a part of them may have more in common than all have."""

_AGAIN = ("one_dashboard", "one_chat", "fault")
"""Causes that may hold for what is left as well, with another dashboard, chat or fault."""


def _cause(facts: Facts, cases: Cases, claim: Claim, finding: str) -> ExplainedCause:
    cause = CAUSES[claim.cause]
    rows = claim.rows
    words = _Words({**claim.words, "was": "was" if _ONE.fullmatch(claim.words.get("dashboards", "")) else "were"})
    common = patterns.in_common(facts, cases, claim)
    remark = faults.during(facts, cases, rows) if claim.cause != "fault" else ""
    part = [f"worked out from one in {cases.step} of them, chosen at random"] if cases.step > 1 else []
    deliveries = cases.counted(len(rows))
    chosen = _varied(cases, rows, claim.best)
    return ExplainedCause(
        id=cause.id,
        finding=finding,
        certainty=claim.certainty,
        deliveries=deliveries,
        coverage=round(deliveries / max(1, cases.count), 4),
        sentence=cause.sentence.format_map(words).strip() + (f" ({'; '.join(common)})" if common else ""),
        evidence=[*reached(facts, cases.only(rows)), *claim.evidence, *([remark] if remark else []), *part],
        excluded=facts_about(facts, cases.only(rows), cause.id),
        witness=claim.witness,
        examples=[example for row in chosen if (example := _example(facts.ledger, cases, row)) != Example()],
        likely=cause.likely.format_map(words),
        next=cause.next.format_map(words),
    )


_ONE = re.compile(r"dashboard \d+")


def _varied(cases: Cases, rows: Ints | None = None, best: int | None = None) -> list[int]:
    """Some of the rows: the clearest, if it is known, then others from all over the run, each of another message."""
    rows = np.arange(len(cases)) if rows is None else rows
    spread = rows[np.unique(np.linspace(0, len(rows) - 1, 4 * EXAMPLES).astype(np.int64))] if len(rows) else rows
    chosen = spread if best is None else np.concatenate([rows[best : best + 1], spread])
    seen: dict[int, int] = {}
    for row in chosen.tolist():
        message = int(cases.message[row])
        seen.setdefault(message if message >= 0 else -1 - row, row)
    several = list(seen.values())
    step = max(1, len(several) // EXAMPLES)
    return [several[0], *several[1:][::step]][:EXAMPLES] if several else []


class _Words(dict[str, str]):
    """What a sentence asks for and the rule does not know is left out."""

    def __missing__(self, key: str) -> str:
        return "…"


def _example(ledger: Ledger, cases: Cases, row: int) -> Example:
    if cases.delivery[row] >= 0:
        return ledger.example_of(int(cases.delivery[row]))
    dashboard = int(cases.dashboard[row]) if cases.dashboard[row] >= 0 else None
    if cases.message[row] < 0:
        return Example(dashboard=dashboard)
    return ledger.example(int(cases.message[row]), dashboard)
