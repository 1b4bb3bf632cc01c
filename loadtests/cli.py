"""The `chatswarm` command line. Its commands, options, files and exit codes are a public contract."""

import difflib
import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from .history.folders import (
    REPORT,
    VERDICT,
    claim_new,
    folder_name,
    give_back,
    make_next,
    new_folder,
    not_there,
    take_back,
)
from .judge.verdict import FINDINGS, Verdict
from .net.address import parse_address
from .net.origin import parse_origin
from .protocols.catalogue import BUILT_IN, ProtocolError, find_protocol, shipped
from .protocols.protocol import DEFAULT, ChatProtocol
from .protocols.users_file import UsersFileError, read_users
from .scenario import scenario as scenarios
from .system.exit_code import ExitCode
from .system.flags import read_flag
from .system.streams import problem_of
from .system.text import one_line
from .system.version import installed_version

if TYPE_CHECKING:
    from .capacity.asking import CapacityOptions
    from .checklist import CheckReport, Step
    from .compare.decide import CompareSettings
    from .compare.live import ComparePlan
    from .judge.judge import Judged
    from .report.compare_session import ComparedSession
    from .report.terminal import LiveLine
    from .run.run import MetricsEndpoint
    from .system.progress import RunProgress
    from .testbed.messages import TestbedOptions


def _examples(*commands: str) -> str:
    """The end of a help page. Each command fits on a line of a narrow terminal, so that it can be pasted."""
    return "\n\n".join(["Examples:", *commands])


class _Commands(typer.core.TyperGroup):
    """Keeps exit code 1 for verdicts: it means that the target failed, so no error may end with it."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the signature of the parent
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(ExitCode.UNDECIDED) from None
        except (OSError, EOFError):
            # Typer would take any broken pipe for a closed standard output, and exit with 1.
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

TargetOption = Annotated[
    str | None, typer.Option("--target", metavar="URL", help="URL of the chat under test; default: the reference chat.")
]


def _protocols(incomplete: str) -> list[str]:
    """The names of shipped protocols that begin like this. Paths are completed by the shell itself."""
    return [name for name in sorted({*BUILT_IN, *shipped()}) if name.startswith(incomplete)]


def _metrics(incomplete: str) -> list[str]:
    """The metrics that may be compared and begin like this."""
    from .compare.metrics import COMPARABLE

    return [name for name in COMPARABLE if name.startswith(incomplete)]


ProtocolOption = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Protocol that the chat speaks: a shipped one (chatswarm protocols), a TOML file, or module:Class.",
        autocompletion=_protocols,
    ),
]
ChosenProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Protocol that the chat speaks: a shipped one (chatswarm protocols), a TOML file, or module:Class; "
        f"default: {DEFAULT}, or without --target that of the chat that the scenario starts.",
        autocompletion=_protocols,
    ),
]
OriginOption = Annotated[
    str | None,
    typer.Option("--origin", metavar="URL", help="Origin header of all requests and handshakes; default: none."),
]
UsersFileOption = Annotated[
    Path | None,
    typer.Option("--users-file", metavar="FILE", help="CSV with a row per user: name, and what its login needs."),
]
TraceparentOption = Annotated[
    bool,
    typer.Option(
        "--traceparent",
        help="Send a W3C trace context with each send and refetch by HTTP, to find messages in the chat's own tracing.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print only the result to standard output, as JSON.")]


def _scenario_names(incomplete: str) -> list[str]:
    """The names of shipped scenarios that begin like this. Paths are completed by the shell itself."""
    return [name for name in scenarios.shipped() if name.startswith(incomplete)]


ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="Name of a shipped scenario, or path of a TOML file.",
        autocompletion=_scenario_names,
    ),
]
DashboardsOption = Annotated[int | None, typer.Option(help="Number of dashboards.")]
WidgetsOption = Annotated[int | None, typer.Option(help="Number of widgets.")]
RoomsOption = Annotated[int | None, typer.Option(help="Number of rooms, for chats with rooms.")]
MembersOption = Annotated[int | None, typer.Option(help="Number of dashboards in each room.")]
RateOption = Annotated[float | None, typer.Option(metavar="MSGS_PER_S", help="Messages per second, over all widgets.")]
DurationOption = Annotated[str | None, typer.Option(metavar="30s", help="Length of the measured part.")]
ProcessesOption = Annotated[int, typer.Option(min=1, help="Number of processes that generate the load.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the schedule: the same seed gives the same schedule.")]
PidOption = Annotated[int | None, typer.Option(min=1, help="Process ID of the target, for faults on its process.")]
RestartCommandOption = Annotated[
    str | None, typer.Option(metavar="CMD", help="Shell command that starts the target again.")
]
ToxiproxyOption = Annotated[
    str | None, typer.Option(metavar="URL", help="API of a running Toxiproxy; default: the built-in fault proxy.")
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        metavar="PORT",
        envvar="CHATSWARM_METRICS_PORT",
        help="Serve live Prometheus metrics at /metrics on this port; 0 picks a free one.",
    ),
]
MetricsHostOption = Annotated[
    str, typer.Option(metavar="HOST", envvar="CHATSWARM_METRICS_HOST", help="Address to serve the metrics on.")
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for the results; default: runs/<time>-<scenario>/.")
]
PageOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write a self-contained HTML page.")
]
JunitOption = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML, for CI.")]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Also write a Markdown summary.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a recorded run.")]


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


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def serve(context: typer.Context) -> None:
    """Run the reference chat."""
    from .system.children import python

    # This package never imports the backend, so the backend replaces this process.
    command = python("chatswarm.backend", *context.args)
    os.execv(command[0], command)  # noqa: S606


@app.command(
    epilog=_examples(
        "chatswarm check",
        "chatswarm check --target http://127.0.0.1:8000 --json",
        "chatswarm check --protocol socket.io --target http://127.0.0.1:8000",
        "chatswarm check --browser --pages http://localhost:3000",
    )
)
def check(
    target: Annotated[str, typer.Option(metavar="URL", help="URL of the chat under test.")] = "http://127.0.0.1:8000",
    protocol: ProtocolOption = DEFAULT,
    origin: OriginOption = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Test the guide's two pages in a headless Chromium.")
    ] = False,
    pages: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --browser: URL of the pages; default: http://localhost:3000."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --browser: folder for screenshots and console logs.")
    ] = None,
    users_file: UsersFileOption = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="With a protocol file: wait for one heartbeat, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a checklist in a few seconds: does the chat work at all?"""
    from .checklist import closing, run_checklist, step_line
    from .protocols.described import Described

    problems: list[str] = []
    address = read_flag("--target", parse_address, target, problems)
    checked_origin = _checked_origin(origin, problems)
    chat_protocol = _chat_protocol(protocol, problems, target)
    if not browser and (pages is not None or out is not None):
        problems.append("--pages, --out: expected --browser as well: no page is opened without it")
    if browser and protocol != DEFAULT:
        problems.append(f"--browser: expected --protocol {DEFAULT}, which the guide's pages speak, got {protocol}")
    if browser and pages is not None:
        read_flag("--pages", parse_address, pages, problems)
    if browser and origin is not None:
        problems.append("--origin: expected no --browser: a page's origin is the URL that it was loaded from")
    users = _users(protocol, users_file, problems)
    if thorough and not isinstance(chat_protocol, Described):
        problems.append(f"--thorough: expected a protocol file with --protocol, got {protocol}")
    if problems or address is None or chat_protocol is None:
        _refuse(*problems)
    console = _console()

    def show(step: "Step") -> None:
        _print(console, step_line(step), no_wrap=True, overflow="ellipsis")

    folder: Path | None = None
    report: CheckReport
    if browser:
        report, folder = _check_pages(chat_protocol, address.url, pages, out, show)
    else:
        try:
            report = run_checklist(
                chat_protocol, address.url, on_step=show, origin=checked_origin, users=users, thorough=thorough
            )
        except ValueError as error:
            _refuse(str(error))
    _print(console, closing(report))
    if folder is not None:
        _say(f"screenshots and console logs: {one_line(str(folder))}")
    if as_json:
        _write(report.json())
    raise typer.Exit(report.exit_code)


