import json
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import pytest
import trustme
from rich.console import Console

from chatswarm.loadtests.checklist import LABELS, CheckReport, Step, closing, report_text, run_checklist, step_line
from chatswarm.loadtests.checklist.diagnosis import TITLES
from chatswarm.loadtests.checklist.http import excerpt
from chatswarm.loadtests.checklist.symptoms import StepName
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.system.exit_code import ExitCode

from .broken_chat import Defects, broken_chat

MOST = 8.0  # seconds; `check` promises 4.4, on a machine that is not busy with other tests


class Expected(NamedTuple):
    broken: StepName
    problem: int
    seen: str  # part of what was seen
    cause: str  # part of the likeliest cause


def assert_diagnosed(report: CheckReport, expected: Expected) -> None:
    assert report.problem is not None, report
    assert not report.ok
    assert report.exit_code == ExitCode.FAIL
    at = list(StepName).index(expected.broken)
    marks = [True] * at + [False] + [None] * (len(StepName) - at - 1)
    assert [step.ok for step in report.steps] == marks, report.problem
    assert report.problem.title == TITLES[expected.problem]
    assert expected.seen in report.problem.seen
    assert expected.cause in report.problem.causes[0]
    assert report.problem.remedies
    assert report.seconds < MOST


def assert_all_diagnosed(cases: list[tuple[Defects, Expected]]) -> None:
    """Checks all these chats at the same time, because checking a broken one is mostly waiting."""
    with ExitStack() as stack, ThreadPoolExecutor(len(cases)) as pool:
        chats = [stack.enter_context(broken_chat(defects)) for defects, _ in cases]
        reports = list(pool.map(lambda chat: run_checklist(Reference(), chat.url), chats))
    diagnoses = {(report.problem.title, *report.problem.causes) for report in reports if report.problem is not None}
    for report, (_, expected) in zip(reports, cases, strict=True):
        assert_diagnosed(report, expected)
    assert len(diagnoses) == len(cases), "each defect has a different diagnosis"


@pytest.fixture(scope="module")
def fine() -> CheckReport:
    with broken_chat() as chat:
        return run_checklist(Reference(), chat.url)


def test_chat_with_the_original_protocol_passes(fine: CheckReport) -> None:
    assert fine.problem is None
    assert fine.ok
    assert fine.exit_code == ExitCode.PASS
    assert [step.name for step in fine.steps] == list(StepName)
    assert all(step.ok and step.seconds is not None and step.seen for step in fine.steps)
    assert fine.update_latency is not None
    assert fine.update_latency < 2
    assert fine.seconds < MOST


def test_steps_are_reported_as_they_end() -> None:
    reported: list[Step] = []
    with broken_chat(Defects(create_status=500)) as chat:
        report = run_checklist(Reference(), chat.url, on_step=reported.append)
    assert reported == report.steps
    assert [step.seconds is None for step in reported] == [False] * 5 + [True] * 4


def test_each_check_is_a_new_customer() -> None:
    with broken_chat() as chat:
        run_checklist(Reference(), chat.url)
        run_checklist(Reference(), chat.url)
    assert len(set(chat.customers)) == 2
    assert all("check-" in email and email.endswith("@example.com") for email in chat.customers)


def test_list_that_shows_counts_and_no_texts_passes() -> None:
    with broken_chat(Defects(texts=False)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok
    assert report.steps[-2].seen == "as a count, 0 → 1"


def test_frames_for_other_chats_are_ignored() -> None:
    with broken_chat(Defects(announces_other=5, other_chats=5)) as chat:
        assert run_checklist(Reference(), chat.url).ok


def test_proxy_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with broken_chat() as chat:
        assert run_checklist(Reference(), chat.url).ok


def test_connections_that_fail() -> None:
    step = StepName.REACHABLE
    assert_all_diagnosed([
        (Defects(root="hangs"), Expected(step, 1, "gave no HTTP response within", "event loop is blocked")),
        (Defects(root="closes"), Expected(step, 1, "closed the connection without", "the backend crashed")),
        (Defects(root="garbage"), Expected(step, 1, "220 mail.example ESMTP", "this port expects TLS")),
    ])  # fmt: skip


def test_an_endless_response_is_cut_off() -> None:
    with broken_chat(Defects(root="drips")) as chat:
        report = run_checklist(Reference(), chat.url)
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "gave no HTTP response", "blocked"))


