"""The command `chatswarm`. Its names, flags, files and exit codes are relied on by others."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from .history.folders import REPORT, VERDICT, give_back, make_next, new_folder, not_there
from .judge.verdict import Verdict
from .net.address import Address, parse_address
from .net.origin import parse_origin
from .protocols import DEFAULT, PROTOCOLS, ChatProtocol, protocol_of
from .scenario import scenario as scenarios
from .system.exit_code import ExitCode
from .system.streams import problem_of
from .system.text import one_line
from .system.version import installed_version


def _examples(*commands: str) -> str:
    """The end of a help page. Each can be pasted: none is longer than a narrow terminal's line."""
    return "\n\n".join(["Examples:", *commands])


class _Commands(typer.core.TyperGroup):
    """No way out of a command has exit code 1, unless it is a verdict's: it means that the target failed."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as its parent has it
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(ExitCode.UNDECIDED) from None
        except (OSError, EOFError):
            # Typer takes any broken pipe for that of its output, and would end with 1.
            _internal_error()


app = typer.Typer(
    cls=_Commands,
    help="Load and resilience testing of chat WebSockets: every message accounted for, on every dashboard, in time.",
    epilog=_examples("chatswarm run smoke", "chatswarm run --help"),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TargetOption = Annotated[str | None, typer.Option("--target", metavar="URL", help="The chat under test.")]
ProtocolOption = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help=f"Its kind: {', '.join(PROTOCOLS)}.",
        autocompletion=lambda incomplete: [name for name in PROTOCOLS if name.startswith(incomplete)],
    ),
]
OriginOption = Annotated[
    str | None,
    typer.Option("--origin", metavar="URL", help="The Origin of all requests and handshakes; default: none."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result alone, as JSON, on standard output.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"chatswarm {installed_version()}")
        raise typer.Exit


@app.callback()
def chatswarm(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Load and resilience testing of chat WebSockets: every message accounted for, on every dashboard, in time."""
    del version


def _scenarios(incomplete: str) -> list[str]:
    """For the shell's completion; paths it completes by itself."""
    return [name for name in scenarios.shipped() if name.startswith(incomplete)]


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def serve(context: typer.Context) -> None:
    """Run the reference chat."""
    from .system.children import python

    # The backend is a package of its own, which this one never imports: it takes over the process.
    command = python("chatswarm.backend", *context.args)
    os.execv(command[0], command)  # noqa: S606