def _check_pages(
    protocol: ChatProtocol, target: str, pages: str | None, out: Path | None, show: Callable[["Step"], None]
) -> tuple["CheckReport", Path]:
    """Runs the checklist in a browser. Returns its report and its folder, which is removed if it cannot start."""
    from .checklist.browser import PAGES, CannotBrowseError, check_pages

    folder = out or new_folder("check")
    created = not_there(folder)
    try:
        folder = out or make_next(folder)
    except OSError as error:
        _refuse(f"--out: expected a folder to write to, got: {error}")
    try:
        return check_pages(protocol, target, PAGES if pages is None else pages, folder, on_step=show), folder
    except (ValueError, CannotBrowseError) as error:
        give_back([folder, *created] if out is None else created)
        _refuse(str(error))


@app.command(
    epilog=_examples(
        "chatswarm run smoke",
        "chatswarm run steady --dashboards 300 --rate 50 --processes 2",
        "chatswarm run smoke --target http://127.0.0.1:8000 --json",
    )
)
def run(
    scenario: ScenarioArgument,
    target: TargetOption = None,
    protocol: ChosenProtocolOption = None,
    origin: OriginOption = None,
    users_file: UsersFileOption = None,
    dashboards: DashboardsOption = None,
    widgets: WidgetsOption = None,
    rooms: RoomsOption = None,
    members: MembersOption = None,
    rate: RateOption = None,
    duration: DurationOption = None,
    processes: ProcessesOption = 1,
    seed: SeedOption = 1,
    pid: PidOption = None,
    restart_command: RestartCommandOption = None,
    toxiproxy: ToxiproxyOption = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
    traceparent: TraceparentOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario and judge it: does the chat hold up?

    Without --target, the reference chat is started on a free port for the run, and stopped afterwards.
    """
    from .run.run import MetricsEndpoint
    from .testbed.messages import TestbedOptions

    problems: list[str] = []
    address = None if target is None else read_flag("--target", parse_address, target, problems)
    if toxiproxy is not None:
        read_flag("--toxiproxy", parse_address, toxiproxy, problems)
    checked_origin = _checked_origin(origin, problems)
    _chat_protocol(protocol or DEFAULT, problems, target)
    if target is None and (pid is not None or restart_command is not None):
        problems.append("--pid, --restart-command: expected --target as well: chatswarm knows what it starts itself")
    overrides: dict[str, object] = {"dashboards": dashboards, "widgets": widgets, "rate": rate, "duration": duration}
    chosen = _load_scenario(scenario, {**overrides, "rooms": rooms, "members": members}, problems)
    if target is None and protocol == scenarios.PUSH:
        chosen = chosen.speaking_push()
    spoken = _protocol_for(chosen, protocol, target)
    options = TestbedOptions(
        base_url=None if address is None else address.url,
        protocol=spoken,
        pid=pid,
        restart_command=restart_command,
        toxiproxy=toxiproxy,
        origin=checked_origin,
        users_file=_absolute(users_file),
        traceparent=traceparent,
    )
    metrics = None if metrics_port is None else MetricsEndpoint(metrics_port, metrics_host)
    _run_and_judge(chosen, out, options, seed, processes, metrics, as_json=as_json)


def _checked_origin(origin: str | None, problems: list[str]) -> str | None:
    """The origin as requests have it. What is wrong is added to `problems`."""
    return None if origin is None else read_flag("--origin", parse_origin, origin, problems)


def _absolute(path: Path | None) -> str | None:
    """The path as processes with another working folder need it."""
    return None if path is None else str(path.absolute())


def _load_scenario(name: str, overrides: Mapping[str, object], problems: list[str]) -> scenarios.Scenario:
    """The scenario with flags applied. Refuses the command if it is wrong, or if there are other `problems`."""
    try:
        chosen = scenarios.load(name, {key: value for key, value in overrides.items() if value is not None})
    except scenarios.ScenarioError as error:
        _refuse(*problems, *error.problems)
    if problems:
        _refuse(*problems)
    return chosen


def _run_and_judge(
    scenario: scenarios.Scenario,
    out: Path | None,
    options: "TestbedOptions",
    seed: int,
    processes: int,
    metrics: "MetricsEndpoint | None",
    *,
    as_json: bool,
) -> NoReturn:
    """Runs the scenario, shows its progress and its verdict, and exits with the verdict's exit code."""
    from .report.terminal import LiveLine
    from .run.run import CannotRunError, InterruptedRunError, RigError, Run
    from .system.interrupts import Interrupts

    console = _console()
    _announce(console, scenario, options.base_url)
    # Until the verdict is shown, so that no signal can end the run without one.
    with Interrupts() as interrupts:
        try:
            with LiveLine(console, _animated(as_json)) as line:
                verdict = Run(
                    scenario=scenario,
                    folder=out or new_folder(scenario.name),
                    options=options,
                    seed=seed,
                    processes=processes,
                    metrics=metrics,
                    show=lambda progress: _show(line, progress),
                    say=line.say,
                    step=line.step,
                    report=_report,
                    numbered=out is None,
                    interrupts=interrupts,
                ).perform()
        except CannotRunError as error:
            _refuse(*error.problems)
        except InterruptedRunError as error:
            _say(str(error))
            raise typer.Exit(ExitCode.UNDECIDED) from None
        except RigError as error:
            _say(f"internal error: {error}")
            raise typer.Exit(ExitCode.INTERNAL) from None
        _finish(verdict, console, as_json)


def _show(line: "LiveLine", progress: "RunProgress") -> None:
    line.show(progress)
    if progress.phase == "draining":
        # What the verdict needs takes a while to load, and now nobody waits for it.
        from .report import build  # noqa: F401


def _report(run: "Judged", folder: Path) -> str:
    from .report.build import report_on

    return report_on(run, folder)


def _rooms_of(scenario: scenarios.Scenario) -> str:
    rooms = scenario.rooms
    if rooms is None:
        return ""
    return f", {rooms.count} room{'s' * (rooms.count > 1)} of {rooms.members or scenario.dashboards}"


def _announce(console: Console, scenario: scenarios.Scenario, base_url: str | None) -> None:
    """What is about to be run, and the faults that it injects."""
    summary = Text.assemble(
        (one_line(scenario.name), "bold"),
        f": {scenario.dashboards} dashboards, {scenario.widgets} widgets{_rooms_of(scenario)}, "
        f"about {scenario.rates.messages:.0f} messages "
        f"in {scenario.duration:g} s against {base_url or 'the reference chat'}",
    )
    _print(console, summary, soft_wrap=True)
    for plan in scenario.faults:
        _print(console, Text(f"  {one_line(plan.shown)}", "dim"), soft_wrap=True)


protocols_app = typer.Typer(
    help="List the shipped protocols, or print one to start from.",
    invoke_without_command=True,
    epilog=_examples("chatswarm protocols", "chatswarm protocols show socket.io > ours.toml"),
)
app.add_typer(protocols_app, name="protocols")


@protocols_app.callback()
def list_protocols(context: typer.Context) -> None:
    """List the shipped protocols: name, how a message is shown, how a send is accepted, and the chat."""
    if context.invoked_subcommand is None:
        for name in _protocols(""):
            promises = find_protocol(name).promises
            print(f"{name:22}  {promises.visible:7}  {promises.accepted_by:7}  {_about(name)}")


@protocols_app.command("show", epilog=_examples("chatswarm protocols show socket.io > ours.toml"))
def show_protocol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped protocol.", autocompletion=_protocols)],
) -> None:
    """Print a shipped protocol as a TOML file, to start one's own from."""
    path = shipped().get(name)
    if path is None:
        _refuse(f"NAME: expected one of {', '.join(_protocols(''))}, got {name!r}")
    _write(path.read_bytes())


