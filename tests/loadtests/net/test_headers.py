"""The header fields of a response."""

from chatswarm.loadtests.net.headers import Headers


def test_the_first_value_and_every_value_of_a_header() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
    assert (headers.first("a"), headers.every("a")) == ("1", ["1", "3"])
    assert (headers.first("c"), headers.every("c")) == (None, [])
    assert list(headers) == [("a", "1"), ("b", "2"), ("a", "3")]
