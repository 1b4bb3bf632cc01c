"""Whatever a target sends fits the columns: no row is half written, and no text stops the writer."""

from pathlib import Path

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent, SendOutcome
from chatswarm.loadtests.messages.identity import Condition, ParsedText
from chatswarm.loadtests.protocols.protocol import Frame, Kind
from chatswarm.loadtests.protocols.reference import _Chat, _Text
from chatswarm.loadtests.swarm.net.http import Response
from chatswarm.loadtests.swarm.recorder import Recorder

HUGE = 10**30
HALF = "a\ud800\0"


def test_numbers_and_texts_that_do_not_fit_are_made_to_fit(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    odd = Response(100_000, b"", True, 1.0, 2.0, HALF)
    parsed = ParsedText(0, 0, Condition.INTACT)
    assert recorder.chat(HALF, 0) == 0
    for message_id in (HUGE, -5, 2**63, None, 7):
        recorder.send(0, 0, 0, 1.0, 1.0, odd, SendOutcome.UNKNOWN, message_id)
    recorder.announcement(b"x", Frame(Kind.MESSAGE, HALF, True, HUGE))
    recorder.connection(1, 0, ConnectionEvent.CLOSED, 1.0, 70_000, HALF)
    recorder.refetch(1, 0, 1.0, odd, 0)
    recorder.change(0, HALF, HUGE, 0, [parsed])
    recorder.final(HALF, 1.0, odd, _Chat(HALF, HUGE, [_Text("x", "user", HUGE)]), [parsed])
    recorder.trouble(1.0, "kind", HALF)
    recorder.note(1.0, "kind", HALF)
    assert recorder.close() is None
    history = read(history_file(tmp_path, "swarm-0"))
    assert history.cut is None
    tables = history.tables
    assert list(tables["send"]["message_id"]) == [-1, -1, -1, -1, 7]
    assert list(tables["send"]["status"]) == [32767] * 5
    assert list(tables["announcement"]["message_id"]) == [-1]
    assert list(tables["connection"]["code"]) == [32767]
    assert list(tables["version"]["total"]) == list(tables["final"]["total"]) == [2**31 - 1]
    assert list(tables["final_text"]["message_id"]) == [-1]
    for table, column in (("chat", "chat_id"), ("connection", "detail"), ("trouble", "detail"), ("note", "detail")):
        assert tables[table][column] == ["a\\ud800\0"]


def test_the_status_that_a_read_records(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    whole = Response(200, b"x", True, 1.0, 2.0)
    for response in (
        whole,
        whole._replace(complete=False),
        whole._replace(undecoded=True),
        whole._replace(status=404, undecoded=True),
        whole._replace(status=-24, complete=False),
        whole._replace(status=UNREADABLE_HERE),
    ):
        recorder.refetch(1, 0, 1.0, response, -1)
    assert recorder.close() is None
    statuses = read(history_file(tmp_path, "swarm-0")).tables["refetch"]["status"]
    assert list(statuses) == [200, 0, UNREADABLE_HERE, 404, -24, UNREADABLE_HERE]