def test_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    report = run_checklist(Reference(), f"http://127.0.0.1:{port}")
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "the connection was refused", "not running"))
    assert report.seconds < 1


def test_a_host_that_drops_connections() -> None:
    with socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the kernel drops connections after the first
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        report = run_checklist(Reference(), f"http://127.0.0.1:{full.getsockname()[1]}")
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "No connection to 127.0.0.1", "firewall"))


def test_unknown_host() -> None:
    report = run_checklist(Reference(), "http://chat.invalid")
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "chat.invalid could not be resolved", "misspelt"))


def test_handshake_that_fails() -> None:
    step = StepName.CONNECTED
    assert_all_diagnosed([
        (Defects(handshake=404), Expected(step, 1, "with HTTP 404: no dashboards here", "the path is wrong")),
        (Defects(handshake=403), Expected(step, 1, "with HTTP 403", "origin")),
        (Defects(handshake=302), Expected(step, 1, "redirect to https://elsewhere.example/", "has moved")),
        (Defects(handshake=503), Expected(step, 1, "with HTTP 503", "a proxy answers")),
        (Defects(handshake=500), Expected(step, 1, "with HTTP 500", "fails while it accepts")),
        (Defects(handshake=200), Expected(step, 1, "with HTTP 200", "Upgrade")),
        (Defects(handshake_hangs=True), Expected(step, 1, "handshake got no response within", "Upgrade")),
    ])  # fmt: skip


def test_first_frames_that_fail() -> None:
    connected, subscribed = StepName.CONNECTED, StepName.SUBSCRIBED
    assert_all_diagnosed([
        (Defects(connected="silent"), Expected(connected, 1, "no `connected` frame came", "before its greeting")),
        (Defects(connected="close"), Expected(connected, 1, "4401 (private use) token required", "token")),
        (Defects(connected="error"), Expected(connected, 1, "instead of `connected`: who are you?", "action")),
        (Defects(connected="garbage"), Expected(connected, 1, "cannot be read", "another version")),
        (Defects(subscribed="silent"), Expected(subscribed, 4, "no `subscribed` came", "does not know this channel")),
        (Defects(subscribed="error"), Expected(subscribed, 4, "Unknown action: subscribe", "action or the channel")),
        (Defects(subscribed="close"), Expected(subscribed, 4, "1008 (policy violation) not allowed", "token")),
    ])  # fmt: skip


def test_requests_before_the_send_that_fail() -> None:
    lists, chat = StepName.LIST, StepName.CHAT
    form, create = "POST /api/users/data", "POST /api/users/chats/create"
    assert_all_diagnosed([
        (Defects(list_status=500), Expected(lists, 3, "users-chats returned HTTP 500", "fails")),
        (Defects(list_body=b'{"users": 3}'), Expected(lists, 3, "Expected `array`", "another shape")),
        (Defects(contact_status=400), Expected(chat, 2, f"{form} returned HTTP 400", "other fields")),
        (Defects(create_status=500), Expected(chat, 2, f"{create} returned HTTP 500", "fails while it handles")),
        (Defects(create_body=b'{"success": false}'), Expected(chat, 2, f"{create} got a response", "another shape")),
    ])  # fmt: skip


def test_send_that_fails() -> None:
    step = StepName.SENT
    assert_all_diagnosed([
        (Defects(send_status=500), Expected(step, 2, "/send returned HTTP 500", "fails while it handles")),
        (Defects(send_status=404), Expected(step, 2, "/send returned HTTP 404", "unknown where the send")),
        (Defects(send_body=b"<html>"), Expected(step, 2, "<html>", "another shape")),
        (Defects(send_hangs="before"), Expected(step, 2, "nothing shows that the message was stored", "store hangs")),
        (Defects(send_hangs="after"), Expected(step, 2, "was stored and announced", "every dashboard in turn")),
    ])  # fmt: skip


