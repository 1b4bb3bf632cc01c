"""Puts figures and findings into words, the same in the terminal and in every report."""

from chatswarm.loadtests.judge.verdict import Example, SloResult, Verdict
from chatswarm.loadtests.scenario import slo
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

MARKS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "undecided": "?"}
MEANINGS = {
    "lost": "accepted, but not visible on a dashboard by the end of the drain",
    "store_lost": "accepted, but absent from the final read",
    "unnotified": "visible thanks to a later refetch, but no frame announced it",
    "late": "visible later than the update target",
    "duplicated": "shown or announced more than once",
    "reordered": "shown in a different order from the one sent, or from another read",
    "phantom": "shown or announced, although rejected or never sent",
    "vanished": "shown once, and missing from a later read",
    "corrupted": "shown with a different text from the one sent",
    "misplaced": "shown in the wrong chat",
    "silent_socket": "a subscribed connection that received nothing while frames were due",
    "refused": "sends rejected, or without a clear response",
    "absent": "planned dashboards that never subscribed, or were disconnected at the end",
    "leaked": "shown to a dashboard that is no member of the room, or to strangers who were let in",
}
"""What each finding means."""


def number(value: float | None) -> str:
    """A count or a plain number: `12,345`, `0.25`; `–` if not measured."""
    return "–" if value is None else f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"


def actual(result: SloResult) -> str:
    """The value of an SLO's left side."""
    is_time = any(map(slo.is_latency, slo.parse(result.expect).left.metrics()))
    if result.actual is None:
        failed = "some were lost" if is_time else "cannot hold"
        return failed if result.outcome == "fail" else "not measured"
    return human(result.actual) if is_time else number(result.actual)


def share_of_limit(result: SloResult) -> float | None:
    """A latency as a share of its limit: 0.5 is half of it. None if the SLO has no such limit, or no value."""
    limit = slo.parse(result.expect).limit()
    return None if limit is None or result.actual is None or limit <= 0 else result.actual / limit


def margin(result: SloResult) -> str:
    """A latency relative to its limit, in words; empty if the SLO has no such limit."""
    share = share_of_limit(result)
    if share is None:
        return ""
    return f"{share:.0%} of the limit" if share < 10 else f"{share:.0f} × the limit"


def example(case: Example) -> str:
    """One example of a finding, in one line."""
    parts = []
    if case.uid:
        parts.append(f"message {case.uid}")
    if case.dashboard is not None:
        parts.append(f"dashboard {case.dashboard}")
    if case.intended is not None:
        parts.append(f"intended at {case.intended:.3f} s")
    for event in ("accepted", "notified", "visible"):
        at = getattr(case, event)
        if at is not None and case.intended is not None:
            parts.append(f"{event} {human(at - case.intended)} later")
    if case.fault:
        parts.append(f"during {case.fault}")
    if case.trace:
        parts.append(f"trace {case.trace}")
    return one_line(", ".join(parts + ([case.detail] if case.detail else [])))


def causes(verdict: Verdict) -> list[str]:
    """Why there are findings and missed SLOs that fail the run or leave it undecided, in a sentence each."""
    missed = [result.cause for result in verdict.slos if result.cause and result.outcome != "pass"]
    return missed + [finding.cause for finding in verdict.findings if finding.cause and finding.outcome != "pass"]


def evidence(value: float | str) -> str:
    """A value of a fault's evidence."""
    return number(value) if isinstance(value, (int, float)) else one_line(value)


def size(verdict: Verdict) -> str:
    """The size of the run, and its seed."""
    rooms = "" if verdict.rooms is None else f"{verdict.rooms} room{'s' if verdict.rooms != 1 else ''}, "
    return (
        f"{verdict.dashboards} dashboards, {verdict.widgets} widgets, {rooms}{verdict.seconds:.1f} s measured, "
        f"seed {verdict.seed}"
    )


def account(verdict: Verdict) -> str:
    """The balance of messages and deliveries, in two sentences."""
    return "".join(text for text, _ in account_parts(verdict))