def _about(name: str) -> str:
    """The first sentence of a protocol's file, up to what it explains."""
    text = shipped()[name].read_text(encoding="utf-8")
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return re.split(r"(?<=[\w)])[.:] ", " ".join(line.removeprefix("#").strip() for line in lines))[0]


@app.command("scenarios", epilog=_examples("chatswarm scenarios", "chatswarm run kill"))
def list_scenarios() -> None:
    """List the shipped scenarios: name, question, length of the measured part."""
    for name in scenarios.shipped():
        loaded = scenarios.load(name)
        print(f"{name:14}  {loaded.question:66}  {loaded.duration:4.0f} s")


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first", "chatswarm judge runs/first --slo 'visible.p99 <= 1s' --json"
    )
)
def judge(
    folder: RunArgument,
    slo: Annotated[
        list[str] | None,
        typer.Option(metavar="'visible.p99 <= 2s'", help="Judge by this SLO instead of the run's own; repeatable."),
    ] = None,
    with_report: Annotated[
        bool, typer.Option("--report", help=f"Also write {REPORT} into the run's folder, as `chatswarm run` does.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a recorded run again, from its history alone."""
    from .judge.judge import NoRunError, judged, write_verdict
    from .report.build import report_on
    from .report.terminal import LiveLine
    from .scenario.slo import SloError

    console = _console()
    try:
        with LiveLine(console, _animated(as_json)) as line:
            run = judged(folder, slo or None, line.step)
        write_verdict(folder, run.verdict)
    except SloError as error:
        _refuse(f"--slo: {error}")
    except NoRunError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{one_line(str(folder))}: expected a folder to write {VERDICT} to, got: {error}")
    if with_report and (problem := report_on(run, folder)):
        _say(problem)
    _finish(run.verdict, console, as_json)


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first", "chatswarm report runs/first --html first.html --junit first.xml"
    )
)
def report(
    folder: RunArgument,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Self-contained HTML page.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML, for CI.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown summary.")] = None,
) -> None:
    """Write reports of a recorded run: an HTML page, JUnit XML, a Markdown summary.

    Without options, writes report.html into the run's folder. Exits with the verdict's exit code.
    """
    from .judge.judge import NoRunError
    from .report.build import append_step_summary, figures_again, write_reports
    from .report.files import NotWrittenError
    from .report.wording import MARKS, headline

    if not (html or junit or markdown):
        html = folder / REPORT
    try:
        figures = figures_again(folder)
        write_reports(figures, html, junit, markdown)
    except (NoRunError, NotWrittenError, OSError) as error:
        _refuse(str(error))
    except Exception as error:  # noqa: BLE001 - exit code 1 would say that the target failed
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


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first",
        "chatswarm why runs/first",
        "chatswarm why runs/first --finding lost --json",
    )
)
def why(
    folder: RunArgument,
    uid: Annotated[
        str | None, typer.Argument(metavar="UID", help="One message, as examples name it: its whole life.")
    ] = None,
    finding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the causes of this finding, or of this SLO.")
    ] = None,
    dashboard: Annotated[int | None, typer.Option(min=0, help="With UID: only on this dashboard.")] = None,
    html: PageOption = None,
    svg: Annotated[bool, typer.Option("--svg", help="With UID: print only the picture to standard output.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Explain what went wrong in a recorded run: the causes, what proves each, and what to look at.

    With UID, show one message's whole life. Without it, the exit code is 0 if everything is explained or there is
    nothing to explain, and 3 if something is not, or if the run is undecided.
    """
    from .judge.judge import NoRunError, judged
    from .report.terminal import LiveLine

    if uid is None and (dashboard is not None or svg):
        _refuse("--dashboard, --svg: expected UID as well: they show one message")
    if uid is not None and finding is not None:
        _refuse("--finding: expected no UID: a message has a life, and not a finding")
    if svg and as_json:
        _refuse("--svg: expected no --json: both go to standard output")
    console = _console()
    try:
        with LiveLine(console, _animated(as_json or svg)) as line:
            run = judged(folder, None, line.step)
    except NoRunError as error:
        _refuse(str(error))
    if uid is None:
        _show_causes(run, folder, console, finding, html, as_json=as_json)
    _show_life(run, console, uid, dashboard, html, svg=svg, as_json=as_json)


def _show_causes(
    run: "Judged", folder: Path, console: Console, finding: str | None, html: Path | None, *, as_json: bool
) -> NoReturn:
    """Shows the causes, and exits."""
    from .judge.explanation import explanation_of
    from .report.why import print_explanation
    from .report.why_page import why_page

    causes = run.causes
    if finding is not None:
        known = (*FINDINGS, *(result.expect for result in run.verdict.slos))
        if finding not in known:
            near = difflib.get_close_matches(finding, known, 3, 0.4)
            _refuse(f"--finding: expected a finding such as {', '.join(near) or 'lost'}, got {finding!r}")
        causes = {name: found for name, found in causes.items() if name == finding}
    explanation = explanation_of(run.verdict, causes, run.scenario.update_target)
    if finding is not None:
        explanation.without = [expectation for expectation in explanation.without if expectation == finding]
    name = f"{run.verdict.scenario} against {run.verdict.target}"
    _present(lambda: print_explanation(console, explanation, name, str(folder)))
    _save_page(html, lambda: why_page(explanation, name))
    if as_json:
        _write(explanation.json())
    if run.verdict.exit_code == ExitCode.INTERNAL:
        raise typer.Exit(ExitCode.INTERNAL)
    undecided = explanation.unexplained.count or explanation.without or run.verdict.verdict == "undecided"
    raise typer.Exit(ExitCode.UNDECIDED if undecided else ExitCode.PASS)


def _show_life(
    run: "Judged", console: Console, uid: str, dashboard: int | None, html: Path | None, *, svg: bool, as_json: bool
) -> NoReturn:
    """Shows one message's life, and exits."""
    from .judge.life import NotInThisRunError, find_message, life_json, life_of
    from .report.life_text import print_life
    from .report.waterfall import waterfall_page, waterfall_svg

    if run.ledger is None:
        _refuse(*(run.verdict.reasons or ["nothing was measured in this run"]))
    try:
        life = life_of(run.ledger, find_message(run.ledger, uid), dashboard)
    except NotInThisRunError as error:
        _refuse(str(error))
    _present(lambda: print_life(console, life))
    _save_page(html, lambda: waterfall_page(life))
    if svg or as_json:
        _write(waterfall_svg(life).encode() if svg else life_json(life))
    raise typer.Exit(ExitCode.PASS)


@app.command(
    epilog=_examples(
        "chatswarm run smoke --out runs/first",
        "chatswarm run smoke --out runs/second --seed 2",
        "chatswarm trend runs/*  # tells from ten runs on",
        "chatswarm trend runs/* --on visible.p99,lost --html trend.html",
    )
)
def trend(
    runs: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders of judged runs, or their verdict.json files.")
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="Look at this metric, such as visible.p99; repeatable, or with commas.",
            autocompletion=_metrics,
        ),
    ] = None,
    html: PageOption = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find when a figure changed for good, over many runs of a scenario.

    Runs of another load or machine are never compared. Exits with 1 if the newest run shows a change for the worse
    that could not be seen before, with 3 if there are too few runs to tell (fewer than 10), and else with 0.
    """
    from .compare.kept_runs import NotKeptError, read_runs
    from .compare.metrics import UnknownMetricError, metrics_of
    from .compare.trends import trends_of
    from .report.files import NotWrittenError, append_summary, save
    from .report.trend_page import trend_page
    from .report.trend_text import print_trends, trends_markdown

    try:
        found = trends_of(read_runs(runs), metrics_of(on or []))
    except UnknownMetricError as error:
        _refuse(f"--on: {error}")
    except NotKeptError as error:
        _refuse(*error.problems)
    _present(lambda: print_trends(_console(), found))
    reports = {html: trend_page, markdown: trends_markdown}
    try:
        save({path: show(found).encode() for path, show in reports.items() if path is not None})
        append_summary(trends_markdown(found))
    except NotWrittenError as error:
        _refuse(str(error))
    for path in filter(None, (html, markdown)):
        _say(f"written: {one_line(str(path))}")
    if as_json:
        _write(found.json())
    raise typer.Exit(found.exit_code)


def _save_page(path: Path | None, page: Callable[[], str], *, is_costly: bool = False) -> None:
    """Writes the page, if a path was given. If that fails, it says so, and exits unless the result `is_costly`."""
    from .report.files import NotWrittenError, save

    if path is None:
        return
    try:
        save({path: page().encode()})
    except NotWrittenError as error:
        if not is_costly:
            _refuse(str(error))
        _say(str(error))
    else:
        _say(f"written: {one_line(str(path))}")


def _present(show: Callable[[], None]) -> None:
    """Shows a result. A terminal that cannot show it changes nothing else."""
    try:
        show()
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        _say("the result could not be shown")


class _CompareCommand(typer.core.TyperCommand):
    """Lets `--against` be followed by any number of folders."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - the signature of the parent
        from .compare.arguments import with_divider

        return super().parse_args(ctx, with_divider(args))


@app.command(
    cls=_CompareCommand,
    epilog=_examples(
        "chatswarm compare http://old.test --against http://new.test --scenario smoke",
        "chatswarm compare --scenario smoke --new-backend '--workers 2' --out runs/w2",
        "chatswarm compare runs/w2/base-* --against runs/w2/new-* --html w2.html",
    ),
)
def compare(
    sides: Annotated[
        list[str] | None, typer.Argument(metavar="BASE...", help="Folders of recorded runs, or the URL of a chat.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="NEW...", help="What to compare with BASE: everything that follows, up to an option."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="Metric to compare, such as notified.p95; repeatable, or with commas.",
            autocompletion=_metrics,
        ),
    ] = None,
    margin: Annotated[str, typer.Option(metavar="SHARE", help="Within this, both sides are the same.")] = "20%",
    confidence: Annotated[str, typer.Option(metavar="SHARE", help="Confidence of the intervals.")] = "90%",
    assume_no_drift: Annotated[
        bool, typer.Option("--assume-no-drift", help="Decide although the runs did not take turns.")
    ] = False,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="SCENARIO",
            help="Make the runs: the scenario to run.",
            autocompletion=_scenario_names,
        ),
    ] = None,
    repeat: Annotated[int | None, typer.Option(metavar="PAIRS", help="How many pairs of runs; default: 6.")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="As many pairs as it takes, up to 16.")
    ] = False,
    max_time: Annotated[str | None, typer.Option(metavar="20m", help="Begin no pair that would end later.")] = None,
    base_backend: Annotated[
        str | None, typer.Option(metavar="FLAGS", help="BASE is the reference chat with these flags.")
    ] = None,
    new_backend: Annotated[
        str | None, typer.Option(metavar="FLAGS", help="NEW is the reference chat with these flags.")
    ] = None,
    protocol: ChosenProtocolOption = None,
    origin: OriginOption = None,
    users_file: UsersFileOption = None,
    dashboards: DashboardsOption = None,
    widgets: WidgetsOption = None,
    rooms: RoomsOption = None,
    members: MembersOption = None,
    rate: RateOption = None,
    duration: DurationOption = None,
    processes: ProcessesOption = 1,
    seed: SeedOption = 1,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the runs and the result; default: below runs/.")
    ] = None,
    html: PageOption = None,
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two chats, or two builds of one, by several runs of each: is the new one worse?

    With folders, it judges runs that were made before. With URLs, or flags of the reference chat, it makes them, in
    turns. The exit code is 0 for better or the same, 1 for worse, and 3 if the runs cannot tell.
    """
    from .compare.arguments import sides_of
    from .compare.live import ComparePlan, LiveSide
    from .compare.request import CompareRequest, SideRequest, read_settings, read_time, unreachable
    from .compare.schedule import PAIRS
    from .testbed.messages import TestbedOptions

    del against  # its words are among those of the sides
    problems: list[str] = []
    live = {"--repeat": repeat, "--until-decided": until_decided, "--max-time": max_time, "--scenario": scenario}
    request = CompareRequest(*sides_of(sides or []), base_backend, new_backend, live)
    settings = read_settings(
        on or [], margin, confidence, problems, assume_no_drift=assume_no_drift, until_decided=until_decided
    )
    console = _console()
    if not request.is_live:
        folders = request.folders(problems)
        if problems:
            _refuse(*problems)
        _compare_folders(folders, settings, console, (out, html, junit, markdown), as_json=as_json)
    chats = request.chats(problems)
    limit = read_time(max_time, problems)
    if repeat is not None and until_decided:
        problems.append("--repeat: expected no --until-decided, which makes as many pairs as it takes")
    checked_origin = _checked_origin(origin, problems)
    _chat_protocol(protocol or DEFAULT, problems, chats[0].url)
    if scenario is None:
        _refuse(*problems, "--scenario: expected the scenario to run against both chats, got none")
    overrides: dict[str, object] = {"dashboards": dashboards, "widgets": widgets, "rate": rate, "duration": duration}
    chosen = _load_scenario(scenario, {**overrides, "rooms": rooms, "members": members}, problems)

    def side(chat: SideRequest) -> LiveSide:
        applied = chat.applied_to(chosen.speaking_push() if chat.url is None and protocol == scenarios.PUSH else chosen)
        options = TestbedOptions(
            base_url=chat.url,
            protocol=_protocol_for(applied, protocol, chat.url),
            origin=checked_origin,
            users_file=_absolute(users_file),
        )
        return LiveSide(chat.name, applied, options)

    try:
        plan = ComparePlan(
            side(chats[0]),
            side(chats[1]),
            PAIRS if repeat is None else repeat,
            until_decided,
            limit,
            seed=seed,
            processes=processes,
        )
    except ValueError as error:
        _refuse(str(error))
    if problems := unreachable(*chats):
        _refuse(*problems)
    _compare_chats(plan, settings, console, (out, html, junit, markdown), as_json=as_json)


_Paths = tuple[Path | None, Path | None, Path | None, Path | None]
"""Where a comparison is written to: a folder, and a page, JUnit XML and Markdown."""


def _compare_folders(
    folders: tuple[list[Path], list[Path]],
    settings: "CompareSettings",
    console: Console,
    paths: _Paths,
    *,
    as_json: bool,
) -> NoReturn:
    """Compares recorded runs, shows the result, and exits."""
    from .compare.comparable import NotComparableError
    from .judge.judge import NoRunError
    from .report.compare_session import compare_folders

    try:
        done = compare_folders(console, *folders, settings, animated=_animated(as_json))
        if paths[0] is not None:
            paths[0].mkdir(parents=True, exist_ok=True)
    except NotComparableError as error:
        _refuse(*error.problems)
    except NoRunError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"--out: expected a folder to write to, got: {error}")
    _finish_comparison(done, console, paths, as_json=as_json)


def _compare_chats(
    plan: "ComparePlan", settings: "CompareSettings", console: Console, paths: _Paths, *, as_json: bool
) -> NoReturn:
    """Makes the runs, compares them, shows the result, and exits."""
    from .report.compare_session import compare_live
    from .run.run import CannotRunError, InterruptedRunError, RigError
    from .system.interrupts import Interrupts

    out, html, junit, markdown = paths
    folder = out or new_folder(f"compare-{plan.base.scenario.name}")
    created = not_there(folder)
    with Interrupts() as interrupts:
        try:
            folder = make_next(folder) if out is None else claim_new(folder)
        except OSError as error:
            _refuse(f"--out: expected a new or an empty folder to write to, got: {error}")
        try:
            done = compare_live(console, plan, settings, folder, interrupts, animated=_animated(as_json))
        except CannotRunError as error:
            give_back([folder, *created] if out is None else created)
            _refuse(*error.problems)
        except InterruptedRunError as error:
            _say(str(error))
            raise typer.Exit(ExitCode.UNDECIDED) from None
        except RigError as error:
            _say(f"internal error: {error}")
            raise typer.Exit(ExitCode.INTERNAL) from None
        _finish_comparison(done, console, (folder, html, junit, markdown), as_json=as_json)


def _finish_comparison(done: "ComparedSession", console: Console, paths: _Paths, *, as_json: bool) -> NoReturn:
    """Writes and shows the result of a comparison, and exits with its exit code."""
    from .report.compare_reports import write_comparison
    from .report.compare_text import print_comparison
    from .report.files import NotWrittenError

    _present(lambda: print_comparison(console, done.result))
    try:
        for path in write_comparison(done.result, done.curves, *paths):
            _say(f"written: {one_line(str(path))}")
    except NotWrittenError as error:
        _say(str(error))
    if as_json:
        _write(done.result.json())
    raise typer.Exit(done.result.exit_code)


@app.command(
    epilog=_examples(
        "chatswarm capacity steady --by rate --from 20 --to 1280",
        "chatswarm capacity steady --from 20 --to 640 --at-least 200",
        "chatswarm capacity steady --by dashboards --from 50 --to 800 --json",
        "chatswarm capacity steady --from 20 --to 1280 --rig",
    )
)
def capacity(
    scenario: ScenarioArgument,
    start: Annotated[float, typer.Option("--from", metavar="LOAD", help="The lowest load, where the search begins.")],
    to: Annotated[float, typer.Option("--to", metavar="LOAD", help="The highest load that is tried.")],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="What rises: rate, in messages per second, or dashboards.",
            autocompletion=lambda incomplete: [way for way in ("rate", "dashboards") if way.startswith(incomplete)],
        ),
    ] = "rate",
    precision: Annotated[
        str,
        typer.Option(metavar="10%", help="How close to the limit the search comes, and the backlog that it allows."),
    ] = "10%",
    at_least: Annotated[
        float | None, typer.Option(metavar="LOAD", help="Exit with 0 only if this is shown to hold, 1 if it does not.")
    ] = None,
    probe: Annotated[
        str, typer.Option(metavar="15s", help="Length of a probe; those that confirm the limit are twice as long.")
    ] = "15s",
    rig: Annotated[
        bool, typer.Option("--rig", help="Search the load generator's own limit, with a chat that answers at once.")
    ] = False,
    target: TargetOption = None,
    allowed: Annotated[
        bool,
        typer.Option("--yes-this-may-break-it", help="With --target: it may be on another machine, and may give out."),
    ] = False,
    protocol: ChosenProtocolOption = None,
    origin: OriginOption = None,
    users_file: UsersFileOption = None,
    dashboards: DashboardsOption = None,
    widgets: WidgetsOption = None,
    rooms: RoomsOption = None,
    members: MembersOption = None,
    rate: RateOption = None,
    processes: ProcessesOption = 1,
    seed: SeedOption = 1,
    pid: Annotated[
        int | None, typer.Option(min=1, help="Process ID of the target: what it uses helps to tell what gave out.")
    ] = None,
    html: PageOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the probes; default: runs/capacity-<scenario>-by-<what>/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search the highest load that a chat holds, and find out what gives out above it.

    Without --target, each probe starts a fresh reference chat. If it is interrupted, the same command goes on.
    """
    from .capacity.asking import CapacityOptions

    problems: list[str] = []
    address = None if target is None else read_flag("--target", parse_address, target, problems)
    checked_origin = _checked_origin(origin, problems)
    if pid is not None and target is None:
        problems.append("--pid: expected --target as well: chatswarm knows what it starts itself")
    if (rate if by == "rate" else dashboards) is not None:
        problems.append(f"--{by}: expected none, because --by {by} sets it: --from and --to are its bounds")
    overrides = {"dashboards": dashboards, "widgets": widgets, "rate": rate, "rooms": rooms, "members": members}
    chosen = _load_scenario(scenario, overrides, problems)
    if target is None and protocol == scenarios.PUSH:
        chosen = chosen.speaking_push()
    spoken = _protocol_for(chosen, protocol, target)
    options = CapacityOptions(
        by=by,
        start=start,
        to=to,
        precision=precision,
        probe=probe,
        at_least=at_least,
        processes=processes,
        seed=seed,
        protocol=spoken,
        target=None if address is None else address.url,
        rig=rig,
        allowed=allowed,
        origin=checked_origin,
        users_file=_absolute(users_file),
        pid=pid,
    )
    _search_capacity(chosen, options, out, html, as_json=as_json)