def test_a_frame_that_does_not_arrive() -> None:
    step = StepName.NOTIFIED
    assert_all_diagnosed([
        (Defects(announces=False), Expected(step, 2, "is stored, but no frame came", "does not broadcast")),
        (
            Defects(announces=False, stores=False),
            Expected(step, 2, "not in its chat either", "the response comes before the write"),
        ),
        (Defects(announces=False, announces_other=2), Expected(step, 2, "2 frames for other chats", "a filter")),
        (Defects(announces=False, announces_garbage=True), Expected(step, 2, "cannot be read", "another shape")),
        (Defects(announces=False, closes_on_send=True), Expected(step, 4, "1011 (internal error) boom", "crashed")),
    ])  # fmt: skip


def test_message_that_the_list_does_not_show() -> None:
    step = StepName.SHOWN
    assert_all_diagnosed([
        (Defects(list_fails_after_send=500), Expected(step, 3, "users-chats returned HTTP 500", "fails")),
        (Defects(list_hangs_after_send=True), Expected(step, 3, "users-chats got no response", "blocked")),
        (Defects(stores=False), Expected(step, 3, "does not have it either", "announced, but not stored")),
        (Defects(never_listed="chat"), Expected(step, 3, "not among the 0 in the list", "a filter")),
        (Defects(never_listed="text"), Expected(step, 3, "neither its texts nor its count", "a cache")),
        (
            Defects(never_listed="chat", other_chats=100),
            Expected(step, 3, "not among the 100", "limited to 100 chats"),
        ),
        (Defects(list_delay=0.5), Expected(step, 3, "a page refetches only once", "before it is committed")),
    ])  # fmt: skip


def test_message_that_is_shown_too_late() -> None:
    step = StepName.IN_TIME
    assert_all_diagnosed([
        (Defects(list_delay=3), Expected(step, 3, "too early for the list", "cache or replica that lags")),
        (
            Defects(frame_delay=2.5),
            Expected(step, 3, "the frame came only after 2.", "the broadcast waits for each dashboard in turn"),
        ),
        (Defects(list_takes=2.5), Expected(step, 3, "the refetch took 2.", "the list is slow")),
        (Defects(send_takes=2.5), Expected(step, 3, "The send itself took 2.", "storing a message is slow")),
    ])  # fmt: skip


def test_chat_that_is_slow_at_every_step_is_called_slow() -> None:
    with broken_chat(Defects(every_step_takes=0.5)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert_diagnosed(report, Expected(StepName.LIST, 3, "users-chats got no response", "slow or far away"))


def test_the_caller_sets_the_update_target() -> None:
    with broken_chat(Defects(frame_delay=0.4)) as chat:
        assert run_checklist(Reference(), chat.url).ok
        report = run_checklist(Reference(), chat.url, update_target=0.2)
    assert_diagnosed(report, Expected(StepName.IN_TIME, 3, "the target is 0.2 s", "broadcast"))


def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server, and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_https_and_wss() -> None:
    server, client = certificates()
    with broken_chat(tls=server) as chat:
        report = run_checklist(Reference(), f"https://localhost:{chat.port}", tls=client)
        assert report.ok, report.problem
        assert report.steps[1].seen.startswith("wss://")


def test_certificate_that_is_not_trusted() -> None:
    server, _ = certificates()
    with broken_chat(tls=server) as chat:
        report = run_checklist(Reference(), f"https://localhost:{chat.port}")
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "is not trusted: ", "private CA"))


def test_certificate_for_another_host() -> None:
    server, client = certificates()
    with broken_chat(tls=server) as chat:
        report = run_checklist(Reference(), f"https://127.0.0.1:{chat.port}", tls=client)
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "is not trusted: ", "another host name"))


def test_https_to_a_plain_http_server() -> None:
    with broken_chat() as chat:
        report = run_checklist(Reference(), f"https://127.0.0.1:{chat.port}")
    assert_diagnosed(report, Expected(StepName.REACHABLE, 1, "did not complete a TLS handshake", "plain HTTP"))


