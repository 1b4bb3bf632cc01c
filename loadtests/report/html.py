"""A run as one HTML page without scripts or network: light and dark, for screen, paper and keyboard.

Every figure of the verdict is shown as it is in `verdict.json`; the charts come from the ledger.
"""

from collections.abc import Mapping, Sequence

from chatswarm.loadtests.judge.verdict import Deliveries, Example, Quantiles, Recovery, RigMachine, Verdict
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES, Outcome
from chatswarm.loadtests.system.text import command_line
from chatswarm.loadtests.system.units import human

from . import wording
from .charts import NARROW, WIDE, charts_of, table
from .document import document
from .figures import ReportCase, ReportFigures
from .markup import Content, Markup, Prose, element, joined

_CODES = {
    "1000": "normal closure", "1001": "going away", "1002": "protocol error", "1003": "unsupported data",
    "1005": "no code", "1006": "broke off without a close frame", "1007": "invalid data", "1008": "policy violation",
    "1009": "message too big", "1011": "internal error", "1012": "service restart", "1013": "try again later",
    "1015": "TLS handshake failed",
}  # fmt: skip
_COLUMNS = ("message", "dashboard", "intended", "sent", "accepted", "notified", "visible", "fault", "detail")
_URGENCY: dict[Outcome, int] = {"fail": 0, "undecided": 1, "pass": 2}
_WORST = 6  # examples per finding that are always shown; the rest can be unfolded
_SECTIONS = (
    ("slos", "SLOs"),
    ("balance", "Balance"),
    ("latency", "Latency"),
    ("findings", "Findings"),
    ("faults", "Faults and recovery"),
    ("connections", "Lost connections"),
    ("rig", "Rig"),
    ("repeat", "Repeat the run"),
)


def page(figures: ReportFigures) -> str:
    """The HTML document."""
    verdict = figures.verdict
    title = f"{verdict.verdict.upper()}: {verdict.scenario} against {verdict.target}"
    charts: dict[str, list[Markup]] = {"latency": [], "rig": []}
    for chart in charts_of(figures):
        charts[chart.section].append(chart.figure())
    contents = {
        "slos": _slos(figures),
        "balance": _balance(verdict),
        "latency": joined(charts["latency"], _latencies(verdict)),
        "findings": _findings(figures),
        "faults": _faults(verdict),
        "connections": _connections(verdict),
        "rig": joined(_rig(figures), charts["rig"]),
        "repeat": _repeat(figures),
    }
    links = (element("li", element("a", name, href=f"#{key}")) for key, name in _SECTIONS)
    sections = (
        element(
            "section", element("h2", name, id=f"{key}-title"), contents[key], id=key, aria_labelledby=f"{key}-title"
        )
        for key, name in _SECTIONS
    )
    body = element(
        "body",
        element("a", "Skip to the SLOs", class_="skip", href="#slos"),
        element(
            "header", _verdict(figures), element("nav", element("ul", links), aria_label="Sections of this report")
        ),
        element("main", sections),
    )
    return document(title, body)


def _verdict(figures: ReportFigures) -> Markup:
    verdict = figures.verdict
    reasons = (element("li", f"because {reason}") for reason in verdict.reasons)
    return joined(
        element(
            "div",
            element("div", f"{wording.MARKS[verdict.verdict]} {verdict.verdict.upper()}", class_="badge"),
            element("h1", verdict.scenario, element("span", f" against {verdict.target}", class_="soft")),
            element("p", wording.headline(verdict), class_="why"),
            element("ul", reasons) if verdict.reasons else None,
            element("p", f"{wording.size(verdict)}, started {verdict.started}", class_="soft"),
            *(element("p", note, class_="bad") for note in figures.notes),
            *(element("p", f"Note: {note}", class_="soft") for note in verdict.notes),
            class_=f"verdict {verdict.verdict}",
        ),
        _tiles(figures),
    )


def _tiles(figures: ReportFigures) -> Markup:
    verdict = figures.verdict
    messages, deliveries = verdict.messages, verdict.deliveries
    visible, last = verdict.latency.visible, verdict.latency.last_dashboard
    tiles = (
        ("Messages accepted", f"{messages.accepted:,}", f"of {messages.intended:,} intended"),
        ("Deliveries visible", f"{deliveries.visible:,}", f"of {deliveries.expected:,} expected"),
        ("Deliveries lost", f"{deliveries.lost:,}", _split(deliveries)),
        ("Update latency, p99", _quantile(visible, "p99"), f"target {human(figures.target)}"),
        ("Last dashboard, p95", _quantile(last, "p95"), "the slowest one for each message"),
    )
    return element(
        "dl",
        (
            element("div", element("dt", name), element("dd", value, element("small", more)))
            for name, value, more in tiles
        ),
        class_="tiles",
    )


