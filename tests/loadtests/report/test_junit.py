from pathlib import Path
from xml.etree import ElementTree

import pytest

from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.report import wording
from chatswarm.loadtests.report.figures import ReportFigures, figures_of
from chatswarm.loadtests.report.junit import junit

from .runs import HOSTILE, failing, passing, undecided, write
from .test_html import hostile
from .xsd import JUNIT, Schema

SCHEMA = Schema(JUNIT)


def cases(document: bytes) -> dict[str, ElementTree.Element]:
    return {case.attrib["name"]: case for case in ElementTree.fromstring(document).iter("testcase")}


def made(folder: Path) -> tuple[ReportFigures, bytes]:
    figures = figures_of(judged(folder))
    return figures, junit(figures)


def test_the_schema_finds_invalid_documents() -> None:
    assert SCHEMA.problems(b'<testsuites><testsuite name="a" tests="1" failures="0"/></testsuites>')
    assert SCHEMA.problems(b'<testsuites time="soon"/>')
    assert SCHEMA.problems(b'<testsuites><testcase name="a"/></testsuites>')
    assert SCHEMA.problems(b"<testsuites>text</testsuites>")
    assert not SCHEMA.problems(b'<testsuites time="1.5"/>')


@pytest.mark.parametrize("make", [passing, failing, undecided, hostile])
def test_it_is_valid_by_the_schema(make: object, tmp_path: Path) -> None:
    folder = make(tmp_path) if make in (undecided, hostile) else write(make(tmp_path))  # type: ignore[operator]
    figures, document = made(folder)
    assert SCHEMA.problems(document) == []
    root = ElementTree.fromstring(document)
    assert root.attrib["tests"] == str(len(figures.cases))
    for suite in root:
        found = list(suite.iter("testcase"))
        assert suite.attrib["tests"] == str(len(found))
        assert suite.attrib["failures"] == str(sum(case.find("failure") is not None for case in found))
        assert suite.attrib["errors"] == str(sum(case.find("error") is not None for case in found))


def test_every_slo_and_check_is_a_case_with_its_actual_value(tmp_path: Path) -> None:
    figures, document = made(write(failing(tmp_path)))
    found = cases(document)
    counts = {finding.check: finding.count for finding in figures.verdict.findings}
    for result in figures.verdict.slos:
        assert found[result.expect].findtext("system-out") == f"actual: {wording.actual(result)}"
        assert (found[result.expect].find("failure") is not None) == (result.outcome == "fail")
    for name in CHECKS:
        # There are no rooms, so nobody is a stranger.
        actual = "not measured" if name == "leaked" else counts.get(name, 0)
        assert found[name].findtext("system-out") == f"actual: {actual}"
        assert (found[name].find("skipped") is not None) == (name == "leaked")
    lost = found["lost"].find("failure")
    assert lost is not None
    assert "testrun234.0.11" in (lost.text or "")
    assert lost.attrib["message"].startswith("lost: fail, actual 2")


def test_undecided_is_an_error(tmp_path: Path) -> None:
    figures, document = made(undecided(tmp_path))
    root = ElementTree.fromstring(document)
    assert figures.verdict.verdict == "undecided"
    assert root.attrib["failures"] == "0"
    assert int(root.attrib["errors"]) > 0
    error = cases(document)["the run can be trusted"].find("error")
    assert error is not None
    assert "is not whole" in (error.text or "")


def test_data_does_not_become_markup(tmp_path: Path) -> None:
    run = judged(write(failing(tmp_path)))
    for finding in run.verdict.findings:
        for example in finding.examples:
            example.detail = HOSTILE
    document = junit(figures_of(run))
    assert SCHEMA.problems(document) == []
    assert b"<script" not in document
    assert '<script>alert("1")</script>' in "".join(ElementTree.fromstring(document).itertext())