def _search_capacity(
    scenario: scenarios.Scenario, options: "CapacityOptions", out: Path | None, html: Path | None, *, as_json: bool
) -> NoReturn:
    """Makes the probes that are missing, shows the result, and exits with its exit code."""
    from .capacity.asking import asked_of
    from .capacity.search import RealProbes, begin_or_go_on, perform
    from .report.capacity import CapacityWatch, print_capacity, print_plan
    from .report.capacity_page import capacity_page
    from .run.run import CannotRunError
    from .system.interrupts import Interrupts

    asked, problems = asked_of(scenario, options)
    if asked is None or problems:
        _refuse(*problems)
    default = Path("runs") / f"capacity-{folder_name(scenario.name)}-by-{asked.by}"
    made = not_there(out or default)
    try:
        folder, found = begin_or_go_on(out or default, asked, numbered=out is None)
    except (OSError, ValueError) as error:
        _refuse(f"--out: {error}")
    console = _console()
    print_plan(console, found)
    with Interrupts() as interrupts:
        try:
            with CapacityWatch(console, found, _animated(as_json)) as watch:
                probes = RealProbes(asked, folder, interrupts, watch.begin, watch.progress, watch.step)
                found = perform(found, folder, probes, options.at_least, watch.made)
        except CannotRunError as error:
            if not any(path.is_dir() for path in folder.iterdir()):
                take_back(folder, made if out is not None else [folder, *made])
            _refuse(*error.problems)
        except OSError as error:
            _say(f"{one_line(str(folder))}: expected a folder to keep the probes in, got: {error}")
            raise typer.Exit(ExitCode.UNDECIDED) from None
    result = found.result
    assert result is not None
    _present(lambda: print_capacity(console, found))
    _save_page(html, lambda: capacity_page(found), is_costly=True)
    if as_json:
        _write(found.json())
    raise typer.Exit(result.exit_code)


