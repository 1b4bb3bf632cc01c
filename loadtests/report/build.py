"""Builds the reports of a run, from its folder or from a verdict that was just reached."""

import traceback
from pathlib import Path

import msgspec

from chatswarm.loadtests.history.folders import REPORT, VERDICT
from chatswarm.loadtests.judge.judge import Judged, judged
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.scenario.slo import SloError
from chatswarm.loadtests.system.text import one_line, to_json

from .figures import ReportFigures, figures_of
from .files import NotWrittenError, append_summary, save
from .html import page
from .junit import junit
from .markdown import markdown


def figures_again(folder: Path) -> ReportFigures:
    """The figures of the run in `folder`, judged again by the SLOs of its `verdict.json`, if it has one.

    If the result differs from `verdict.json`, the history counts, and a note says so. Raises NoRunError.
    """
    path = folder / VERDICT
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Verdict)
        run = judged(folder, [result.expect for result in before.slos])
    except FileNotFoundError:
        return figures_of(judged(folder))
    except (msgspec.MsgspecError, SloError, OSError) as error:
        return figures_of(judged(folder), (f"{path}: expected a verdict, got: {error}; judged by the scenario's SLOs",))
    return figures_of(run, _differences(path, before, run.verdict))


def _differences(path: Path, before: Verdict, now: Verdict) -> tuple[str, ...]:
    if before.verdict != now.verdict:
        return (
            f"{path} says {before.verdict}, but its history now gives {now.verdict}, which is what this report shows",
        )
    plain = [to_json(msgspec.structs.replace(verdict, folder="")) for verdict in (before, now)]
    if plain[0] != plain[1]:
        return (f"{path} differs from what its history now gives, which is what this report shows",)
    return ()


def write_reports(figures: ReportFigures, html: Path | None, junit_xml: Path | None, summary: Path | None) -> None:
    """Writes the reports that have a path: all of them, or none. Raises NotWrittenError."""
    reports: dict[Path, bytes] = {}
    if html is not None:
        reports[html] = page(figures).encode()
    if junit_xml is not None:
        reports[junit_xml] = junit(figures)
    if summary is not None:
        reports[summary] = markdown(figures).encode()
    save(reports)


def append_step_summary(figures: ReportFigures) -> None:
    """Appends the summary to the file that CI has named, if any. Raises NotWrittenError."""
    append_summary(markdown(figures))


def report_on(run: Judged, folder: Path) -> str:
    """Writes `report.html` and CI's summary for a run that was just judged. Returns what went wrong, in one line.

    The verdict stands, whatever happens here.
    """
    try:
        figures = figures_of(run)
        write_reports(figures, folder / REPORT, None, None)
        append_step_summary(figures)
    except NotWrittenError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a failed report must not cost the verdict
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        what = one_line(f"{type(error).__name__}: {error} ({where})")
        return f"internal error: no report was written: {what}; the verdict stands"
    return ""