def _split(deliveries: Deliveries) -> str:
    gap = "" if deliveries.gap is None else f"{deliveries.gap:,} while reconnecting; "
    return f"{gap}{deliveries.late:,} late"


def _slos(figures: ReportFigures) -> Markup:
    if not figures.verdict.slos:
        return element("p", "The scenario has no SLOs, so any finding with a count above 0 fails the run.")
    rows = [
        (element("code", result.expect), _mark(result.outcome), wording.actual(result), _margin_of(index, figures))
        for index, result in enumerate(figures.verdict.slos)
    ]
    slos = table("SLOs and their actual values", ("expected", "outcome", "actual", "share of limit"), rows)
    return element("div", slos, class_="slos")


def _margin_of(index: int, figures: ReportFigures) -> Markup:
    result = figures.verdict.slos[index]
    share = wording.share_of_limit(result)
    if share is None:
        return joined("")
    meter = element(
        "svg",
        element("rect", x=0.0, y=0.0, width=120.0, height=9.0, rx=2.0, class_="track"),
        element("rect", x=0.0, y=0.0, width=max(1.0, 120 * min(1.0, share)), height=9.0, rx=2.0, class_=result.outcome),
        viewBox="0 0 120 9",
        class_="meter",
        aria_hidden="true",
    )
    return joined(wording.margin(result).removesuffix(" of the limit").removesuffix(" the limit"), meter)


def _balance(verdict: Verdict) -> Markup:
    messages, deliveries, frames = verdict.messages, verdict.deliveries, verdict.frames
    parts = {
        "visible": deliveries.visible, "lost": deliveries.lost, "excused": deliveries.excused,
        "unproven": deliveries.unproven,
    }  # fmt: skip
    sent = {"accepted": messages.accepted, "rejected": messages.rejected, "without a clear response": messages.unknown}
    unsent = max(0, messages.intended - messages.sent)
    shown = {"as text": deliveries.seen_as_text, "as a count": deliveries.visible - deliveries.seen_as_text}
    rows: list[tuple[str, int | None, dict[str, int] | dict[str, int | None]]] = [
        ("messages intended", messages.intended, {"sent": messages.sent, "never sent": unsent}),
        ("messages sent", messages.sent, sent),
        ("deliveries expected", deliveries.expected, parts),
        ("deliveries visible", deliveries.visible, shown),
        ("frames due", frames.due, {"matched": frames.matched, "missed": frames.missed}),
        ("frames received", frames.received, {"matched": frames.matched, "extra": frames.extra}),
    ]
    return joined(
        element("p", wording.account(verdict)),
        element("p", f"{told}.".capitalize(), class_="soft") if (told := wording.strength(verdict)) else None,
        (_bar(parts, width) for width in (WIDE, NARROW)) if deliveries.expected else None,
        table(
            "Every message, delivery and frame accounted for",
            ("", "total", "made up of"),
            [(name, _known(whole), _text(_sum(split))) for name, whole, split in rows],
        ),
        element(
            "p",
            f"Expected deliveries announced by a frame: {_known(deliveries.notified)}; visible, but never announced "
            f"although due: {_known(deliveries.unnotified)}. Messages stored although their send got no clear "
            f"response: {_known(verdict.counts.recovered)}.",
        ),
    )


def _sum(parts: Mapping[str, int | None]) -> str:
    return " + ".join(f"{_count(count)} {name}" for name, count in parts.items())


def _bar(parts: dict[str, int], width: float) -> Markup:
    whole, at, drawn = sum(parts.values()), 0.0, []
    for name, count in parts.items():
        if count:
            # Even the rarest part must be visible.
            wide = max(3.0, count / whole * width)
            drawn.append(element("rect", element("title", f"{count:,} {name}"), x=min(at, width - 3), y=0.0, width=wide,
                                 height=14.0, class_=f"part {name}"))  # fmt: skip
            at += wide
    words = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
    return element(
        "svg", drawn, class_="wide" if width == WIDE else "narrow", viewBox=f"0 0 {width:g} 14", role="img",
        aria_label=f"Of {whole:,} deliveries: {words}.",
    )  # fmt: skip


