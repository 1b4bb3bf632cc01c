"""A run as JUnit XML, which CI systems show as tests: a case for each SLO, each check, and the run itself.

A fail is a failure, undecided is an error, and every case has its actual value in `system-out`. CI is green if and only
if the verdict is pass. The file is valid by `junit-10.xsd`, the schema of Jenkins.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from chatswarm.loadtests.system.text import one_line

from . import wording
from .figures import ReportCase, ReportFigures

_SUITES = {"slo": "SLOs", "finding": "findings", "run": "run"}
_EXAMPLES = 10  # per finding


def junit(figures: ReportFigures) -> bytes:
    """The XML document, in UTF-8."""
    verdict = figures.verdict
    suites = []
    for kind, title in _SUITES.items():
        cases = [case for case in figures.cases if case.kind == kind]
        if cases:
            class_name = f"chatswarm.{verdict.scenario}.{title}"
            suite = suite_of(f"{verdict.scenario}: {title}", class_name, cases, _properties(figures), verdict.seconds)
            suite.set("timestamp", one_line(verdict.started))
            suites.append(suite)
    return document(f"chatswarm {verdict.scenario}", figures.cases, suites, verdict.seconds)


def document(
    name: str, cases: Sequence[ReportCase], suites: Sequence[ElementTree.Element], seconds: float = 0.0
) -> bytes:  # fmt: skip
    """The XML document of some suites, which have these cases together, in UTF-8."""
    root = ElementTree.Element("testsuites", {"name": one_line(name)})
    root.attrib.update(_counts(cases) | {"time": f"{seconds:.3f}"})
    root.extend(suites)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return text + b"\n"


def suite_of(
    name: str,
    class_name: str,
    cases: Sequence[ReportCase],
    properties: Sequence[tuple[str, str]],
    seconds: float = 0.0,
) -> ElementTree.Element:
    """A suite of these cases."""
    suite = ElementTree.Element("testsuite", {"name": one_line(name)})
    skipped = str(sum(bool(case.skipped) for case in cases))
    suite.attrib.update(_counts(cases) | {"skipped": skipped, "time": f"{seconds:.3f}"})
    above = ElementTree.SubElement(suite, "properties")
    for key, value in properties:
        ElementTree.SubElement(above, "property", name=key, value=one_line(value))
    for case in cases:
        _case(suite, case, class_name)
    return suite


def _properties(figures: ReportFigures) -> list[tuple[str, str]]:
    verdict = figures.verdict
    return [
        ("verdict", verdict.verdict),
        ("target", verdict.target),
        ("seed", str(verdict.seed)),
        ("dashboards", str(verdict.dashboards)),
        ("widgets", str(verdict.widgets)),
        ("account", wording.account(verdict)),
        ("evidence", wording.strength(verdict)),
        ("repeat", figures.repeat),
    ]


def _counts(cases: Sequence[ReportCase]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome == "fail" for case in cases)),
        "errors": str(sum(case.outcome == "undecided" for case in cases)),
    }


def _case(suite: ElementTree.Element, case: ReportCase, class_name: str) -> None:
    element = ElementTree.SubElement(
        suite, "testcase", name=one_line(case.name), classname=one_line(class_name), time="0"
    )
    lines = [*case.why, *(wording.example(example) for example in case.examples[:_EXAMPLES])]
    if len(case.examples) > _EXAMPLES:
        lines.append(f"… and {len(case.examples) - _EXAMPLES} more examples in verdict.json")
    if case.skipped:
        ElementTree.SubElement(element, "skipped", message=case.skipped)
    if case.outcome != "pass":
        kind = "failure" if case.outcome == "fail" else "error"
        actual = f"{case.name}: {case.outcome}, actual {case.actual}"
        about = case.cause or case.meaning
        message = f"{actual} ({about})" if about else actual
        problem = ElementTree.SubElement(element, kind, type=kind, message=one_line(message))
        problem.text = "\n".join(map(one_line, lines))
    ElementTree.SubElement(element, "system-out").text = one_line(f"actual: {case.actual}")
