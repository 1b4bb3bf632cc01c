"""A comparison for CI: Markdown, JUnit XML, and all its files written at once."""

from collections.abc import Sequence
from pathlib import Path

from chatswarm.loadtests.compare.decide import SideCurves
from chatswarm.loadtests.compare.result import COMPARISON, COMPARISON_PAGE, CompareResult

from .compare_page import compare_page
from .compare_wording import OUTCOMES, change, headline, interval, left_out, method, said, title, typical
from .figures import ReportCase
from .files import append_summary, save
from .junit import document, suite_of
from .markdown import ICONS, data, table


def compare_markdown(result: CompareResult) -> str:
    """The summary in GitHub Markdown."""
    rows = []
    for metric in result.metrics:
        plain = metric.ratio is None or metric.runs_with is not None
        ratio = None if plain else metric.ratio
        rows.append(
            (
                ICONS[OUTCOMES[metric.outcome]] if metric.decides else "",
                data(title(metric)),
                data(typical(metric, metric.base)),
                data(typical(metric, metric.new)),
                "" if ratio is None else data(change(ratio.estimate)),
                "" if ratio is None else data(interval(ratio)),
                data(said(metric)),
            )
        )
    parts = [
        f"## {ICONS[OUTCOMES[result.outcome]]} {result.outcome.upper()}: {data(result.scenario)}",
        f"**{data(headline(result))}**",
        f"{data(result.new.name)} against {data(result.base.name)}. {data(method(result))}.",
        table(("", "metric", "base", "new", "change", "interval", ""), rows),
    ]
    parts += [f"> {data(text)}" for text in (*result.reasons, *left_out(result), *result.notes)]
    return "\n\n".join(parts) + "\n"


def compare_junit(result: CompareResult) -> bytes:
    """The JUnit XML: a case for each metric, and whether the whole can be decided."""
    cases = []
    for metric in result.metrics:
        ratio = "" if metric.ratio is None else f", {change(metric.ratio.estimate)} ({interval(metric.ratio)})"
        actual = f"{typical(metric, metric.base)} before, {typical(metric, metric.new)} now{ratio}"
        cases.append(
            ReportCase(
                "slo",
                title(metric),
                OUTCOMES[metric.outcome] if metric.decides else "pass",
                actual,
                meaning=said(metric),
                skipped="hides the chat" if not metric.decides else "",
            )
        )
    doubts = (*result.reasons, *left_out(result))
    trusted = ReportCase(
        "run",
        "the comparison can be decided",
        "undecided" if result.reasons else "pass",
        "no" if result.reasons else "yes",
        why=doubts,
    )
    properties = [("outcome", result.outcome), ("base", result.base.name), ("new", result.new.name)]
    name = f"compare {result.scenario}"
    suite = suite_of(name, f"chatswarm.{result.scenario}.compare", [*cases, trusted], properties)
    return document(f"chatswarm {name}", [*cases, trusted], [suite])


def write_comparison(
    result: CompareResult,
    curves: Sequence[SideCurves],
    folder: Path | None = None,
    html: Path | None = None,
    junit: Path | None = None,
    markdown: Path | None = None,
) -> list[Path]:
    """Writes the reports that have a path, and the result with its page into `folder`; all of them, or none.

    Returns their paths. Raises NotWrittenError.
    """
    reports: dict[Path, bytes] = {}
    pages = [path for path in (html, None if folder is None else folder / COMPARISON_PAGE) if path is not None]
    if pages:
        reports |= dict.fromkeys(pages, compare_page(result, curves).encode())
    if folder is not None:
        reports[folder / COMPARISON] = result.json()
    if junit is not None:
        reports[junit] = compare_junit(result)
    if markdown is not None:
        reports[markdown] = compare_markdown(result).encode()
    save(reports)
    append_summary(compare_markdown(result))
    return list(reports)
