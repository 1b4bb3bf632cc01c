"""Decisions without I/O, on literal inputs: batching, backlog, rate limit, request bodies, guide log, metrics."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.backend.chat.guide_log import Pace, message_lines
from chatswarm.backend.chat.rate_limit import RateLimit
from chatswarm.backend.endpoints.request_bodies import (
    NOT_BLANK,
    UnreadableError,
    fields,
    form_as_json,
    text_field,
    whole_number,
)
from chatswarm.backend.fanout.backlog import Backlog
from chatswarm.backend.fanout.batching import BatchingDelay
from chatswarm.backend.metrics.exposition import merged
from chatswarm.backend.store.records import Message
from chatswarm.backend.wire.headers import trace_id

ZEROS = b"0" * 32
TRACE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


class TestTraceContext:
    """https://www.w3.org/TR/trace-context/, 3.2 and 4.1."""

    @pytest.mark.parametrize(
        "value",
        [
            b"00-%b-%b-01" % (TRACE, PARENT),
            b"00-%b-%b-00" % (TRACE, PARENT),
            b"00-%b-%b-ff" % (TRACE, PARENT),
            b"cc-%b-%b-01" % (TRACE, PARENT),
            b"cc-%b-%b-01-" % (TRACE, PARENT),
            b"cc-%b-%b-01-what the future will be" % (TRACE, PARENT),
        ],
    )
    def test_the_trace_id_of_a_valid_header(self, value: bytes) -> None:
        assert trace_id([(b"a", b"b"), (b"traceparent", value)]) == TRACE.decode()

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"00",
            b"00-%b-%b" % (TRACE, PARENT),
            b"00-%b-%b-1" % (TRACE, PARENT),
            b"00-%b-%b-011" % (TRACE, PARENT),
            b"00-%b-%b-01-" % (TRACE, PARENT),
            b"00-%b-%b-01-more" % (TRACE, PARENT),
            b"00-%b-%b-01.more" % (TRACE, PARENT),
            b"cc-%b-%b-01.more" % (TRACE, PARENT),
            b"ff-%b-%b-01" % (TRACE, PARENT),
            b"0-%b-%b-01" % (TRACE, PARENT),
            b"000-%b-%b-01" % (TRACE, PARENT),
            b"00-%b-%b-01" % (TRACE.upper(), PARENT),
            b"00-%b-%b-0A" % (TRACE, PARENT),
            b"00-%b-%b-01" % (TRACE[1:], PARENT),
            b"00-%b0-%b-01" % (TRACE, PARENT),
            b"00-%b-%b-01" % (TRACE, PARENT[1:]),
            b"00-%b-%b-01" % (b"." + TRACE[1:], PARENT),
            b"00-%b-%b-01" % (ZEROS, PARENT),
            b"00-%b-%b-01" % (TRACE, ZEROS[:16]),
            b"00_%b_%b_01" % (TRACE, PARENT),
            b"00-%b-%b-01\nINFO: forged" % (TRACE, PARENT),
            b" 00-%b-%b-01" % (TRACE, PARENT),
        ],
    )
    def test_an_invalid_header_is_none(self, value: bytes) -> None:
        assert trace_id([(b"traceparent", value)]) is None

    def test_two_headers_are_none(self) -> None:
        one = (b"traceparent", b"00-%b-%b-01" % (TRACE, PARENT))
        assert trace_id([one]) == TRACE.decode()
        assert trace_id([one, one]) is None
        assert trace_id([]) is None


class TestBatchingDelay:
    def test_a_lone_frame_goes_out_at_once(self) -> None:
        window = BatchingDelay(0.05)
        assert window.delay(now=100.0) == 0
        window.wrote(100.0, 100.001)
        assert window.delay(now=101.0) == 0

    def test_after_a_broadcast_of_1_ms_it_collects_for_9_ms(self) -> None:
        window = BatchingDelay(0.05)
        window.wrote(100.0, 100.001)
        assert window.delay(now=100.001) == pytest.approx(0.009)
        assert window.delay(now=100.006) == pytest.approx(0.004)

    def test_it_never_collects_for_longer_than_the_maximum(self) -> None:
        window = BatchingDelay(0.05)
        window.wrote(100.0, 101.0)
        assert window.delay(now=101.0) == pytest.approx(0.05)


