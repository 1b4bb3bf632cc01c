"""`chatswarm why` as an HTML page, and the causes on the report's page."""

from collections.abc import Mapping, Sequence

from chatswarm.loadtests.causes.table import CAUSES
from chatswarm.loadtests.judge.explanation import ExplainedCause, RunCauses, Unexplained

from . import wording
from .charts import table
from .document import document
from .examples import example_tables
from .markup import Markup, Prose, element, joined
from .why import nothing_differs, summary


def why_page(explanation: RunCauses, run: str) -> str:
    """The HTML document. `run`: its name, for the heading."""
    mark = f"{wording.MARKS[explanation.verdict]} {explanation.verdict.upper()}"
    head = element(
        "header",
        element(
            "div",
            element("div", mark, class_="badge"),
            element("h1", "Why ", element("span", run, class_="soft")),
            element("p", f"{summary(explanation).capitalize()}.", class_="why"),
            element("p", f"{explanation.size}.", class_="soft"),
            *(element("p", f"Missed, and no rule is about it: {text}", class_="bad") for text in explanation.without),
            element("ul", (element("li", f"because {reason}") for reason in explanation.reasons))
            if explanation.reasons
            else None,
            class_=f"verdict {explanation.verdict}",
        ),
    )
    sections = (
        element("section", element("h2", title_of(cause)), cause_details(cause)) for cause in explanation.causes
    )
    left = (
        element("section", element("h2", "Unexplained"), unexplained_details(explanation.unexplained))
        if explanation.unexplained.count
        else None
    )
    return document(f"Why: {run}", head, element("main", overview(explanation.causes), sections, left))


def title_of(cause: ExplainedCause) -> str:
    """How many cases, of what, and why."""
    return f"{cause.deliveries:,} {cause.finding}: {cause.sentence}"


def overview(causes: Sequence[ExplainedCause]) -> Markup | None:
    """All causes in a table."""
    if len(causes) < 2:
        return None
    rows = [
        (
            cause.finding,
            Prose(element("code", cause.id)),
            cause.certainty,
            f"{cause.deliveries:,}",
            f"{cause.coverage:.0%}",
        )
        for cause in causes
    ]
    return table("The causes", ("finding", "cause", "certainty", "cases", "share"), rows, shown=True)


def cause_details(cause: ExplainedCause) -> Markup:
    """What shows a cause, what excludes others, what to look at, and examples."""
    listed = {
        "What proves it": [CAUSES[cause.id].proves],
        "Evidence": cause.evidence,
        "Excludes other causes": cause.excluded,
        "The clearest of them": [cause.witness] if cause.witness else [],
        "Probably": [cause.likely] if cause.likely else [],
        "Look at": [cause.next],
    }
    share = f": {cause.coverage:.0%} of what is {cause.finding}"
    return joined(
        element("p", element("span", cause.certainty, class_=f"mark {_TONES[cause.certainty]}"), share),
        _facts(listed),
        example_tables(
            cause.examples,
            f"{len(cause.examples)} of {cause.deliveries:,}: `chatswarm why` with a message's name shows its life",
        )
        if cause.examples
        else None,
    )


def _facts(listed: Mapping[str, Sequence[str]]) -> Markup:
    """Names with texts, of those that have any."""
    rows = (
        joined(element("dt", name), (element("dd", text) for text in texts)) for name, texts in listed.items() if texts
    )
    return element("dl", rows, class_="facts")


_TONES = {"proven": "pass", "probable": "undecided"}


def unexplained_details(left: Unexplained) -> Markup:
    """What is known of unexplained cases, and where they are more frequent than elsewhere."""
    counts = ", ".join(f"{count:,} {name}" for name, count in left.by_finding.items())
    nothing = [nothing_differs(left.count)]
    return joined(
        element("p", f"No rule's evidence holds for {counts}, and nothing is blamed on a hunch."),
        _facts({"Known": left.known, "Differs": left.ranking or nothing}),
        example_tables(left.examples, f"{len(left.examples)} of {left.count:,}") if left.examples else None,
    )
