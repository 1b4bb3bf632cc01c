"""The command `chatswarm`. Its names, flags, files and exit codes are relied on by others."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from . import scenario as scenarios
from .runs import REPORT, VERDICT, new_folder
from .targets import DEFAULT, TARGETS, target_of
from .verdict import ExitCode, Verdict


def _examples(*commands: str) -> str:
    """The end of a help page. Each can be pasted: none is longer than a narrow terminal's line."""
    return "\n\n".join(["Examples:", *commands])


app = typer.Typer(
    help="Load and resilience testing of chat WebSockets: every message accounted for, on every dashboard, in time.",
    epilog=_examples("chatswarm run smoke", "chatswarm run --help"),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TargetOption = Annotated[str | None, typer.Option("--target", metavar="URL", help="The chat under test.")]
AdapterOption = Annotated[
    str,
    typer.Option(
        "--adapter",
        metavar="NAME",
        help=f"Its kind: {', '.join(TARGETS)}.",
        autocompletion=lambda incomplete: [name for name in TARGETS if name.startswith(incomplete)],
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result alone, as JSON, on standard output.")]


def _scenarios(incomplete: str) -> list[str]:
    """For the shell's completion; paths it completes by itself."""
    return [name for name in scenarios.shipped() if name.startswith(incomplete)]


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def serve(context: typer.Context) -> None:
    """Run the reference chat."""
    # The backend is a package of its own, which this one never imports: it takes over the process.
    os.execv(sys.executable, [sys.executable, "-m", "chatswarm.backend", *context.args])  # noqa: S606


@app.command(
    epilog=_examples(
        "chatswarm check",
        "chatswarm check --target http://127.0.0.1:8000 --json",
        "chatswarm check --browser --pages http://localhost:3000",
    )
)
def check(
    target: Annotated[str, typer.Option(metavar="URL", help="The chat under test.")] = "http://127.0.0.1:8000",
    adapter: AdapterOption = DEFAULT,
    browser: Annotated[
        bool, typer.Option("--browser", help="Walk the guide's two pages, in a headless Chromium.")
    ] = False,
    pages: Annotated[
        str | None, typer.Option(metavar="URL", help="With --browser: the pages; else http://localhost:3000.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --browser: where to leave screenshots and consoles.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk the guide's checklist in under 5 s: does the chat work at all?"""
    from .checklist import Step, closing, step_line, walk

    _known(adapter)
    console = Console(stderr=True)

    def show(step: Step) -> None:
        console.print(step_line(step), no_wrap=True, overflow="ellipsis")

    if not browser:
        if pages is not None or out is not None:
            _refuse("--pages, --out: expected --browser as well: without it no page is opened")
        try:
            report = walk(target_of(adapter), target, on_step=show)
        except ValueError as error:
            _refuse(f"--target: {error}")
    else:
        from .checklist.browser import PAGES, CannotBrowseError, walk_pages

        folder = out or new_folder("check")
        try:
            report = walk_pages(target_of(adapter), target, pages or PAGES, folder, on_step=show)
        except (ValueError, CannotBrowseError) as error:
            _refuse(str(error))
    console.print(closing(report))
    if browser:
        _say(f"screenshots and consoles: {folder}")
    if as_json:
        sys.stdout.buffer.write(report.json())
    raise typer.Exit(report.exit_code)


@app.command(
    epilog=_examples(
        "chatswarm run smoke",
        "chatswarm run steady --dashboards 300 --rate 50 --processes 2",
        "chatswarm run smoke --target http://127.0.0.1:8000 --json",
    )
)
def run(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="A shipped name, or the path of a TOML file.", autocompletion=_scenarios
        ),
    ],
    target: TargetOption = None,
    adapter: AdapterOption = DEFAULT,
    dashboards: Annotated[int | None, typer.Option(help="How many dashboards.")] = None,
    widgets: Annotated[int | None, typer.Option(help="How many widgets.")] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="MSGS_PER_S", help="Messages per second over all widgets.")
    ] = None,
    duration: Annotated[str | None, typer.Option(metavar="30s", help="Length of the measured part.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes of the swarm.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same schedule.")] = 1,
    pid: Annotated[int | None, typer.Option(min=1, help="The target's process, for faults that strike it.")] = None,
    restart_command: Annotated[
        str | None, typer.Option(metavar="CMD", help="The shell command that starts the target again.")
    ] = None,
    toxiproxy: Annotated[
        str | None, typer.Option(metavar="URL", help="The API of a Toxiproxy to use instead of our own proxy.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            envvar="CHATSWARM_METRICS_PORT",
            help="Serve live figures for Prometheus at /metrics of this port; 0: a free one.",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="HOST", envvar="CHATSWARM_METRICS_HOST", help="The address of that port.")
    ] = "127.0.0.1",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to leave the run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario to its verdict: does the chat hold?

    Without --target, the reference chat is started for the run, on a free port, and stopped at its end.
    """
    from .run import Metrics, RigError, Run
    from .stage import CannotRunError, Given
    from .terminal import LiveLine

    _known(adapter)
    if target is None and (pid is not None or restart_command is not None):
        _refuse("--pid, --restart-command: expected --target as well: what chatswarm starts it knows by itself")
    flags = {"dashboards": dashboards, "widgets": widgets, "rate": rate, "duration": duration}
    try:
        chosen = scenarios.load(scenario, {key: value for key, value in flags.items() if value is not None})
    except scenarios.ScenarioError as error:
        _refuse(*error.problems)
    folder = out or new_folder(chosen.name)
    console = Console(stderr=True)
    console.print(
        f"[bold]{chosen.name}[/]: {chosen.dashboards} dashboards, {chosen.widgets} widgets, "
        f"about {chosen.rates.messages:.0f} messages in {chosen.duration:g} s against {target or 'the reference chat'}",
        highlight=False,
        soft_wrap=True,
    )
    for plan in chosen.faults:
        console.print(f"  {plan.shown}", highlight=False, style="dim")
    try:
        with LiveLine(console, not as_json) as line:
            given = Given(target, adapter, pid, restart_command, toxiproxy)
            metrics = None if metrics_port is None else Metrics(metrics_port, metrics_host)
            run = Run(chosen, folder, given, seed, processes, metrics, line.show, line.say, line.step)
            verdict = run.perform()
    except CannotRunError as error:
        _refuse(*error.problems)
    except RigError as error:
        _say(f"internal error: {error}")
        raise typer.Exit(ExitCode.INTERNAL) from None
    _finish(verdict, console, as_json)


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first", "chatswarm judge runs/first --slo 'visible.p99 <= 1s' --json"
    )
)
def judge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    slo: Annotated[list[str] | None, typer.Option(metavar="'visible.p99 <= 2s'", help="Instead of its own.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a recorded run anew, from its history alone."""
    from .judge import NoRunError, write_verdict
    from .judge import judge as decide
    from .slo import SloError
    from .terminal import LiveLine

    console = Console(stderr=True)
    try:
        with LiveLine(console, not as_json) as line:
            verdict = decide(folder, slo or None, line.step)
        write_verdict(folder, verdict)
    except SloError as error:
        _refuse(f"--slo: {error}")
    except NoRunError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{folder}: expected a folder to write {VERDICT} to, got: {error}")
    _finish(verdict, console, as_json)


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first", "chatswarm report runs/first --html first.html --junit first.xml"
    )
)
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="One page, readable without a network.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit's XML, for CI.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="A summary in Markdown.")] = None,
) -> None:
    """Write reports of a recorded run: a page, JUnit's XML, a summary.

    Without any of the options: report.html in the run's folder. Ends with the exit code of the verdict.
    """
    from .judge import NoRunError
    from .report import NotWrittenError, append_step_summary, figures_again, write_reports
    from .wording import MARKS, headline

    if not (html or junit or markdown):
        html = folder / REPORT
    try:
        figures = figures_again(folder)
        write_reports(figures, html, junit, markdown)
    except (NoRunError, NotWrittenError, OSError) as error:
        _refuse(str(error))
    except Exception as error:  # noqa: BLE001 - a report that failed must not look like a target that did
        _say(f"internal error: {type(error).__name__}: {error}")
        raise typer.Exit(ExitCode.INTERNAL) from None
    verdict = figures.verdict
    for note in figures.notes:
        _say(note)
    _say(f"{MARKS[verdict.verdict]} {verdict.verdict.upper()}: {headline(verdict)}")
    for path in filter(None, (html, junit, markdown)):
        _say(f"written: {path}")
    try:
        append_step_summary(figures)
    except NotWrittenError as error:
        _say(str(error))
    raise typer.Exit(verdict.exit_code)


def main() -> None:
    """The entry point."""
    from .children import end_with_parent

    end_with_parent()
    try:
        app()
    except Exception:  # noqa: BLE001 - Python's own exit code would be 1, which means that the target failed
        traceback.print_exc()
        _say("internal error: please report it, with the lines above")
        sys.exit(ExitCode.INTERNAL)


def _finish(verdict: Verdict, console: Console, as_json: bool) -> None:
    from .terminal import print_verdict

    print_verdict(console, verdict)
    if as_json:
        sys.stdout.buffer.write(verdict.json())
    raise typer.Exit(verdict.exit_code)


def _known(adapter: str) -> None:
    if adapter not in TARGETS:
        _refuse(f"--adapter: expected one of {', '.join(TARGETS)}, got {adapter!r}")


def _refuse(*problems: str) -> NoReturn:
    for problem in problems:
        _say(problem)
    raise typer.Exit(ExitCode.USAGE)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
