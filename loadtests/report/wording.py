"""How figures and cases read in words, the same in the terminal and in every report. Values in, one plain line out."""

from chatswarm.loadtests.judge.verdict import Example, SloResult, Verdict
from chatswarm.loadtests.scenario import slo
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

MARKS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "undecided": "?"}
MEANINGS = {
    "lost": "accepted, but not visible on a dashboard by the end of the drain",
    "store_lost": "accepted, but absent from the final read",
    "unnotified": "visible, but the dashboard was never told: a later refetch healed it",
    "late": "visible after the update target",
    "duplicated": "shown or announced more than once",
    "reordered": "shown in another order than sent, or in different orders",
    "phantom": "shown or announced, but rejected or never sent",
    "vanished": "shown once, and gone from a later read",
    "corrupted": "shown with another text than the one sent",
    "misplaced": "shown in another chat",
    "silent_socket": "a subscribed socket on which nothing came while announcements were due",
    "refused": "sends rejected or unanswered",
    "absent": "planned dashboards that never subscribed, or were gone at the end",
}
"""What each finding means."""


def number(value: float | None) -> str:
    """A count or a plain number: `12,345`, `0.25`, `–` where nothing was measured."""
    return "–" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"


def actual(result: SloResult) -> str:
    """What an SLO's left side came to."""
    is_time = any(map(slo.is_latency, slo.parse(result.expect).left.metrics()))
    if result.actual is None:
        failed = "some were lost" if is_time else "cannot hold"
        return failed if result.outcome == "fail" else "not measured"
    return human(result.actual) if is_time else number(result.actual)


def share_of_limit(result: SloResult) -> float | None:
    """How much of its limit a latency took: 0.5 is half of it. None where the SLO has no such limit, or no value."""
    limit = slo.parse(result.expect).limit()
    return None if limit is None or result.actual is None or limit <= 0 else result.actual / limit


def margin(result: SloResult) -> str:
    """How far a latency is from its limit; empty where that says nothing."""
    share = share_of_limit(result)
    if share is None:
        return ""
    return f"{share:.0%} of the limit" if share < 10 else f"{share:.0f} × the limit"


def example(case: Example) -> str:
    """One case of a finding, in a line."""
    parts = []
    if case.uid:
        parts.append(f"message {case.uid}")
    if case.dashboard is not None:
        parts.append(f"dashboard {case.dashboard}")
    if case.intended is not None:
        parts.append(f"intended at {case.intended:.3f} s")
    for stage in ("accepted", "notified", "visible"):
        at = getattr(case, stage)
        if at is not None and case.intended is not None:
            parts.append(f"{stage} {human(at - case.intended)} later")
    if case.fault:
        parts.append(f"during {case.fault}")
    return one_line(", ".join(parts + ([case.detail] if case.detail else [])))


def evidence(value: float | str) -> str:
    """A value of a fault's evidence."""
    return number(value) if isinstance(value, (int, float)) else one_line(value)


def size(verdict: Verdict) -> str:
    """How big the run was, and its seed."""
    return (
        f"{verdict.dashboards} dashboards, {verdict.widgets} widgets, {verdict.seconds:.1f} s measured, "
        f"seed {verdict.seed}"
    )


def account(verdict: Verdict) -> str:
    """What became of the messages and deliveries, in two sentences."""
    return "".join(text for text, _ in account_parts(verdict))


def account_parts(verdict: Verdict) -> list[tuple[str, Outcome]]:
    """The same in pieces, each with what it speaks for."""
    messages, deliveries = verdict.messages, verdict.deliveries
    parts: list[tuple[str, Outcome]] = [(f"{messages.accepted:,} of {messages.intended:,} messages accepted", "pass")]
    if messages.rejected or messages.unknown:
        parts.append((f" ({messages.rejected:,} rejected, {messages.unknown:,} with no clear answer)", "fail"))
    if messages.rig_failed:
        parts.append((f" ({messages.rig_failed:,} failed on the load generator's side)", "undecided"))
    shown = f". On their dashboards: {deliveries.expected:,} deliveries = {deliveries.visible:,} visible"
    parts += [(shown, "pass"), (f" + {deliveries.lost:,} lost", "fail" if deliveries.lost else "pass")]
    if deliveries.excused:
        parts.append((f" + {deliveries.excused:,} excused (older than the list shows)", "pass"))
    if deliveries.unproven:
        parts.append((f" + {deliveries.unproven:,} unproven", "undecided"))
    return [*parts, (".", "pass")]


def headline(verdict: Verdict) -> str:
    """Why the verdict is what it is, in a sentence."""
    return one_line(_headline(verdict))


def _headline(verdict: Verdict) -> str:
    failed = [result.expect for result in verdict.slos if result.outcome == "fail"]
    found = [f"{finding.check} ({finding.count:,})" for finding in verdict.findings if finding.outcome == "fail"]
    if verdict.exit_code == 70:
        return "chatswarm contradicts itself: please report it."
    if verdict.verdict == "fail":
        parts = [f"{_many(len(failed), 'SLO')} missed: {', '.join(failed)}"] if failed else []
        parts += [f"found: {', '.join(found)}"] if found else []
        return f"{'; '.join(parts)}."[:1].upper() + f"{'; '.join(parts)}."[1:]
    if verdict.verdict == "undecided":
        first = verdict.reasons[0] if verdict.reasons else "what was measured decides nothing"
        more = f" (and {_many(len(verdict.reasons) - 1, 'more reason')})" if len(verdict.reasons) > 1 else ""
        return f"Nothing was proven either way, because {first}{more}."
    held = {0: "", 1: " Its SLO holds."}.get(len(verdict.slos), f" All {len(verdict.slos)} SLOs hold.")
    return f"Every accepted message is accounted for on every dashboard.{held}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
