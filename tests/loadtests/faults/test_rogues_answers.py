"""How rogues read responses: as soon as they are whole, however they are cut into pieces, and never before."""

from __future__ import annotations

import pytest

from chatswarm.loadtests.faults.rogues.answers import answer_in

LENGTH = b"HTTP/1.1 201 Created\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
ENDLESS = b"HTTP/1.0 200 OK\r\n\r\nhello"


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (LENGTH, 201, b"hello"),
        (CHUNKED, 200, b"hello"),
        (EMPTY, 204, b""),
        (INTERIM + LENGTH, 201, b"hello"),
    ],
)
def test_a_response_is_whole_with_its_last_byte(data: bytes, status: int, body: bytes) -> None:
    assert [answer_in(data[:end], ended=False) for end in range(len(data))] == [None] * len(data)
    answer = answer_in(data, ended=False)
    assert answer is not None
    assert (answer.status, answer.body) == (status, body)
    if data is LENGTH:
        assert answer.headers["set-cookie"] == "a=b"


def test_a_response_without_a_length_lasts_until_the_end() -> None:
    assert answer_in(ENDLESS, ended=False) is None
    answer = answer_in(ENDLESS, ended=True)
    assert answer is not None
    assert answer.body == b"hello"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", CHUNKED[:-3], INTERIM])
def test_a_response_that_is_cut_is_none(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        answer_in(data, ended=True)


def test_another_protocol_is_no_response() -> None:
    with pytest.raises(ValueError, match="220 mail"):
        answer_in(b"220 mail.example ESMTP\r\n", ended=False)