def _latencies(verdict: Verdict) -> Markup:
    rows = []
    for name in LATENCIES:
        quantiles: Quantiles = getattr(verdict.latency, name)
        rows.append((name, *(_quantile(quantiles, key) for key in QUANTILES), f"{quantiles.count:,}"))
    return joined(
        element("h3", "All latencies"),
        table(
            "Exact quantiles; a lost delivery counts as infinite", ("latency", *QUANTILES, "samples"), rows, shown=True
        ),
    )


def _quantile(quantiles: Quantiles, key: str) -> str:
    value: float | None = getattr(quantiles, key)
    return "lost" if value is None and quantiles.count else human(value)


def _findings(figures: ReportFigures) -> Markup:
    checked = sorted(
        (case for case in figures.cases if case.kind == "finding"), key=lambda case: _URGENCY[case.outcome]
    )
    rows = [
        (case.name, "–" if case.skipped else _mark(case.outcome), case.actual, _text(case.meaning)) for case in checked
    ]
    found = [case for case in checked if case.examples or case.why]
    clean = element("p", "Nothing was found. What the checks looked for:") if not found else None
    return joined(
        clean,
        table(
            "What the checks looked for, and how often they found it", ("finding", "outcome", "count", "meaning"), rows
        ),
        (_examples(case) for case in found),
    )


def _examples(case: ReportCase) -> Markup:
    heading = element(
        "h3", element("span", f"{wording.MARKS[case.outcome]} {case.name}", class_=f"mark {case.outcome}")
    )
    why = (element("p", reason) for reason in case.why)
    rows = [_row(example) for example in _different_first(case.examples)]
    # Leave out columns that are empty in all examples.
    columns = [at for at in range(len(_COLUMNS)) if not at or any(row[at] != "–" for row in rows)]
    names = [_COLUMNS[at] for at in columns]
    shown = [[row[at] for at in columns] for row in rows]
    title = f"The {len(rows)} worst of {case.actual}: {case.meaning}"
    worst = table(title, names, shown[:_WORST], shown=True) if rows else None
    more = f"{len(rows) - _WORST} more examples"
    rest = element("details", element("summary", more), table(more, names, shown[_WORST:])) if rows[_WORST:] else None
    return joined(heading, why, worst, rest)


def _different_first(examples: Sequence[Example]) -> list[Example]:
    """One example per message first: the same message on other dashboards adds little."""
    seen: set[str] = set()
    first: list[Example] = []
    again: list[Example] = []
    for example in examples:
        (again if example.uid and example.uid in seen else first).append(example)
        seen.add(example.uid)
    return first + again


def _row(example: Example) -> tuple[str | Markup, ...]:
    """Times are relative to the intended time, if there is one."""
    start = example.intended

    def later(at: float | None) -> str:
        return "–" if at is None else f"{at:.3f} s" if start is None else f"+{human(at - start)}"

    name = example.uid or example.chat or "–"
    return (
        element("span", name, class_="mono"),
        "–" if example.dashboard is None else str(example.dashboard),
        "–" if start is None else f"{start:.3f} s",
        later(example.sent),
        later(example.accepted),
        later(example.notified),
        later(example.visible),
        example.fault or "–",
        _text(example.detail) if example.detail else "–",
    )


def _faults(verdict: Verdict) -> Markup:
    if not verdict.faults:
        return element("p", "No faults were injected in this run.")
    columns = (
        "fault", "kind", "from", "to", "detected", "reconnected", "first message", "backlog gone", "whole again",
        "dashboards",
    )  # fmt: skip
    rows = [_recovery(verdict, number, recovery) for number, recovery in enumerate(verdict.recoveries)]
    proofs = [
        (fault.name, f"{fault.start:.1f} s", _text(", ".join(
            f"{key} {wording.evidence(value)}" for key, value in fault.evidence.items()
        ) or "left no evidence"))
        for fault in verdict.faults
    ]  # fmt: skip
    reasons = [f"{recovery.name}: {recovery.reason}" for recovery in verdict.recoveries if recovery.reason]
    reading = (
        "Detected: from the fault's start until the first dashboard lost its connection. The others count from its "
        "end: until all dashboards that it cut off had reconnected; the first new message was visible; the last "
        "message that it held up was visible (backlog gone); and every message was on target (whole again)."
    )
    return joined(
        element("p", reading),
        table("Recovery from each fault", columns, rows),
        (element("p", reason) for reason in reasons),
        table("Evidence that each fault took place", ("fault", "from", "evidence"), proofs, shown=True),
    )