class TestBacklog:
    def test_nothing_unsent_has_no_age(self) -> None:
        backlog = Backlog(now=0)
        assert [backlog.age(written, 0, now) for written, now in ((100, 1), (200, 9), (200, 99))] == [0, 0, 0]

    def test_a_byte_ages_from_the_check_that_first_saw_it(self) -> None:
        backlog = Backlog(now=0)
        assert [backlog.age(100, 40, now) for now in (1, 2, 7)] == [0, 1, 6]

    def test_new_bytes_do_not_make_old_ones_younger(self) -> None:
        backlog = Backlog(now=0)
        ages = [
            backlog.age(written, unsent, now) for written, unsent, now in ((100, 40, 1), (900, 840, 2), (990, 930, 6))
        ]
        assert ages == [0, 1, 5]

    def test_a_slow_reader_that_keeps_up_with_the_old_bytes_stays_young(self) -> None:
        backlog = Backlog(now=0)
        # 100 bytes are written per second, of which 50 are left each time: no byte waits longer than a second.
        assert [backlog.age(100 * now, 50, now) for now in range(1, 20)] == [0] * 19

    def test_a_reader_that_falls_further_and_further_behind_gets_old(self) -> None:
        backlog = Backlog(now=0)
        assert [backlog.age(100 * now, 90 * now, now) for now in (1, 5, 10, 20)] == [0, 4, 5, 15]

    def test_it_records_when_bytes_were_last_taken(self) -> None:
        backlog = Backlog(now=0)
        for written, unsent, now in ((100, 100, 1), (100, 90, 2), (100, 90, 3)):
            backlog.age(written, unsent, now)
        assert backlog.last_progress == 2


class TestRateLimit:
    def test_a_chat_may_send_its_rate_at_once_and_then_waits(self) -> None:
        limit = RateLimit(2)
        assert [limit.wait("a", now) for now in (0, 0, 0, 0.4, 0.5, 0.6)] == [0, 0, 1, 1, 0, 1]

    def test_each_chat_has_its_own_limit(self) -> None:
        limit = RateLimit(1)
        assert [limit.wait(chat, 0) for chat in "abab"] == [0, 0, 1, 1]

    def test_a_slow_rate_returns_how_long_to_wait(self) -> None:
        limit = RateLimit(0.1)
        assert [limit.wait("a", now) for now in (0, 0, 4, 10)] == [0, 10, 6, 0]

    def test_it_forgets_the_chat_that_has_been_quiet_longest(self) -> None:
        limit = RateLimit(1, remember=2)
        assert [limit.wait(chat, 0) for chat in "abcab"] == [0, 0, 0, 0, 0]


PIECES = [
    *(b"--B", b"--B--", b"\r\n", b"\n", b"Content-Disposition: form-data; name=", b'"content"', b"name*=utf-8''%ff"),
    *(b"=?utf-8?b?!!?=", b"Content-Type: ", b"text/plain; charset=", b"utf-7", b"message/rfc822", b"--C", b"*0*="),
    *(b"multipart/mixed; boundary=C", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode"),
    *(b"begin 644 x\n", b"=", b"&", b"\xff", b"\0", b";", b'"', b"(", b"[", b"{", b":", b"a", b" ", b"1e9", b"\\ud800"),
]
KINDS = [
    *(
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=B",
        b"text/plain",
        b"",
    ),
    *(b"multipart/form-data; boundary*0=B", b"multipart/form-data; boundary=\xff", b'multipart/form-data; boundary="B'),
    *(b"multipart/form-data; boundary*=utf-8''%ff", b"multipart/form-data; (", b"multipart/form-data; charset=x"),
]
"""Fragments of bodies and content types, so that random combinations get past the first checks."""


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'{"a": "x \xe2\x9c\x85", "b": 1}', None),
            (b'{"a": "x \xe2\x9c\x85", "b": 1}', b"application/json; charset=utf-8"),
            (b"a=x+%E2%9C%85&b=1", b"application/x-www-form-urlencoded"),
            (
                b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx \xe2\x9c\x85\r\n--B--\r\n',
                b"multipart/form-data; boundary=B",
            ),
            (
                b"--B\r\nContent-Disposition: form-data; name*=utf-8''%61\r\n\r\nx \xe2\x9c\x85\r\n--B--\r\n",
                b"multipart/form-data; boundary=B",
            ),
        ],
    )
    def test_json_and_forms_are_equivalent(self, body: bytes, kind: bytes | None) -> None:
        assert text_field(fields(body, kind), "a", 10) == "x ✅"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", None),
            (b"[]", None),
            (b"nonsense", None),
            (b'{"a": "\xff"}', None),
            (b"[" * 100_000, None),
            (b"a", b"application/x-www-form-urlencoded"),
            (b"\xff=1", b"application/x-www-form-urlencoded"),
            (b"nonsense", b"multipart/form-data"),
            (b"nonsense", b"multipart/form-data; boundary=\xff"),
            (b"", b"multipart/form-data; boundary=B"),
            (b"--B--", b"multipart/form-data"),
            (b"--B\r\nnone--B--\r\n", b"multipart/form-data; boundary=B"),
            (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", b"multipart/form-data; boundary=B"),
        ],
    )
    def test_neither_json_nor_a_form_is_unreadable(self, body: bytes, kind: bytes | None) -> None:
        with pytest.raises(UnreadableError):
            fields(body, kind)

    def test_a_form_without_fields_is_empty(self) -> None:
        assert fields(b"", b"application/x-www-form-urlencoded") == {}
        assert fields(b"--B--\r\n", b'multipart/form-data; boundary="B"') == {}

    @given(st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join), st.sampled_from(KINDS))
    @settings(max_examples=500, deadline=None, derandomize=True)
    def test_any_body_is_read_or_unreadable(self, body: bytes, kind: bytes) -> None:
        with contextlib.suppress(UnreadableError):
            form_as_json(fields(body, kind))

    @pytest.mark.parametrize("wrong", ["\ud800", ["\ud800"], {"\ud800": 1}])
    def test_a_form_that_cannot_be_stored_is_unreadable(self, wrong: object) -> None:
        with pytest.raises(UnreadableError, match="expected Unicode text"):
            form_as_json({"a": wrong})

    def test_the_pattern_for_not_blank_agrees_with_the_code(self) -> None:
        said = re.compile(NOT_BLANK)
        for number in range(0x110000):
            assert bool(said.match(chr(number))) is not chr(number).isspace(), hex(number)

    def test_invalid_text_fields(self) -> None:
        assert text_field({}, "a", 10) is None
        values: tuple[object, ...] = (1, True, [], {}, "x" * 11, "\ud800")
        for value in values:
            with pytest.raises(UnreadableError):
                text_field({"a": value}, "a", 10)

    def test_numbers(self) -> None:
        assert [whole_number(text, "n", 1, 20, 5) for text in (None, "1", "20")] == [5, 1, 20]
        for text in ("", "0", "21", "-1", "1.0", "x", "²", "9" * 30):
            with pytest.raises(UnreadableError):
                whole_number(text, "n", 1, 20, 5)