def main() -> None:
    """Runs the command, in a process that `entry` has prepared. Ends with SystemExit."""
    from .system.children import end_with_parent

    end_with_parent()
    try:
        app()
    except Exception:  # noqa: BLE001 - Python's own exit code would be 1, which means that the target failed
        traceback.print_exc()
        _say("internal error: please report it, with the lines above")
        sys.exit(ExitCode.INTERNAL)


def _finish(verdict: Verdict, console: Console, as_json: bool) -> NoReturn:
    """Shows the verdict and exits with its exit code, even if showing it fails: the verdict is on disk by now."""
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
    """A console on standard error. FORCE_COLOR adds colour where there is no terminal, and changes nothing else."""
    if sys.stderr.isatty():
        return Console(stderr=True, highlight=False)
    forced = any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    return Console(stderr=True, highlight=False, force_terminal=forced, force_interactive=False)


def _animated(as_json: bool) -> bool:
    """Whether a line may be redrawn: only on a real terminal, even if colours are forced."""
    return not as_json and sys.stderr.isatty()


def _print(console: Console, content: RenderableType, **layout: Any) -> None:  # noqa: ANN401 - passed on to Rich
    console.print(content, highlight=False, markup=False, **layout)


def _write(result: bytes) -> None:
    """Writes the result to standard output, and nothing else. Reports a failure to write it."""
    sys.stdout.buffer.write(result)
    if problem := problem_of(sys.stdout):
        _say(f"standard output: expected to write the result, got: {problem}")


