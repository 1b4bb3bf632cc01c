"""`chatswarm compare` in the terminal: the outcome, each metric with its interval, and what does not count."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.compare.live import ComparePlan, CompareProgress
from chatswarm.loadtests.compare.result import CompareResult
from chatswarm.loadtests.system.text import command_line, one_line
from chatswarm.loadtests.system.units import about

from .compare_wording import OUTCOMES, brief, change, figure, headline, interval, left_out, method, said, title, typical
from .terminal import STYLES, badge, plain, plain_table
from .wording import MARKS, many


def print_comparison(console: Console, result: CompareResult) -> None:
    """Prints the whole result, most important part first."""
    outcome = OUTCOMES[result.outcome]
    head = Text.assemble(
        badge(outcome, result.outcome),
        (f"  {one_line(result.scenario)}", "bold"),
        f": {one_line(result.new.name)} against {one_line(result.base.name)}",
    )
    console.print()
    console.print(head, soft_wrap=True)
    lines = [plain(headline(result), "bold"), plain(method(result), "dim")]
    lines += [plain(f"because {reason}", STYLES["undecided"]) for reason in result.reasons]
    lines += [plain(text, STYLES["undecided"]) for text in left_out(result)]
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2)))
    console.print(Padding(_metrics(result), (1, 0, 0, 2)))
    notes = [f"{metric.metric}: {said(metric)}" for metric in result.metrics if metric.outcome == "cannot tell"]
    notes += [f"note: {note}" for note in result.notes]
    worst = next((run for run in result.new.runs if run.verdict == "fail"), None)
    for number, note in enumerate(notes):
        console.print(Padding(plain(note, "dim"), (0 if number else 1, 0, 0, 2)))
    if worst is not None:
        why = command_line(["chatswarm", "why", worst.folder])
        console.print(plain(f"  a new run failed; to see why: {why}", "dim"), soft_wrap=True)


def _metrics(result: CompareResult) -> Table:
    rows = plain_table(
        ("", ""), ("metric", ""), ("base", "right"), ("new", "right"), ("change", "right"), ("interval", "right"),
        ("", ""),
    )  # fmt: skip
    for metric in result.metrics:
        outcome = OUTCOMES[metric.outcome]
        style = STYLES[outcome] if metric.decides else "dim"
        mark = MARKS[outcome] if metric.decides else "·"
        ratio = metric.ratio
        cells = (
            ("", "")
            if ratio is None or metric.runs_with is not None
            else (change(ratio.estimate), interval(ratio))
        )  # fmt: skip
        rows.add_row(
            Text(mark, style),
            Text(title(metric), "" if metric.decides else "dim", no_wrap=True),
            Text(typical(metric, metric.base)),
            Text(typical(metric, metric.new)),
            Text(cells[0], style),
            Text(cells[1], "dim"),
            plain(brief(metric), style),
        )
    return rows


def announcement(plan: ComparePlan) -> Text:
    """What is about to be run, and how long it takes."""
    least, most = plan.seconds
    what = "up to " if plan.until_decided else ""
    time = about(least) if about(least) == about(most) else f"{about(least)}, at most {about(most)}"
    return Text.assemble(
        (one_line(plan.base.scenario.name), "bold"),
        f": {one_line(plan.new.name)} against {one_line(plan.base.name)}, {what}{many(plan.pairs, 'pair')} of runs of "
        f"about {about(plan.seconds_of_pair / 2)} each, in turns: {time} in all",
    )


def current(progress: CompareProgress, elapsed: float = 0.0) -> str:
    """What is run now, and what remains when its run has taken so many seconds."""
    again = ", again" if progress.again else ""
    return (
        f"pair {progress.pair} of {progress.pairs}{again}: {progress.side}, {progress.name}, seed {progress.seed}; "
        f"about {about(max(0.0, progress.remaining - elapsed))} left"
    )


def pair_line(result: CompareResult) -> str:
    """The last pair's figures, in a line."""
    last = [
        f"{metric.metric} {figure(metric, metric.base[-1])} → {figure(metric, metric.new[-1])}"
        for metric in result.metrics
    ]
    return f"pair {len(result.base.runs)}: {', '.join(last)}"
