"""Parsing HTTP responses: the same result for any split of the bytes, and no harm from malformed ones."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.swarm.net.responses import (
    LONGEST_HEAD,
    HeaderFields,
    Malformed,
    ResponseReader,
    TooLarge,
    headers_in,
    repaired,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# The bytes, whether the connection then ends, and how a browser reads them: status, body, reusable?
VALID: dict[str, tuple[bytes, bool, int, bytes, bool]] = {
    "a length": (OK, False, 200, b"ok", True),
    "names in any case": (b"HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 2\r\n\r\nok", False, 200, b"ok", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True),
    "bare newlines": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", False, 200, b"ok", True),
    "an announced close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", False,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", False),
    "HTTP/1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True,
    ),
    "HTTP/1.0 until it closes": (b"HTTP/1.0 200 OK\r\n\r\nok", True, 200, b"ok", False),
    "HTTP/1.1 until it closes": (b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nok", True, 200, b"ok", False),
    "an empty body until it closes": (b"HTTP/1.1 200 OK\r\n\r\n", True, 200, b"", False),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", False, 200, b"ok", True,
    ),
    "chunks with extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0;last\r\nLocation: /no\r\n\r\n",
        False, 200, b"ok", True,
    ),
    "chunks and a length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        False, 200, b"ok", True,
    ),
    "interim responses before it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLocation: /no\r\n\r\n" + OK, False, 200, b"ok", True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True),
    "304 with the length of the omitted body": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", False, 304, b"", True,
    ),
    "a folded line": (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True),
    "the same length twice": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True,
    ),
    "the same length twice in a line": (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", False, 200, b"ok", True),
    "lines that are not fields": (
        b"HTTP/1.1 200 OK\r\nhello\r\nX-\xe9: 1\r\n: 2\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True,
    ),
    "a reason in Latin-1": (b"HTTP/1.1 404 Nicht gef\xfcnden\r\nContent-Length: 2\r\n\r\nok", False, 404, b"ok", True),
    "a value in Latin-1": (b"HTTP/1.1 200 OK\r\nX: \xe9\x01\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True),
    "a transfer encoding without chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True,
    ),
    "an offer to upgrade": (
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        False, 200, b"ok", True,
    ),
    "an upgrade that was not requested": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", False, 101, b"", False,
    ),
    "an odd status": (b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok", False, 799, b"ok", True),
}  # fmt: skip

MALFORMED = {
    "no HTTP": b"<html>hello</html>",
    "a status of two digits": b"HTTP/1.1 99 Odd\r\nContent-Length: 2\r\n\r\nok",
    "a status of four digits": b"HTTP/1.1 1000 Odd\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "a length that overflows": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
    "a chunk's length in words": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (LONGEST_HEAD // 6),
    "TLS": b"\x15\x03\x03\x00\x02\x02\x46",
}

CUT = {
    "no response": b"",
    "half a head": OK[:20],
    "half a body": OK[:-1],
    "chunks without the last one": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "chunks without the last newline": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    "only an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a head to repair": b"HTTP/1.1 200 OK\r\nhello\r\nContent-",
}


def feed(reading: ResponseReader, data: bytes, cuts: list[int]) -> None:
    bounds = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, stop in pairwise(bounds):
        reading.feed(data[start:stop])


_CUTS = st.lists(st.integers(1, 200), max_size=8)


@pytest.mark.parametrize("name", VALID)
@given(cuts=_CUTS)
def test_a_response_reads_the_same_however_it_is_split(name: str, cuts: list[int]) -> None:
    data, ends, status, body, reusable = VALID[name]
    reading = ResponseReader()
    for _ in range(2 if reusable else 1):
        reading.begin()
        feed(reading, data, cuts)
        assert reading.complete is not ends, "without a length, only the end of the connection completes it"
        if ends:
            reading.end()
        assert (reading.status, reading.body, reading.complete) == (status, body, True)
        assert reading.reusable is reusable
        assert reading.head == HeaderFields(), "fields of interim responses and trailers are not in the head"
        whole = ResponseReader()
        whole.feed(data)
        assert headers_in(reading.raw_head) == headers_in(whole.raw_head)
        assert headers_in(reading.raw_head).first("location") is None


@pytest.mark.parametrize("name", VALID)
def test_a_response_byte_by_byte(name: str) -> None:
    data, ends, status, body, reusable = VALID[name]
    reading = ResponseReader()
    feed(reading, data, list(range(len(data))))
    if ends:
        reading.end()
    assert (reading.status, reading.body, reading.complete, reading.reusable) == (status, body, True, reusable)


@pytest.mark.parametrize("name", MALFORMED)
@given(cuts=_CUTS)
def test_malformed_responses(name: str, cuts: list[int]) -> None:
    reading = ResponseReader()
    with pytest.raises(Malformed):
        feed(reading, MALFORMED[name], cuts)
    assert not reading.complete
    assert not reading.reusable


@pytest.mark.parametrize("name", CUT)
def test_a_response_that_is_cut_is_not_complete(name: str) -> None:
    reading = ResponseReader()
    if CUT[name]:
        reading.feed(CUT[name])
    reading.end()
    assert not reading.complete
    assert reading.began is bool(CUT[name])


@pytest.mark.parametrize("more", [b"x", OK, b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_bytes_after_a_response_make_the_connection_unusable_but_not_the_response(more: bytes) -> None:
    reading = ResponseReader()
    reading.feed(OK + more)
    assert (reading.status, reading.body, reading.complete, reading.reusable) == (200, b"ok", True, False)


def test_the_response_to_a_head_has_no_body_whatever_its_length() -> None:
    reading = ResponseReader()
    reading.begin(bodiless=True)
    reading.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert (reading.status, reading.body, reading.complete) == (200, b"", True)


def test_header_fields() -> None:
    reading = ResponseReader()
    reading.feed(
        b"HTTP/1.1 429 No\r\nRETRY-AFTER:  5 \r\nContent-Encoding: gzip\r\nlocation: /a\xc3\xa9\xff\r\n"
        b"content-encoding: br\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    )
    assert reading.head == HeaderFields("gzip, br", "/aé�", "5")


def test_a_body_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.swarm.net.responses.LARGEST", 1000)
    reading = ResponseReader()
    reading.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    reading.feed(b"x" * 1000)
    with pytest.raises(TooLarge):
        reading.feed(b"x" * LONGEST_HEAD)


@given(
    st.one_of(
        st.binary(max_size=400), st.binary(max_size=200).map(lambda close_idle: b"HTTP/1.1 200 OK\r\n" + close_idle)
    ),
    _CUTS,
)
def test_garbage_is_malformed_or_an_answer_and_nothing_else(data: bytes, cuts: list[int]) -> None:
    reading = ResponseReader()
    try:
        feed(reading, data, cuts)
    except Malformed:
        assert not reading.complete
    reading.end()


def test_a_head_is_repaired_as_a_browser_would_read_it() -> None:
    head = b"HTTP/1.1 200 \xffOK\r\nA : 1\r\nnothing\r\nB: 2\r\n  3\r\nContent-Length: 4, 4\r\ncontent-length: 4"
    assert repaired(head) == b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2 3\r\nContent-Length: 4"
