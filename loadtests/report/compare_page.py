"""`chatswarm compare` as an HTML page."""

from collections.abc import Sequence

from chatswarm.loadtests.compare.decide import SideCurves
from chatswarm.loadtests.compare.result import ComparedMetric, CompareResult

from .charts import Chart, table
from .compare_plots import both_curves, forest, slopes
from .compare_wording import OUTCOMES, change, figure, headline, interval, left_out, method, said, title, typical
from .document import document
from .markup import Markup, Prose, element
from .wording import MARKS


def compare_page(result: CompareResult, curves: Sequence[SideCurves]) -> str:
    """The HTML document."""
    outcome = OUTCOMES[result.outcome]
    reasons = [*(f"because {reason}" for reason in result.reasons), *left_out(result), *result.notes]
    head = element(
        "header",
        element(
            "div",
            element("div", f"{MARKS[outcome]} {result.outcome.upper()}", class_="badge"),
            element("h1", "Compare ", element("span", result.scenario, class_="soft")),
            element("p", headline(result), class_="why"),
            element("p", f"New: {result.new.name}. Base: {result.base.name}."),
            element("p", method(result), class_="soft"),
            element("ul", (element("li", text) for text in reasons)) if reasons else None,
            class_=f"verdict {outcome}",
        ),
    )
    deciding = sorted(result.metrics, key=lambda metric: not metric.decides)
    slope_charts = [chart for metric in deciding if (chart := slopes(metric)) is not None]
    whole = forest(result)
    return document(
        f"{result.outcome}: {result.scenario}",
        head,
        element(
            "main",
            element("section", element("h2", "The metrics"), _metrics(result), whole.figure() if whole else None),
            _charts("The pairs", slope_charts),
            _charts("The curves", [both_curves(each) for each in curves]),
            element("section", element("h2", "The runs"), _runs(result)),
        ),
    )


def _charts(title: str, charts: Sequence[Chart]) -> Markup | None:
    return element("section", element("h2", title), (chart.figure() for chart in charts)) if charts else None


def _metrics(result: CompareResult) -> Markup:
    rows = [
        (
            title(metric),
            typical(metric, metric.base),
            typical(metric, metric.new),
            *_changes(metric),
            Prose(_said(metric)),
        )
        for metric in result.metrics
    ]
    caption = "Each side's figure is the median of its runs that count"
    return table(caption, ("metric", "base", "new", "change", "interval", "so it is"), rows, shown=True)


def _changes(metric: ComparedMetric) -> tuple[str, str]:
    if metric.ratio is None or metric.runs_with is not None:
        return "", ""
    return change(metric.ratio.estimate), interval(metric.ratio)


def _said(metric: ComparedMetric) -> Markup:
    style = f"mark {OUTCOMES[metric.outcome]}" if metric.decides else "soft"
    return element("p", element("span", said(metric), class_=style))


def _runs(result: CompareResult) -> Markup:
    names = [metric.metric for metric in result.metrics]
    rows = []
    for at, (base, new) in enumerate(zip(result.base.runs, result.new.runs, strict=True)):
        for side, run in (("base", base), ("new", new)):
            values = [figure(each, (each.base if side == "base" else each.new)[at]) for each in result.metrics]
            rows.append((f"{at + 1} {side}", str(run.seed), run.verdict, *values, Prose(element("p", run.folder))))
    return table("The runs, in pairs", ("pair", "seed", "verdict", *names, "folder"), rows)
