"""The diagnosis of a step on the guide's pages that failed."""

from typing import Any

import pytest

from chatswarm.loadtests.checklist.diagnosis import TITLES
from chatswarm.loadtests.checklist.page_causes import NOT_OPENED, PageSymptoms, explain
from chatswarm.loadtests.checklist.symptoms import PageStep

BUSY = "📊 12 notifications received in the last second"


@pytest.mark.parametrize("step", PageStep)
def test_every_step_is_explained(step: PageStep) -> None:
    problem = explain(PageSymptoms(step, "http://127.0.0.1:8000", latency=3.0))
    assert problem.title in (NOT_OPENED, *TITLES.values())
    assert problem.seen.endswith(".")
    assert problem.causes
    assert problem.remedies
    assert not problem.here


@pytest.mark.parametrize(
    ("step", "symptoms", "seen", "cause"),
    [
        (PageStep.INBOX, {"elsewhere": "http://b"}, "talk to the backend at http://b", "another chat"),
        (PageStep.WIDGET, {"detail": "HTTP 404"}, "did not open: HTTP 404.", "`chatswarm serve` is not running"),
        (PageStep.CONNECTED, {"wants_token": True}, "asks for a token", "--dashboard-token-file"),
        (PageStep.CONNECTED, {"console": ["🔌 Attempting to connect"]}, "could not connect", "is not running"),
        (PageStep.CONNECTED, {}, "did not try to connect", "a script of the page failed"),
        (PageStep.NOTIFIED, {"console": [BUSY]}, "did not log the guide's lines", "the chat is busy"),
        (PageStep.NOTIFIED, {"console": ["🔌 WebSocket closed"]}, "WebSocket was closed", "the backend closed it"),
        (PageStep.NOTIFIED, {"missing": "📨 Received"}, "did not handle it", "a script of the page failed"),
        (PageStep.NOTIFIED, {"missing": "🔵 Raw"}, "no notification came", "without announcing it"),
        (PageStep.SHOWN, {}, "the chat was not in the list", "the list lacks the message"),
        (PageStep.SHOWN, {"counted": 0}, "its count was 0", "the list lacks the message"),
        (PageStep.IN_TIME, {"latency": 3.0}, "3.00 s after the click; the target is 2 s", "the backend is slow"),
    ],
)
def test_the_likeliest_cause_fits_the_symptoms(step: PageStep, symptoms: dict[str, Any], seen: str, cause: str) -> None:
    problem = explain(PageSymptoms(step, "http://127.0.0.1:8000", **symptoms))
    assert seen in problem.seen
    assert cause in problem.causes[0]


def test_missing_console_line_is_quoted() -> None:
    problem = explain(
        PageSymptoms(PageStep.SUBSCRIBED, "http://127.0.0.1:8000", missing="✅ Subscribed to: chat_updates")
    )
    assert problem.seen.endswith(" The console lacks this line: ✅ Subscribed to: chat_updates")