def _users(protocol: str, users_file: Path | None, problems: list[str]) -> Sequence[Mapping[str, str]]:
    """The rows of the users' file, if there is one. What is wrong with it is added to `problems`."""
    try:
        path = users_file or find_protocol(protocol).users_file
        return () if path is None else read_users(Path(path), 0)
    except UsersFileError as error:
        problems.append(f"--users-file: {error}")
    except ProtocolError:
        pass  # reported elsewhere
    return ()


def _chat_protocol(named: str, problems: list[str], target: str | None) -> ChatProtocol | None:
    """The protocol that is named like this; None if there is none that can be made, which is added to `problems`."""
    try:
        found = find_protocol(named)
    except ProtocolError as error:
        problems += [f"--protocol: {problem}" for problem in error.problems]
        return None
    try:
        return found.make(target=target or "")
    except ProtocolError as error:
        problems += error.problems
    except ValueError:
        pass  # the target is wrong, which is reported elsewhere
    return None


def _protocol_for(scenario: scenarios.Scenario, asked: str | None, target: str | None) -> str:
    """The name of the protocol that the chat speaks. Refuses one that the chat that is started does not speak."""
    spoken = (asked or DEFAULT) if target is not None else scenario.own_protocol
    if asked not in (None, spoken):
        _refuse(
            f"--protocol: expected {spoken}, which the chat that is started for {one_line(scenario.name)} speaks "
            f"([backend] push decides), or --target as well, got {asked}"
        )
    problems: list[str] = []
    if _chat_protocol(spoken, problems, target) is None:
        _refuse(*problems)
    # Every process of the run has to find the same file.
    return str(Path(spoken).absolute()) if Path(spoken).suffix == ".toml" and spoken not in shipped() else spoken


def _refuse(*problems: str) -> NoReturn:
    for problem in problems:
        _say(problem)
    raise typer.Exit(ExitCode.USAGE)


def _internal_error() -> NoReturn:
    traceback.print_exc()
    _say("internal error: please report it, with the lines above")
    raise typer.Exit(ExitCode.INTERNAL)


def _say(text: str) -> None:
    """Prints a text of one or more lines to standard error, with control characters escaped."""
    print("\n".join(map(one_line, text.split("\n"))), file=sys.stderr)