@pytest.mark.parametrize(
    ("url", "authority", "socket_url"),
    [
        ("http://localhost", "localhost", "ws://localhost"),
        ("http://localhost:8000/", "localhost:8000", "ws://localhost:8000"),
        ("https://chat.example.com/team/a/", "chat.example.com", "wss://chat.example.com/team/a"),
        ("https://chat.example.com:80", "chat.example.com:80", "wss://chat.example.com:80"),
        ("http://[::1]:8000", "[::1]:8000", "ws://[::1]:8000"),
        ("http://bücher.example", "xn--bcher-kva.example", "ws://xn--bcher-kva.example"),
    ],
)
def test_address(url: str, authority: str, socket_url: str) -> None:
    address = parse_address(url)
    assert address.authority == authority
    assert address.socket_url == socket_url


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "8000", "ws://localhost", "http://", "http://:80", "http://h:x", "http://h:0", "http://h:70000",
     "http://me@h", "http://h?x", "http://h/a b", "http://h/\n", "http://" + "a" * 70 + ".ü"],
)  # fmt: skip
def test_an_invalid_target_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected a URL such as http://127\.0\.0\.1:8000 .*, got "):
        run_checklist(Reference(), url)


@pytest.mark.parametrize("update_target", [0, -1, float("nan"), float("inf")])
def test_an_invalid_update_target_is_refused(update_target: float) -> None:
    with pytest.raises(ValueError, match="expected seconds above 0"):
        run_checklist(Reference(), "http://localhost", update_target=update_target)


def test_json(fine: CheckReport) -> None:
    said = json.loads(fine.json())
    assert list(said) == ["target", "ok", "seconds", "update_latency", "steps", "problem", "notes"]
    assert said["problem"] is None
    assert said["steps"][0].keys() == {"name", "ok", "seconds", "seen"}
    with broken_chat(Defects(list_status=503)) as chat:
        said = json.loads(run_checklist(Reference(), chat.url).json())
    assert said["problem"].keys() == {"title", "seen", "causes", "remedies", "here"}
    assert said["steps"][-1] == {"name": "in_time", "ok": None, "seconds": None, "seen": "not reached"}


def test_the_report_of_a_check_that_passed(fine: CheckReport) -> None:
    lines = report_text(fine).splitlines()
    assert len(lines) == 10
    assert lines[1].startswith("✓ dashboard WebSocket connected ")
    assert lines[-1].startswith("All 9 steps passed in ")
    assert lines[-1].endswith(" after it was sent.")
    assert len({line.index("ms ") for line in lines[:-1]}) == 1, "the times are aligned"


def test_short_times_are_aligned_too() -> None:
    steps = [Step(StepName.LIST, True, seconds, "1 chat") for seconds in (0.0000512, 0.000512, 0.0123, 2.34)]
    lines = [line.rstrip() for line in report_text(CheckReport("", True, 1.0, 0.1, steps, None, [])).splitlines()]
    assert len({line.index("  1 chat") for line in lines[:-1]}) == 1


def test_the_report_of_a_check_that_failed() -> None:
    with broken_chat(Defects(send_status=500)) as chat:
        text = report_text(run_checklist(Reference(), chat.url), width=72)
    assert "✗ message sent" in text
    assert "· dashboard notified" in text
    assert TITLES[2] in text
    assert " 1. " in text
    assert " • " in text
    assert max(map(len, text.splitlines())) <= 72


def test_target_cannot_write_to_the_terminal() -> None:
    hostile = b"\x1b[2J[red]\r\x07 gone"
    console = Console(width=200, force_terminal=True, color_system="truecolor")
    with broken_chat(Defects(send_status=500, send_body=hostile)) as chat, console.capture() as capture:
        report = run_checklist(Reference(), chat.url, on_step=lambda step: console.print(step_line(step)))
        console.print(closing(report))
    assert "\\x1b[2J[red] \\x07 gone" in capture.get()
    assert not {"\x1b[2J", "\r", "\x07"} & set(capture.get())
    assert "\x1b[2J" not in capture.get()


def test_excerpt_is_one_short_line() -> None:
    assert excerpt(b"a\n\tb \xff") == "a b �"
    assert len(excerpt("x" * 1000)) == 160


def test_every_step_has_a_label() -> None:
    assert list(LABELS) == list(StepName)


def test_command_needs_neither_locust_nor_gevent() -> None:
    code = "import sys, chatswarm.loadtests.checklist; print({'locust', 'gevent'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