def account_parts(verdict: Verdict) -> list[tuple[str, Outcome]]:
    """The same in pieces, each with the outcome that it speaks for."""
    messages, deliveries = verdict.messages, verdict.deliveries
    parts: list[tuple[str, Outcome]] = [(f"{messages.accepted:,} of {messages.intended:,} messages accepted", "pass")]
    if messages.rejected or messages.unknown:
        parts.append((f" ({messages.rejected:,} rejected, {messages.unknown:,} without a clear response)", "fail"))
    if messages.rig_failed:
        parts.append((f" ({messages.rig_failed:,} failed on the rig's side)", "undecided"))
    shown = f". On their dashboards: {deliveries.expected:,} deliveries = {deliveries.visible:,} visible"
    lost = f" + {deliveries.lost:,} lost"
    if deliveries.lost and deliveries.gap is not None:
        lost += f" ({deliveries.gap:,} of them while reconnecting)"
    parts += [(shown, "pass"), (lost, "fail" if deliveries.lost else "pass")]
    if deliveries.excused:
        parts.append((f" + {deliveries.excused:,} excused (older than the list shows)", "pass"))
    if deliveries.unproven:
        parts.append((f" + {deliveries.unproven:,} unproven", "undecided"))
    return [*parts, (".", "pass")]


def used(verdict: Verdict) -> str:
    """What the target's processes and the rig's machine used, in a line; empty if neither was measured."""
    parts = []
    processes, machine = verdict.target_processes, verdict.rig.machine
    measured = [(process.cpu, process) for process in processes if process.cpu is not None]
    if measured:
        cpu, busiest = max(measured, key=lambda one: one[0])
        among = f", the busiest of {len(processes)}" if len(processes) > 1 else ""
        parts.append(f"the target's {busiest.name} (pid {busiest.pid}{among}) used up to {cpu:.0%} of a core")
    if machine is not None and machine.cpu is not None:
        parts.append(f"the machine of the load generator up to {machine.cpu:.1f} of {machine.cores} cores")
    return one_line("; ".join(parts))


def strength(verdict: Verdict) -> str:
    """How strong the verdict's words are for this kind of chat, in a line; empty if nothing was measured."""
    told = verdict.evidence
    if told is None:
        return ""
    parts = [
        "visible: a frame with the text" if told.visible == "frame" else "visible: a refetch that shows it",
        f"accepted: {_ACCEPTED.get(told.accepted_by, told.accepted_by)}",
        f"subscribed: {'confirmed' if told.subscribed == 'confirmed' else 'only asked for'}",
        f"store: {'not read completely' if told.store == 'failed' else told.store}",
        f"audience: {'members of rooms' if told.audience == 'members' else 'everybody'}",
    ]
    if told.deflate is not None:
        parts.append(f"compressed connections: {told.deflate:,}")
    return one_line("; ".join(parts))


_ACCEPTED = {
    "status": "a response that says so", "ack": "an acknowledgement", "echo": "its own echo",
    "written": "written, which proves little",
}  # fmt: skip


def headline(verdict: Verdict) -> str:
    """Why the verdict is what it is, in a sentence."""
    return one_line(_headline(verdict))


def _headline(verdict: Verdict) -> str:
    failed = [result.expect for result in verdict.slos if result.outcome == "fail"]
    found = [f"{finding.check} ({finding.count:,})" for finding in verdict.findings if finding.outcome == "fail"]
    if verdict.exit_code == 70:
        return "chatswarm contradicts itself: please report it."
    if verdict.verdict == "fail":
        parts = [f"{many(len(failed), 'SLO')} missed: {', '.join(failed)}"] if failed else []
        parts += [f"findings: {', '.join(found)}"] if found else []
        return f"{'; '.join(parts)}."[:1].upper() + f"{'; '.join(parts)}."[1:]
    if verdict.verdict == "undecided":
        first = verdict.reasons[0] if verdict.reasons else "the measurements decide nothing"
        more = f" (and {many(len(verdict.reasons) - 1, 'more reason')})" if len(verdict.reasons) > 1 else ""
        return f"Nothing was proven either way, because {first}{more}."
    held = {0: "", 1: " Its SLO holds."}.get(len(verdict.slos), f" All {len(verdict.slos)} SLOs hold.")
    return f"Every accepted message is accounted for on every dashboard.{held}"


def many(count: int, noun: str) -> str:
    """The count with its noun: `1 pair`, `2 pairs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
