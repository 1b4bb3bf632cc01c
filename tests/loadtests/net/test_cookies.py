"""A user's cookies, by Chrome's rules."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.net.cookies import CookieJar

from .cookie_cases import CASES, CookieCase

URL = "http://chat.test:8000/"


def setting(*lines: str) -> list[tuple[str, str]]:
    return [("date", "x"), *(("set-cookie", line) for line in lines)]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cookies_are_kept_and_sent_as_chromium_does(case: CookieCase) -> None:
    jar = CookieJar()
    jar.store(case.set_by, setting(*case.lines))
    assert jar.header(case.sent_to) == case.sent


def test_ports_do_not_matter_and_websockets_are_like_http() -> None:
    jar = CookieJar()
    jar.store("ws://127.0.0.1:1/chat/ws", setting("a=1"))
    assert jar.header("http://127.0.0.1:2/chat/list") == "a=1"
    jar.store("wss://chat.test/ws", setting("b=2; Secure"))
    assert (jar.header("wss://chat.test:444/ws"), jar.header("ws://chat.test/ws")) == ("b=2", "")
    jar.store("http://[::1]:8000/", setting("c=3; Secure"))
    assert jar.header("ws://[::1]/ws") == "c=3"
    assert jar.header("http://[::2]/ws") == ""


def test_a_cookie_ends_when_it_says() -> None:
    now = [1000.0]
    jar = CookieJar(lambda: now[0])
    jar.store(
        URL, setting("a=1; Max-Age=60", f"b=2; Expires={datetime.fromtimestamp(1030, UTC):%a, %d %b %Y %H:%M:%S} GMT")
    )
    jar.store(URL, setting("c=3"))
    for at, sent in ((1029.0, "a=1; b=2; c=3"), (1031.0, "a=1; c=3"), (1059.0, "a=1; c=3"), (1061.0, "c=3")):
        now[0] = at
        assert jar.header(URL) == sent


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 21 Oct 2037 07:28:00 GMT", datetime(2037, 10, 21, 7, 28, tzinfo=UTC)),
        ("Wednesday, 21-Oct-37 7:8:9 GMT", datetime(2037, 10, 21, 7, 8, 9, tzinfo=UTC)),
        ("Oct 21 07:28:00 2037", datetime(2037, 10, 21, 7, 28, tzinfo=UTC)),
    ],
)
def test_the_ways_to_write_a_date(text: str, moment: datetime) -> None:
    now = [0.0]
    jar = CookieJar(lambda: now[0])
    jar.store(URL, setting(f"a=1; Expires={text}"))
    now[0] = moment.timestamp() - 1
    assert jar.header(URL) == "a=1"
    now[0] = moment.timestamp()
    assert jar.header(URL) == ""


def test_a_secure_cookie_is_not_replaced_or_hidden_from_plain_http() -> None:
    jar = CookieJar()
    jar.store("https://chat.test/", setting("a=1; Secure"))
    jar.store("http://chat.test/", setting("a=2", "a=3; Path=/x", "b=4"))
    assert jar.header("https://chat.test/x") == "a=1; b=4"
    jar.store("https://chat.test/", setting("a=5"))
    assert jar.header("http://chat.test/") == "b=4; a=5"


def test_the_value_of_one_cookie() -> None:
    jar = CookieJar()
    jar.store(URL, setting("csrftoken=x=y", "other=1; Path=/chat"))
    assert jar.value(URL, "csrftoken") == "x=y"
    assert jar.value(URL, "other") is None
    assert jar.value("http://other.test/", "csrftoken") is None


def test_a_target_that_sets_cookies_without_end_does_not_fill_the_memory() -> None:
    jar = CookieJar()
    jar.store("http://other.test/", setting("kept=1"))
    for number in range(500):
        jar.store(URL, setting(f"a{number}=1"))
    assert jar.header(URL).split("; ") == [f"a{number}=1" for number in range(320, 500)]
    assert jar.header("http://other.test/") == "kept=1"


@given(st.text(max_size=60), st.sampled_from([URL, "https://[::1]/", "ws://a.localhost/x/y?z"]))
def test_no_text_raises_an_error_or_makes_a_header_of_two_lines(line: str, url: str) -> None:
    jar = CookieJar()
    jar.store(url, setting(line, f"a=1; Expires={line}; Max-Age={line}", f"a=1; Domain={line}"))
    assert not set("\r\n\0") & set(jar.header(url))
