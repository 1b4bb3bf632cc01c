"""`chatswarm why` in the terminal: the causes of a run's findings, each with what shows it."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.judge.explanation import ExplainedCause, RunCauses
from chatswarm.loadtests.system.text import command_line, one_line

from .terminal import STYLES, badge, plain
from .wording import example

_EXAMPLES = 3
_FEW = 20  # cases


def print_explanation(console: Console, explanation: RunCauses, run: str, folder: str) -> None:
    """Prints all causes, by finding, and what is unexplained. `run`: its name, for the first line."""
    style = STYLES[explanation.verdict]
    head = Text.assemble(
        badge(explanation.verdict),
        f"  {one_line(summary(explanation))}",
    )
    console.print(head, soft_wrap=True)
    console.print(plain(f"  {run}", "dim"), soft_wrap=True)
    console.print(plain(f"  {explanation.size}", "dim"), soft_wrap=True)
    for reason in explanation.reasons:
        console.print(plain(f"  because {reason}", style), soft_wrap=True)
    for expectation in explanation.without:
        console.print(plain(f"  missed, and no rule is about it: {expectation}", "yellow"), soft_wrap=True)
    for cause in explanation.causes:
        console.print(Padding(_cause(cause), (1, 0, 0, 2)))
    if explanation.unexplained.count:
        console.print(Padding(_unexplained(explanation), (1, 0, 0, 2)))
    shown = [*(case for cause in explanation.causes for case in cause.examples), *explanation.unexplained.examples]
    examples = [case.uid for case in shown if case.uid]
    if examples:
        again = command_line(["chatswarm", "why", folder, examples[0]])
        console.print(Text(f"\n  one message's life: {again}", "dim"), soft_wrap=True)


def summary(explanation: RunCauses) -> str:
    """How much is explained, in a sentence."""
    explained = sum(cause.deliveries for cause in explanation.causes)
    everything = explained + explanation.unexplained.count
    if not everything:
        return "nothing to explain"
    if not explanation.unexplained.count:
        return f"causes found for all {everything:,} cases" if everything > 1 else "the cause was found"
    return f"causes found for {explained:,} of {everything:,} cases"


def nothing_differs(count: int) -> str:
    """What to say where no attribute sets the unexplained cases apart."""
    few = f" ({count} are few: a longer run tells more)" if count < _FEW else ""
    return f"no dashboard, chat, widget, server or second has more of them than chance would have it{few}"


def _cause(cause: ExplainedCause) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9, style="dim", no_wrap=True)
    table.add_column()
    title = Text(one_line(f"{cause.deliveries:,} {cause.finding}: {cause.sentence}"), "bold")
    table.add_row(Text(cause.certainty, "green" if cause.certainty == "proven" else "yellow"), title)
    share = f"{cause.id}, {cause.coverage:.0%} of {cause.finding}"
    rows = [("", share), *(("evidence", text) for text in cause.evidence)]
    rows += [("excludes", text) for text in cause.excluded]
    rows += [("witness", cause.witness)] if cause.witness else []
    rows += [("such as", example(case)) for case in cause.examples[:_EXAMPLES]]
    rows += [("likely", cause.likely)] if cause.likely else []
    rows.append(("look at", cause.next))
    before = ""
    for name, text in rows:
        table.add_row(
            "" if name == before else name, Text(one_line(text), "dim" if name == "such as" or not name else "")
        )
        before = name
    return table


def _unexplained(explanation: RunCauses) -> Table:
    left = explanation.unexplained
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9, style="dim", no_wrap=True)
    table.add_column()
    counts = ", ".join(f"{count:,} {name}" for name, count in left.by_finding.items())
    table.add_row(Text("?", STYLES["undecided"]), Text(f"unexplained: {counts}", "bold"))
    for number, text in enumerate(left.known):
        table.add_row("known" if not number else "", Text(one_line(text)))
    for number, case in enumerate(left.examples[:_EXAMPLES]):
        table.add_row("such as" if not number else "", Text(example(case), "dim"))
    for number, text in enumerate(left.ranking):
        table.add_row("differs" if not number else "", Text(one_line(text)))
    if not left.ranking:
        table.add_row("differs", Text(nothing_differs(left.count)))
    return table
