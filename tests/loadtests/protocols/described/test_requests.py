"""Requests that a file describes, and what is kept of their answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.described.conditions import conditions_of
from chatswarm.loadtests.protocols.described.requests import (
    RequestStep,
    RequestTemplate,
    UnexpectedError,
    document_of,
    keep_of,
)
from chatswarm.loadtests.protocols.described.templates import Context, Template, Templates
from chatswarm.loadtests.protocols.protocol import Answer, Request, Unreadable
from chatswarm.loadtests.protocols.variables import Variables

KNOWN = Context(Variables("run"), {"room": "a b", "empty": "", "n": "7", "text": 'say "hi"'})


def plain(text: str) -> Template:
    return Templates({}).make(text)


def template(path: str, **others: object) -> RequestTemplate:
    return RequestTemplate("POST", Templates({}).make(path, "path"), **others)  # type: ignore[arg-type]


def test_a_request_is_made_of_its_parts() -> None:
    made = template(
        "/rooms/${room}?x=1",
        query={"after": plain("${n}"), "q": plain("a&b=c/d")},
        headers={"Authorization": plain("Bearer ${n}"), "X-None": plain("${empty}"), "Accept": plain("text/html")},
        kind="json",
        body=Templates({}).make('{"text": "${text}"}', "json"),
    ).make(KNOWN)
    assert made == Request(
        "POST",
        "/rooms/a%20b?x=1&after=7&q=a%26b%3Dc%2Fd",
        b'{"text": "say \\"hi\\""}',
        {"Accept": "text/html", "Content-Type": "application/json", "Authorization": "Bearer 7"},
    )


def test_a_request_may_have_a_form_any_body_or_none() -> None:
    form = template("/login", kind="form", form={"name": plain("${room}"), "text": plain("${text}&")}).make(KNOWN)
    assert form.body == b"name=a+b&text=say+%22hi%22%26"
    assert form.headers["Content-Type"] == "application/x-www-form-urlencoded"
    body = template("/", kind="body", body=plain("\u00fc ${text}\ud83d")).make(KNOWN)
    assert body.body == '\u00fc say "hi"\ufffd'.encode()
    assert "Content-Type" not in body.headers
    assert template("/").make(KNOWN) == Request("POST", "/", None, {"Accept": "application/json, */*"})


def test_a_signature_is_of_the_same_requests_body() -> None:
    made = template(
        "/",
        query={"md5": plain("${body|md5}")},
        headers={"X-Signed": plain("${body|md5}")},
        kind="body",
        body=plain("${n}"),
    ).make(KNOWN)
    assert made.path == "/?md5=8f14e45fceea167a5a36dedd4bea2543"
    assert made.headers["X-Signed"] == "8f14e45fceea167a5a36dedd4bea2543"


ANSWER = Answer(
    200,
    {
        "x-token": "abc",
        "set-cookie": 'csrftoken="t1"; Path=/; csrf=wrong\nsession=s2; HttpOnly\nempty=',
        "content-type": "text/html; charset=utf-8",
    },
    b'<input name="t" value="a&#43;b"> <b></b>',
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("header:X-Token", "abc"),
        ("header: x-token ", "abc"),
        ("cookie:csrftoken", "t1"),
        ("cookie:session", "s2"),
        ("cookie:empty", ""),
        ('body:value="([^"]+)"', "a+b"),
        ("body:<b>(.*)</b>", ""),
    ],
)
def test_a_part_of_an_answer_is_kept(source: str, expected: str) -> None:
    step = RequestStep("line 7", template("/"), keep=[keep_of("it", source, answers=True)])
    assert step.take(ANSWER, KNOWN) == {"it": expected}


@pytest.mark.parametrize(
    "source", ["header:X-Other", "cookie:csrf", "cookie:token", "body:nothing (like this)", "body:(x)?<b>"]
)
def test_a_part_that_is_not_there_is_named(source: str) -> None:
    step = RequestStep("line 7", template("/"), keep=[keep_of("it", source, answers=True)])
    with pytest.raises(UnexpectedError) as refused:
        step.take(ANSWER, KNOWN)
    assert str(refused.value) == f"line 7: expected {source} in the answer, got nothing"


def test_a_value_in_the_json_of_an_answer_is_kept() -> None:
    step = RequestStep("line 7", template("/"), keep=[keep_of(name, f"$.{name}", answers=True) for name in "ab"])
    assert step.take(Answer(201, {}, b'{"a": "x", "b": [1, "y"]}'), KNOWN) == {"a": "x", "b": '[1,"y"]'}
    for body in (b'{"a": "x", "b": null}', b'{"a": "x"}'):
        with pytest.raises(UnexpectedError, match=r"^line 7: expected \$\.b in the answer, got nothing$"):
            step.take(Answer(200, {}, body), KNOWN)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("token", "expected a path such as $.token, header:NAME, cookie:NAME or body:PATTERN for it, got 'token'"),
        ("query:x", "expected a path such as $.token, header:NAME, cookie:NAME or body:PATTERN for it, got 'query:x'"),
        (7, "expected a path such as $.token, header:NAME, cookie:NAME or body:PATTERN for it, got 7"),
        ("$[*]", "expected a path of names and indexes, which names one value, got '$[*]'"),
        (
            "body:(",
            "expected a regular expression after body:, got '(': missing ), unterminated subpattern at position 0",
        ),
        ("body:a", "expected a regular expression with a group after body:, got 'a'"),
    ],
)
def test_a_wrong_keep_is_named(source: object, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as refused:
        keep_of("it", source, answers=True)
    assert str(refused.value) == problem


def test_frames_have_no_headers() -> None:
    with pytest.raises(ValueError, match=r"^expected a path such as \$\.token for it, got 'header:X-Token'$"):
        keep_of("it", "header:X-Token", answers=False)


SECRET = "the-secret-of-the-answer"


@pytest.mark.parametrize(
    ("step", "answer", "problem"),
    [
        (RequestStep("line 7", template("/")), Answer(302, {}, b""), "line 7: expected a status of 2xx, got 302"),
        (
            RequestStep("line 7", template("/"), statuses=[302, 303]),
            Answer(200, {}, SECRET.encode()),
            "line 7: expected 302 or 303, got 200",
        ),
        (
            RequestStep("line 7", template("/"), expect=conditions_of({"$.ok": True}, None)),
            Answer(200, {}, f'{{"token": "{SECRET}"}}'.encode()),
            "line 7: expected $.ok = true, got another answer",
        ),
        (
            RequestStep("line 7", template("/"), expect=conditions_of({"$.ok": True}, None)),
            Answer(200, {"content-type": "text/html; charset=utf-8"}, SECRET.encode()),
            "line 7: expected JSON, got text/html (a login page?)",
        ),
        (
            RequestStep("line 7", template("/"), keep=[keep_of("it", "$.token", answers=True)]),
            Answer(200, {}, SECRET.encode()),
            "line 7: expected JSON, got no content type",
        ),
    ],
)
def test_an_answer_that_is_not_as_expected_is_not_quoted(step: RequestStep, answer: Answer, problem: str) -> None:
    with pytest.raises(UnexpectedError) as refused:
        step.take(answer, KNOWN)
    assert str(refused.value) == problem
    assert refused.value.status == answer.status


def test_another_status_may_be_what_is_expected() -> None:
    step = RequestStep("line 7", template("/"), statuses=[302], keep=[keep_of("it", "header:location", answers=True)])
    assert step.take(Answer(302, {"location": "/x"}, b"<html>"), KNOWN) == {"it": "/x"}


@given(st.integers(100, 599), st.binary(max_size=30), st.text(max_size=20))
def test_any_answer_is_taken_or_unexpected(status: int, body: bytes, header: str) -> None:
    sources = ["$.a[0]", "header:x", "cookie:a", "body:(.)"]
    step = RequestStep(
        "line 7",
        template("/"),
        expect=conditions_of({"$.a": "${n|plus:room}"}, plain),
        keep=[keep_of("it", source, answers=True) for source in sources],
    )
    with pytest.raises(UnexpectedError):
        step.take(Answer(status, {"x": header, "set-cookie": header}, body), KNOWN)


def test_a_body_that_is_no_json_is_unreadable() -> None:
    assert document_of(b'{"a": 1}', "the list") == {"a": 1}
    with pytest.raises(Unreadable, match=r"^the list: expected JSON, got b'x'$"):
        document_of(b"x", "the list")
    with pytest.raises(Unreadable, match=r"^the list: expected JSON \(a login page\?\), got b' <html>'$"):
        document_of(b" <html>", "the list")
    with pytest.raises(Unreadable, match=r"^the list: expected JSON"):
        document_of(b"[" * 100_000, "the list")