class TestPace:
    def test_five_messages_a_second_get_every_line(self) -> None:
        pace = Pace()
        assert all(pace.every_line(number * 0.21, subscribers=10) for number in range(100))

    def test_the_sixth_in_a_second_is_counted_instead(self) -> None:
        pace = Pace()
        assert [pace.every_line(number / 10, 1) for number in range(7)] == [True] * 5 + [False] * 2
        assert pace.summary(1.0) is None
        assert pace.summary(1.5) == (2, 2)
        assert pace.summary(2.5) is None

    def test_many_subscribers_are_counted_instead(self) -> None:
        pace = Pace()
        assert not pace.every_line(0.0, 11)
        assert pace.summary(1.0) == (1, 11)

    def test_full_lines_again_after_a_summary(self) -> None:
        pace = Pace()
        for number in range(20):
            pace.every_line(number / 100, 1)
        assert pace.summary(2.0) == (15, 15)
        assert pace.every_line(3.0, 1)


def test_a_messages_lines_match_the_guide() -> None:
    message = Message(
        7, "8942b9df-77c8-4e5f-a7eb-097aace75053", 3, "user", "Hello from customer", "2025-11-08T12:00:00.123456Z"
    )
    assert "\n".join(message_lines(message, ["c0ffee"])) == (
        """\
============================================================
📥 WIDGET MESSAGE RECEIVED
============================================================
Chat ID: 8942b9df-77c8-4e5f-a7eb-097aace75053
============================================================

📥 Parsed JSON body: {'content': 'Hello from customer', 'role': 'user'}
💬 Message content: 'Hello from customer'
👤 Message role: 'user'

📡 Broadcasting chat_updates to 1 subscriber(s)
   Message: {
     "type": "chat_updates",
     "data": {
       "type": "chat_message_notification",
       "chat_id": "8942b9df-77c8-4e5f-a7eb-097aace75053",
       "message_role": "user",
       "timestamp": "2025-11-08T12:00:00.123456Z",
       "message_id": 7,
       "seq": 3
     }
   }

✅ Successfully sent message to connection c0ffee
✅ Quick notification broadcast completed (widget message)
✅ Message saved to chat 8942b9df... (role: user)

INFO: "POST /api/users/chats/8942b9df-77c8-4e5f-a7eb-097aace75053/send HTTP/1.1" 200 OK"""
    )


def test_without_subscribers_the_guides_warning_is_shown() -> None:
    message = Message(1, "c", 1, "user", "x", "t")
    assert "⚠️ No subscribers for chat_updates, message will not be delivered" in message_lines(message, [])


def test_merged_metrics_stay_together_and_have_a_worker_label() -> None:
    one = b'# HELP a About { a.\n# TYPE a counter\na_total 1.0\n# HELP b B.\n# TYPE b gauge\nb{c="d e",f="{"} 2.5e+09\n'
    two = b"# HELP a About { a.\n# TYPE a counter\na_total 3.0\n"
    assert merged({2: two, 0: one}).decode().splitlines() == [
        "# HELP chat_workers_up Workers that reported their metrics in time; only with several workers.",
        "# TYPE chat_workers_up gauge",
        "chat_workers_up 2.0",
        "# HELP a About { a.",
        "# TYPE a counter",
        'a_total{worker="0"} 1.0',
        'a_total{worker="2"} 3.0',
        "# HELP b B.",
        "# TYPE b gauge",
        'b{worker="0",c="d e",f="{"} 2.5e+09',
    ]


def test_several_workers_do_not_warn_that_there_are_no_subscribers() -> None:
    message = Message(1, "abc", 1, "user", "Hello", "2025-11-08T12:00:00.000000Z")
    lines = message_lines(message, [], alone=False)
    assert not [line for line in lines if "No subscribers" in line]
    assert "📥 WIDGET MESSAGE RECEIVED" in lines