def _recovery(verdict: Verdict, number: int, recovery: Recovery) -> tuple[str, ...]:
    kind = verdict.faults[number].kind if number < len(verdict.faults) else ""
    whole = human(recovery.whole_again) if recovery.at_least is None else f"≥ {human(recovery.at_least)}"
    times = (recovery.detected, recovery.reconnected, recovery.first_delivery, recovery.backlog_gone)
    stop = "never" if recovery.stop is None else f"{recovery.stop:.1f} s"
    back = f"{recovery.dashboards_back} of {recovery.dashboards_lost} back" if recovery.dashboards_lost else "none lost"
    return (recovery.name, kind, f"{recovery.start:.1f} s", stop, *(human(time) for time in times), whole, back)


def _connections(verdict: Verdict) -> Markup:
    found = verdict.connections
    sentence = (
        f"{found.subscribed:,} dashboard connections subscribed; {found.failed:,} attempts failed before that, and "
        f"{found.closed:,} connections were lost afterwards."
    )
    if not found.codes:
        return element("p", sentence)
    rows = [
        (code, f"{times:,}", f"{times / found.closed:.0%}", _text(_CODES.get(code, "")))
        for code, times in sorted(found.codes.items(), key=lambda item: -item[1])
    ]
    columns = ("close code", "lost", "share", "meaning")
    return joined(element("p", sentence), table("Lost connections by close code", columns, rows))


def _rig(figures: ReportFigures) -> Markup:
    rig = figures.verdict.rig
    mark = element(
        "span", "✓ sound" if rig.sound else "? not sound", class_=f"mark {'pass' if rig.sound else 'undecided'}"
    )
    rows = [
        ("loop lag, p99", human(rig.lag_p99), f"{human(figures.lag_limit)} allowed"),
        (
            "CPU of the busiest process",
            "–" if rig.cpu is None else f"{rig.cpu:.0%}",
            "of a core, in its busiest second",
        ),
        ("late sends", f"{rig.late_sends:,}", f"handed over more than {human(figures.lag_limit)} late"),
        ("clocks", human(rig.clock_bound), "possible error of a latency between hosts"),
        *_machine(rig.machine),
    ]
    return joined(
        element("p", "The load-generating side is ", mark, "."),
        element("ul", (element("li", reason) for reason in rig.reasons)) if rig.reasons else None,
        table("Health of the load-generating side", ("", "measured", ""), [
            (name, value, _text(meaning)) for name, value, meaning in rows
        ]),
        _target_processes(figures.verdict),
    )  # fmt: skip


def _machine(machine: RigMachine | None) -> list[tuple[str, str, str]]:
    if machine is None:
        return []
    pressures = {"CPU": machine.cpu_pressure, "I/O": machine.io_pressure, "memory": machine.memory_pressure}
    return [
        ("CPU of the machine", _used(machine.cpu, "{:.2f}"), f"of {machine.cores} cores, in its busiest second"),
        *(
            (f"pressure on {what}", _used(share, "{:.1%}"), "of the worst second, some task waited for it")
            for what, share in pressures.items()
        ),
    ]


def _target_processes(verdict: Verdict) -> Markup | None:
    """The busiest first: there may be many."""
    found = sorted(verdict.target_processes, key=lambda process: -(process.cpu or 0.0))
    rows = [
        (process.name, str(process.pid), _used(process.cpu, "{:.0%}"), f"{process.memory / 1e6:,.0f} MB")
        for process in found[:_WORST]
    ]
    if not rows:
        return None
    title = (
        "The target's processes" if len(found) == len(rows) else f"The busiest of the target's {len(found)} processes"
    )
    columns = ("process", "pid", "CPU, busiest second, of a core", "highest memory")
    return table(title, columns, rows, shown=True)


def _used(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _repeat(figures: ReportFigures) -> Markup:
    verdict = figures.verdict
    again = ["chatswarm", "judge", verdict.folder or "DIR", "--slo", "visible.p99 <= 1s"]
    return joined(
        element("p", f"The same scenario with seed {verdict.seed} repeats the schedule, message by message:"),
        element("pre", element("code", figures.repeat), tabindex="0"),
        element("p", "To judge the recorded run by a different SLO, without running it again:"),
        element("pre", element("code", command_line(again)), tabindex="0"),
    )


def _mark(outcome: Outcome) -> Prose:
    return Prose(element("span", f"{wording.MARKS[outcome]} {outcome}", class_=f"mark {outcome}"))


def _text(*content: Content) -> Prose:
    return Prose(element("p", *content))


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _known(value: int | None) -> str:
    return "not measured" if value is None else f"{value:,}"
