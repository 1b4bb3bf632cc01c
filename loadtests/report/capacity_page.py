"""`chatswarm capacity` as an HTML page: the limit, what gave out, the curves, and every probe."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from chatswarm.loadtests.capacity.record import AskedCapacity, CapacityProbe, CapacityReport, CapacityResult
from chatswarm.loadtests.system.units import about, human

from . import wording
from .capacity_words import (
    ProbedLoad,
    answer_words,
    backlog_words,
    cores,
    finite,
    gave_out_words,
    headline,
    interval_words,
    knee_words,
    load,
    loads_of,
    lower_bound_words,
    outcome_of,
    outcome_of_result,
    p99_of,
    target_words,
    title,
)
from .charts import NARROW, WIDE, Chart, table
from .document import document
from .markup import Markup, Prose, element, joined
from .plot import Axis, Band, Line, Plot, Point, Rule, Slot, duration_tick, linear, logarithmic


def capacity_page(report: CapacityReport) -> str:
    """The HTML document."""
    asked, result, target = report.asked, report.result, target_words(report.asked)
    assert result is not None, "a page is made of a search with a result"
    outcome = outcome_of_result(result)
    name = f"{asked.scenario} by {asked.by}"
    said = [answer_words(asked, result), lower_bound_words(asked, result), *result.reasons]
    head = element(
        "header",
        element(
            "div",
            element("div", f"{wording.MARKS[outcome]} {title(result)}", class_="badge"),
            element("h1", f"{name} ", element("span", f"against {target}", class_="soft")),
            element("p", _capital(headline(asked, result)), class_="why"),
            element("ul", (element("li", text) for text in said if text)) if any(said) else None,
            class_=f"verdict {outcome}",
        ),
        _tiles(report, result),
    )
    loads = loads_of(report)
    charts = [chart.figure() for chart in (_latency(report, loads), _cpu(report, loads)) if chart is not None]
    main = element(
        "main",
        element(
            "section", element("h2", "The curve"), charts, element("p", _capital(knee_words(asked, result, len(loads))))
        ),
        element("section", element("h2", "What gave out"), _gave_out(asked, result)),
        element("section", element("h2", "Every probe"), _probes(report)),
    )
    return document(f"Capacity: {name} against {target}", head, main)


def _tiles(report: CapacityReport, result: CapacityResult) -> Markup:
    unit = report.asked.unit
    tiles = [
        ("confirmed", load(result.limit), unit),
        (f"limit, {result.confidence:.0%} sure", interval_words(result, "–"), unit),
        ("failed", load(result.failed), unit),
        ("knee", load(result.knee), unit),
        ("probes", str(len(report.probes)), f"in {about(result.seconds)}"),
    ]
    rows = (
        element("div", element("dt", name), element("dd", value, element("small", small)))
        for name, value, small in tiles
    )
    return element("dl", rows, class_="tiles")


def _gave_out(asked: AskedCapacity, result: CapacityResult) -> Markup:
    texts = [*result.evidence, *result.notes]
    return joined(
        element("p", element("strong", _capital(gave_out_words(asked, result)))),
        element("ul", (element("li", text) for text in texts)) if texts else None,
    )


def _latency(report: CapacityReport, loads: Sequence[ProbedLoad]) -> Chart | None:
    """Latency by load."""
    values = finite(value for each in loads for value in (each.p50, each.p99))
    if not values:
        return None
    asked, result, target = report.asked, report.result, report.asked.update_target
    probes = [probe for probe in report.probes if probe.purpose == "search"]
    values += finite(p99_of(probe) for probe in probes)
    lines = [
        Line("p50", [(each.level, each.p50) for each in loads], "p50"),
        Line("p99", [(each.level, each.p99) for each in loads], "p99"),
        Line("failed", _dots([probe for probe in probes if probe.held is False]), "max"),
    ]
    band = []
    if result is not None and result.low is not None:
        band = [Band(result.low, result.high or asked.to, "limit", "recovering")]
    lost = any(p99_of(probe) == math.inf for probe in probes)
    bound = "" if result is None or result.high is not None else ", which is only a lower bound"
    words = headline(asked, result) if result is not None else ""
    plot = Plot(
        "latency-by-load",
        f"Update latency by load: {words}.",
        _loads(loads),
        logarithmic(min([*values, target]), max([*values, target]) * 1.1, duration_tick),
        f"{asked.unit}, log scale",
        "update latency, log scale",
        [line for line in lines if line.points],
        bands=band,
        rules=[Rule(target, f"target {human(target)}")],
        slots=_slots(loads, lambda each: f"p50 {human(each.p50)}, p99 {human(each.p99)}, {each.marks}"),
        rail="never" if lost else "",
    )
    return Chart(
        "latency-by-load",
        "Update latency by load",
        f"The median of each load's probes; a dot is a probe that failed. Shaded: where the limit lies{bound}.",
        (plot.draw(WIDE), plot.draw(NARROW)),
        (asked.unit, "probes", "p50", "p99", "backlog", "why it failed"),
        tuple(_row(each) for each in loads),
    )


def _row(each: ProbedLoad) -> tuple[str, ...]:
    why = Prose(element("p", each.why))
    return load(each.level), each.marks, human(each.p50), human(each.p99), backlog_words(each.backlog), why


def _cpu(report: CapacityReport, loads: Sequence[ProbedLoad]) -> Chart | None:
    """What was used, by load."""
    uses: list[tuple[str, str, Callable[[ProbedLoad], float | None]]] = [
        ("machine", "c1", lambda each: each.machine_cpu),
        ("target", "c2", lambda each: each.target_cpu),
        ("rig", "c4", lambda each: each.rig_cpu),
    ]
    lines = [Line(name, [(each.level, of(each)) for each in loads], style) for name, style, of in uses]
    lines = [line for line in lines if finite(y for _, y in line.points)]
    if not lines:
        return None
    most = max(y for line in lines for y in finite(y for _, y in line.points))
    have = max((probe.cores or 0 for probe in report.probes), default=0)
    rules = [Rule(float(have), f"{have} cores")] if have else []
    words = [f"{line.name} at most {max(finite(y for _, y in line.points)):.2f}" for line in lines]
    plot = Plot(
        "cpu-by-load",
        f"Cores in use by load: {', '.join(words)}.",
        _loads(loads),
        linear(0.0, max([most, *(1.2 * rule.y for rule in rules)]), lambda value: f"{value:g}", 4),
        f"{report.asked.unit}, log scale",
        "cores in use",
        lines,
        rules=rules,
        slots=_slots(
            loads,
            lambda each: (
                f"machine {cores(each.machine_cpu)}, target {cores(each.target_cpu)}, rig {cores(each.rig_cpu)}"
            ),
        ),
        height=140.0,
    )
    return Chart(
        "cpu-by-load",
        "Cores in use by load",
        "The median second of each probe. The machine is that of the load generator, with all that runs on it.",
        (plot.draw(WIDE), plot.draw(NARROW)),
        (report.asked.unit, "machine", "target", "rig"),
        tuple(
            (load(each.level), cores(each.machine_cpu), cores(each.target_cpu), cores(each.rig_cpu)) for each in loads
        ),
    )


def _probes(report: CapacityReport) -> Markup:
    whose = {"search": "", "twice": "twice the processes", "null": "null chat"}
    rows = [
        (
            str(number),
            load(probe.level),
            f"{probe.seconds:g} s",
            element("span", wording.MARKS[outcome_of(probe)], class_=f"mark {outcome_of(probe)}"),
            human(p99_of(probe)),
            backlog_words(probe.backlog),
            "–" if probe.rig_sound is None else ("sound" if probe.rig_sound else "not sound"),
            Prose(element("p", "; ".join([*filter(None, [whose[probe.purpose]]), *probe.why]))),
            Prose(element("code", probe.folder)),
        )
        for number, probe in enumerate(report.probes, 1)
    ]
    columns = ("", report.asked.unit, "for", "held", "p99", "backlog", "rig", "why it failed", "folder")
    return table(f"In the order in which they were made, in {report.folder}", columns, rows, shown=True)


def _loads(loads: Sequence[ProbedLoad]) -> Axis:
    return logarithmic(loads[0].level, loads[-1].level * 1.02, lambda value: f"{value:g}")


def _dots(probes: Sequence[CapacityProbe]) -> list[Point]:
    """Points with gaps between them, which are drawn as dots."""
    found: list[Point] = []
    for probe in sorted(probes, key=lambda probe: probe.level):
        if (latency := p99_of(probe)) is not None:
            found += [(probe.level, latency), (probe.level, None)]
    return found


def _slots(loads: Sequence[ProbedLoad], words: Callable[[ProbedLoad], str]) -> list[Slot]:
    """A slot around each load, up to the middle between it and the next."""
    levels = [each.level for each in loads]
    edges = [levels[0] / 1.05, *(math.sqrt(a * b) for a, b in pairwise(levels)), levels[-1] * 1.05]
    return [
        Slot(begin, end, f"{load(each.level)}: {words(each)}")
        for (begin, end), each in zip(pairwise(edges), loads, strict=True)
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