@app.command(
    epilog=_examples(
        "chatswarm check",
        "chatswarm check --target http://127.0.0.1:8000 --json",
        "chatswarm check --browser --pages http://localhost:3000",
    )
)
def check(
    target: Annotated[str, typer.Option(metavar="URL", help="The chat under test.")] = "http://127.0.0.1:8000",
    protocol: ProtocolOption = DEFAULT,
    origin: OriginOption = None,
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
    from .checklist import Step, closing, run_checklist, step_line

    _known(protocol)
    problems: list[str] = []
    address = _address("--target", target, problems)
    from_where = None if origin is None else _origin(origin, problems)
    chat = _target(protocol, problems)
    if not browser and (pages is not None or out is not None):
        problems.append("--pages, --out: expected --browser as well: without it no page is opened")
    if browser and pages is not None:
        _address("--pages", pages, problems)
    if browser and origin is not None:
        problems.append("--origin: expected no --browser: a page's origin is where it was loaded from")
    if problems or address is None or chat is None:
        _refuse(*problems)
    console = _console()

    def show(step: Step) -> None:
        _print(console, step_line(step), no_wrap=True, overflow="ellipsis")

    if not browser:
        try:
            report = run_checklist(chat, address.url, on_step=show, origin=from_where)
        except ValueError as error:
            _refuse(f"--target: {error}")
    else:
        from .checklist.browser import PAGES, CannotBrowseError, check_pages

        folder = out or new_folder("check")
        made = not_there(folder)
        try:
            folder = out or make_next(folder)
        except OSError as error:
            _refuse(f"--out: expected a folder to write to, got: {error}")
        try:
            report = check_pages(chat, address.url, PAGES if pages is None else pages, folder, on_step=show)
        except (ValueError, CannotBrowseError) as error:
            give_back([folder, *made] if out is None else made)
            _refuse(str(error))
    _print(console, closing(report))
    if browser:
        _say(f"screenshots and consoles: {one_line(str(folder))}")
    if as_json:
        _write(report.json())
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
    protocol: ProtocolOption = DEFAULT,
    origin: OriginOption = None,
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
    from .report import report_on
    from .report.terminal import LiveLine
    from .run.run import InterruptedRunError, MetricsEndpoint, RigError, Run
    from .run.testbed import CannotRunError, TestbedOptions
    from .system.interrupts import Interrupts

    _known(protocol)
    problems: list[str] = []
    address = None if target is None else _address("--target", target, problems)
    if toxiproxy is not None:
        _address("--toxiproxy", toxiproxy, problems)
    from_where = None if origin is None else _origin(origin, problems)
    _target(protocol, problems)
    if target is None and (pid is not None or restart_command is not None):
        problems.append("--pid, --restart-command: expected --target as well: what chatswarm starts it knows by itself")
    flags = {"dashboards": dashboards, "widgets": widgets, "rate": rate, "duration": duration}
    try:
        chosen = scenarios.load(scenario, {key: value for key, value in flags.items() if value is not None})
    except scenarios.ScenarioError as error:
        _refuse(*problems, *error.problems)
    if problems:
        _refuse(*problems)
    console = _console()
    what = Text.assemble(
        (one_line(chosen.name), "bold"),
        f": {chosen.dashboards} dashboards, {chosen.widgets} widgets, about {chosen.rates.messages:.0f} messages in "
        f"{chosen.duration:g} s against {'the reference chat' if address is None else address.url}",
    )
    _print(console, what, soft_wrap=True)
    for plan in chosen.faults:
        _print(console, Text(f"  {one_line(plan.shown)}", "dim"), soft_wrap=True)
    url = None if address is None else address.url
    given = TestbedOptions(url, protocol, pid, restart_command, toxiproxy, from_where)
    metrics = None if metrics_port is None else MetricsEndpoint(metrics_port, metrics_host)
    folder = out or new_folder(chosen.name)
    # Until the verdict is said, so that none of them can end the run without one.
    with Interrupts() as interrupts:
        try:
            with LiveLine(console, _animated(as_json)) as line:
                run = Run(
                    chosen, folder, given, seed, processes, metrics, show=line.show, say=line.say, step=line.step,
                    report=report_on, numbered=out is None, interrupts=interrupts,
                )  # fmt: skip
                verdict = run.perform()
        except CannotRunError as error:
            _refuse(*error.problems)
        except InterruptedRunError as error:
            _say(str(error))
            raise typer.Exit(ExitCode.UNDECIDED) from None
        except RigError as error:
            _say(f"internal error: {error}")
            raise typer.Exit(ExitCode.INTERNAL) from None
        _finish(verdict, console, as_json)


@app.command("scenarios", epilog=_examples("chatswarm scenarios", "chatswarm run kill"))
def list_scenarios() -> None:
    """List the scenarios that come with chatswarm: name, question, length of the measured part."""
    for name in scenarios.shipped():
        loaded = scenarios.load(name)
        print(f"{name:14}  {loaded.question:66}  {loaded.duration:4.0f} s")


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
    from .judge.judge import NoRunError, write_verdict
    from .judge.judge import judge as decide
    from .report.terminal import LiveLine
    from .scenario.slo import SloError

    console = _console()
    try:
        with LiveLine(console, _animated(as_json)) as line:
            verdict = decide(folder, slo or None, line.step)
        write_verdict(folder, verdict)
    except SloError as error:
        _refuse(f"--slo: {error}")
    except NoRunError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{one_line(str(folder))}: expected a folder to write {VERDICT} to, got: {error}")
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
    from .judge.judge import NoRunError
    from .report import NotWrittenError, append_step_summary, figures_again, write_reports
    from .report.wording import MARKS, headline

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
        _say(f"written: {one_line(str(path))}")
    try:
        append_step_summary(figures)
    except NotWrittenError as error:
        _say(str(error))
    raise typer.Exit(verdict.exit_code)


def main() -> None:
    """The command, in a process that `entry` has made fit for it. Ends with SystemExit."""
    from .system.children import end_with_parent

    end_with_parent()
    try:
        app()
    except Exception:  # noqa: BLE001 - Python's own exit code would be 1, which means that the target failed
        traceback.print_exc()
        _say("internal error: please report it, with the lines above")
        sys.exit(ExitCode.INTERNAL)


def _finish(verdict: Verdict, console: Console, as_json: bool) -> NoReturn:
    """Says the verdict, which is in its folder by now: whatever becomes of saying it, its exit code stands."""
    from .report.terminal import print_verdict

    try:
        print_verdict(console, verdict)
        if as_json:
            _write(verdict.json())
    except KeyboardInterrupt:
        pass
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        _say(f"the verdict could not be shown; it is {verdict.verdict}")
    raise typer.Exit(verdict.exit_code)


def _console() -> Console:
    """On standard error. FORCE_COLOR may colour what is no terminal; nothing else is different there."""
    if sys.stderr.isatty():
        return Console(stderr=True, highlight=False)
    forced = any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    return Console(stderr=True, highlight=False, force_terminal=forced, force_interactive=False)


def _animated(as_json: bool) -> bool:
    """Whether a line may be drawn over and over: on a real terminal only, whatever colours are forced."""
    return not as_json and sys.stderr.isatty()


def _print(console: Console, what: RenderableType, **how: Any) -> None:  # noqa: ANN401 - as Rich has it
    console.print(what, highlight=False, markup=False, **how)


def _write(result: bytes) -> None:
    """The result, alone on standard output. Says if it did not arrive there."""
    sys.stdout.buffer.write(result)
    if problem := problem_of(sys.stdout):
        _say(f"standard output: expected to write the result, got: {problem}")


def _address(flag: str, url: str, problems: list[str]) -> Address | None:
    """The address in a flag; None if it is none, which goes to the problems."""
    try:
        return parse_address(url)
    except ValueError as error:
        problems.append(f"{flag}: {error}")
        return None


def _origin(url: str, problems: list[str]) -> str | None:
    """The origin in --origin, as a browser writes it; None if it is none, which goes to the problems."""
    try:
        return parse_origin(url)
    except ValueError as error:
        problems.append(f"--origin: {error}")
        return None


def _target(protocol: str, problems: list[str]) -> ChatProtocol | None:
    """The target of that name; None if its token is wrong, which goes to the problems."""
    try:
        return protocol_of(protocol)
    except ValueError as error:
        problems.append(str(error))
        return None


def _known(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        _refuse(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")


def _refuse(*problems: str) -> NoReturn:
    for problem in problems:
        _say(problem)
    raise typer.Exit(ExitCode.USAGE)


def _internal_error() -> NoReturn:
    traceback.print_exc()
    _say("internal error: please report it, with the lines above")
    raise typer.Exit(ExitCode.INTERNAL)


def _say(text: str) -> None:
    """On standard error, where nothing in it is a command to the terminal. It may be several lines."""
    print("\n".join(map(one_line, text.split("\n"))), file=sys.stderr)
