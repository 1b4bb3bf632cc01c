"""A described chat as a protocol: users, logins, rooms, sends, lists and histories."""

import json
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.messages.trace import send_traceparent
from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import Described, read_description
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Frame,
    Kind,
    LoginError,
    Page,
    RefusedError,
    Request,
    Sent,
    Unreadable,
    UnreadableHere,
    User,
)
from tests.contract.test_transcripts import transcript_of

from .files import SMALL, protocol_of

_T = TypeVar("_T")
HISTORY = '[history]\nrequest = "GET /rooms/${room}"\nmessages = "$.all[*]"\ntext = "$.text"\n'


def steps(making: Generator[Request, Answer, _T], *answers: Answer) -> tuple[list[Request], _T | None]:
    """The requests that are made when they are answered like this, and what comes of it once all are."""
    made: list[Request] = []
    try:
        made.append(next(making))
        for answer in answers:
            request = making.send(answer)
            made.append(request)
    except StopIteration as end:
        return made, end.value
    return made, None


def ok(body: object) -> Answer:
    return Answer(200, {}, json.dumps(body).encode())


def user_of(protocol: Described, **given: str) -> User:
    return protocol.user("widget", 3, "abcdefghij", given)


# Users.


def test_a_user_has_what_its_row_and_the_file_say() -> None:
    protocol = protocol_of(
        SMALL
        + "[users.each]\nname = '${role}-${index}.${run}'\nemail = '${run}@${host}'\ntenant = '${env.TENANT|or:}'\n",
        {"TENANT": " t1\n"},
        "https://chat.example.com:8443/x",
    )
    user = user_of(protocol)
    assert (user.name, user.email) == ("widget-3.abcdefghij", "abcdefghij@chat.example.com")
    assert user.variables["user.tenant"] == "t1"
    other = user_of(protocol, name="ann", tenant="t2")
    assert (other.name, other.variables["user.name"], other.variables["user.tenant"]) == ("ann", "ann", "t2")
    assert other.variables["base_url"] == "https://chat.example.com:8443"


def test_a_user_without_any_has_a_name_and_an_address() -> None:
    user = protocol_of(SMALL).user("dashboard", 0, "abcdefghij", {})
    assert (user.name, user.email) == ("dashboard-0.abcdefghij", "dashboard-0.abcdefghij@example.com")
    assert user.variables["base_url"] == user.variables["host"] == ""


# Logins.

LOGIN = """\
[[login]]
request = "POST /csrf"
keep = { csrf = "$.csrf" }
[[login]]
request = "POST /login/${user.name}"
json = '{"csrf": "${csrf}", "n": ${user.n|or:0}}'
keep = { token = "$.token" }
[[socket.before]]
request = "POST /ticket"
headers = { Authorization = "Bearer ${token}" }
keep = { ticket = "$.ticket" }
"""
TICKETS = SMALL.replace(
    'path = "/ws"', 'path = "/ws/${ticket}"\nheaders = { X = "${none|or:}" }\nsubprotocols = ["a", "b.${csrf}"]'
)


def test_a_login_keeps_what_its_answers_say() -> None:
    protocol = protocol_of(TICKETS.replace("[send]", f"{LOGIN}[send]").replace("${none|or:}", "${csrf}"))
    user = user_of(protocol)
    made, _ = steps(protocol.login(user), ok({"csrf": "c/1"}), ok({"token": "t1"}))
    assert [(one.path, one.body) for one in made] == [
        ("/csrf", None),
        ("/login/widget-3.abcdefghij", b'{"csrf": "c/1", "n": 0}'),
    ]
    for ticket in ("k1", "k2"):
        made, _ = steps(protocol.before_handshake(user), ok({"ticket": ticket}))
        assert made[0].headers["Authorization"] == "Bearer t1"
        assert protocol.handshake(user) == (f"/ws/{ticket}", {"X": "c/1"}, ["a", "b.c/1"])
    assert user.variables.blanked("token-t1 c/1") == "token-t1 c/1"  # too short: other texts may contain it


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (Answer(401, {}, b"the-secret"), 401, "expected a status of 2xx, got 401"),
        (
            Answer(200, {"content-type": "text/html"}, b"<the-secret>"),
            200,
            "expected JSON, got text/html (a login page?)",
        ),
        (ok({"other": "the-secret"}), 200, "expected $.csrf in the answer, got nothing"),
        (ok(["the-secret"]), 200, "expected $.csrf in the answer, got nothing"),
    ],
)
def test_a_refused_login_shows_nothing_of_the_answer(answer: Answer, status: int, why: str) -> None:
    protocol = protocol_of(SMALL + LOGIN)
    with pytest.raises(LoginError) as refused:
        steps(protocol.login(user_of(protocol)), answer)
    assert str(refused.value) == f"line 12 of the protocol file (login 1): {why}"
    assert refused.value.status == status


def test_a_login_that_cannot_be_made_says_where() -> None:
    protocol = protocol_of(SMALL + LOGIN.replace("${user.n|or:0}", "${csrf|plus:1}"))
    with pytest.raises(UnreadableHere) as refused:
        steps(protocol.login(user_of(protocol)), ok({"csrf": "the-secret"}))
    assert str(refused.value) == (
        "line 15 of the protocol file (login 2): expected two numbers for the filter plus:1, got something else"
    )


def test_what_is_computed_differs_from_request_to_request() -> None:
    twice = "[[login]]\nrequest = 'POST /${uuid}/${uuid}'\n" * 2
    protocol = protocol_of(SMALL + twice)
    made, _ = steps(protocol.login(user_of(protocol)), ok({}), ok({}))
    (one, same), (other, _) = (path.path.removeprefix("/").split("/") for path in made)
    assert one == same != other


# Rooms.

CREATE = """\
[rooms]
id = "room-${run}-${index}"
private = true
[[rooms.create]]
request = "PUT /rooms/${room}"
json = '{"members": ${members}, "first": ${index}}'
[rooms.add]
request = "PUT /rooms/${room}/${user.name}"
[rooms.remove]
request = "DELETE /rooms/${room}/${user.name}"
"""


def test_a_room_is_created_and_changed() -> None:
    protocol = protocol_of(SMALL + CREATE)
    members = [user_of(protocol, name=name) for name in ("ann", 'b"ob')]
    made, room = steps(protocol.create_room(4, "abcdefghij", members), ok({}))
    assert room == "room-abcdefghij-4"
    assert [(one.method, one.path, one.body) for one in made] == [
        ("PUT", "/rooms/room-abcdefghij-4", b'{"members": ["ann", "b\\"ob"], "first": 4}')
    ]
    assert protocol.add_member("r/1", members[0]).path == "/rooms/r%2F1/ann"
    removed = protocol.remove_member("r/1", members[1])
    assert (removed.method, removed.path) == ("DELETE", "/rooms/r%2F1/b%22ob")


def test_the_answer_may_say_what_the_room_is_called_and_its_first_member_may_have_to_log_in() -> None:
    create = "[[rooms.create]]\nrequest = 'POST /rooms/${token}'\nkeep = { room = '$.id', secret = '$.s' }\n"
    create += "[[rooms.create]]\nrequest = 'POST /rooms/${room}/${secret}'\n"
    protocol = protocol_of(SMALL + LOGIN.partition("[[socket")[0] + create)
    answers = [ok({"csrf": "c"}), ok({"token": "t"}), ok({"id": 7, "s": "x"}), ok({})]
    made, room = steps(protocol.create_room(0, "run", [user_of(protocol)]), *answers)
    assert room == "7"
    assert [one.path for one in made][2:] == ["/rooms/t", "/rooms/7/x"]


def test_a_room_that_cannot_be_created_is_refused() -> None:
    protocol = protocol_of(SMALL + CREATE)
    with pytest.raises(RefusedError) as refused:
        steps(protocol.create_room(0, "run", []), Answer(409, {}, b""))
    assert str(refused.value) == "line 15 of the protocol file (rooms.create 1): expected a status of 2xx, got 409"
    assert refused.value.status == 409


def test_there_are_no_more_rooms_than_the_file_lists() -> None:
    protocol = protocol_of(SMALL + "[rooms]\nids = ['a', 'b']\n")
    assert steps(protocol.create_room(1, "run", []))[1] == "b"
    with pytest.raises(ValueError, match=r"^expected at most 2 rooms, as the protocol file lists, got 3$"):
        steps(protocol.create_room(2, "run", []))


def test_a_widget_may_open_its_own_chat() -> None:
    text = SMALL.replace('id = "$.id"', 'room = "$.room"') + (
        "[rooms]\neach = 'sender'\n[[rooms.create]]\nrequest = 'POST /chats'\njson = '{\"by\": \"${user.name}\"}'\n"
        "keep = { room = '$.id' }\n"
    )
    protocol = protocol_of(text)
    made, chat = steps(protocol.create_chat(user_of(protocol, name="ann")), ok({"id": "c1"}))
    assert (made[0].body, chat) == (b'{"by": "ann"}', "c1")
    assert not protocol.promises.has_rooms


def test_what_a_file_does_not_say_cannot_be_done() -> None:
    protocol = protocol_of(SMALL)
    user = user_of(protocol)
    for call in (
        lambda: protocol.create_chat(user),
        lambda: protocol.add_member("r", user),
        lambda: protocol.remove_member("r", user),
        lambda: protocol.send(user, "r", "x", "k"),
        lambda: protocol.list_chats(user),
        lambda: protocol.read_list(b"{}"),
        lambda: protocol.whole_chat(user, "r"),
        lambda: protocol.read_whole_chat(b"{}"),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert protocol.read_missed(user, "r", None) is None


# Sends.

SEND = """\
request = "POST /rooms/${room}/${ref}"
headers = { Idempotency-Key = "${uid}" }
json = '{"text": "${text}"}'
"""


def test_a_message_is_sent_by_a_request() -> None:
    protocol = protocol_of(SMALL.replace('frame = \'{"text": "${text}"}\'', SEND.replace("/${ref}", "")))
    made = protocol.send(user_of(protocol), "r 1", 'say "hi"', "key-1")
    assert (made.method, made.path, made.body) == ("POST", "/rooms/r%201", b'{"text": "say \\"hi\\""}')
    assert made.headers["Idempotency-Key"] == "key-1"
    assert protocol.read_sent(b"anything") == Sent()


def test_a_request_may_have_the_trace_context_of_its_message_where_the_chat_wants_it() -> None:
    send = SEND.replace("/${ref}", "").replace('"text": ', '"trace": "${traceparent}", "text": ')
    protocol = protocol_of(SMALL.replace('frame = \'{"text": "${text}"}\'', send))
    made = protocol.send(user_of(protocol), "r", "hi", "run.3.4")
    assert json.loads(made.body or b"") == {"trace": send_traceparent("run.3.4"), "text": "hi"}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"id": 7}, Sent(True, 7)),
        ({"id": [7]}, Sent(True, None)),
        ({"id": 7, "error": {"message": "slow down"}}, Sent(False, None, "slow down")),
        ({"ok": False, "error": None}, Sent(False, None, "")),
        ({"ok": False}, Sent(False, None, "")),
        ([], Sent(True, None)),
    ],
)
def test_an_answer_may_be_a_rejection(body: object, sent: Sent) -> None:
    answer = (
        "request = 'POST /x'\nid = '$.id'\ndetail = '$.error.message'\nrejected = { '$.error' = { exists = true } }\n"
        "accepted = { '$.ok' = { is = [true], or_absent = true } }"
    )
    protocol = protocol_of(SMALL.replace('frame = \'{"text": "${text}"}\'', answer))
    assert protocol.read_sent(json.dumps(body).encode()) == sent
    with pytest.raises(Unreadable, match=r"^the response to a send: expected JSON, got b'x'$"):
        protocol.read_sent(b"x")


# Lists.

LIST = """\
[refetch]
request = "GET /chats/${user.name}"
rooms = "$.users[*].chats[*]"
room = "$.id"
total = "$.total"
messages = "$.messages[*]"
text = "$.text"
text_as = "html"
id = "$.id"
ours = { "$.role" = "user" }
window = 100
"""
REFETCH = SMALL.replace('name = "small"', 'name = "small"\nvisible = "refetch"').replace(
    'is = "message"\ntext = "$.text"', 'is = "hint"'
)


def test_a_list_is_read() -> None:
    protocol = protocol_of(REFETCH + LIST)
    assert protocol.list_chats(user_of(protocol, name="a b")).path == "/chats/a%20b"
    assert protocol.list_window == 100
    messages = [{"text": "1 &amp; 2", "id": 4, "role": "user"}, {"text": "", "role": "agent"}]
    body = {"users": [{"chats": [{"id": 7, "total": 5, "messages": messages}]}, {"chats": []}, {}]}
    (chat,) = protocol.read_list(json.dumps(body).encode())
    assert (chat.chat_id, chat.total) == ("7", 5)
    assert [(text.text, text.from_customer, text.message_id) for text in chat.texts] == [
        ("1 & 2", True, 4),
        ("", False, None),
    ]
    assert protocol.read_list(json.dumps(body).encode()) == [chat]


def test_without_a_total_the_messages_are_counted() -> None:
    protocol = protocol_of(REFETCH + LIST.replace('total = "$.total"\n', ""))
    (chat,) = protocol.read_list(b'{"users": [{"chats": [{"id": "c", "messages": [{"text": "a"}, {"text": "b"}]}]}]}')
    assert chat.total == 2


@pytest.mark.parametrize(
    ("chat", "problem"),
    [
        ({"total": 1, "messages": []}, "the list of chats: expected a room at $.id, got b"),
        ({"id": None, "total": 1}, "the list of chats: expected a room at $.id, got b"),
        ({"id": "c", "total": -1}, "the list of chats: expected a number of messages, got -1"),
        ({"id": "c", "total": 2**31}, f"the list of chats: expected a number of messages, got {2**31}"),
        ({"id": "c", "total": "1"}, "the list of chats: expected a number of messages, got '1'"),
        ({"id": "c", "total": True}, "the list of chats: expected a number of messages, got True"),
        ({"id": "c", "total": 1, "messages": [{"body": "x"}]}, "the list of chats: expected a text at $.text, got '{"),
    ],
)
def test_a_list_that_is_not_as_described_is_unreadable(chat: object, problem: str) -> None:
    protocol = protocol_of(REFETCH + LIST)
    with pytest.raises(Unreadable) as refused:
        protocol.read_list(json.dumps({"users": [{"chats": [chat]}]}).encode())
    assert str(refused.value).startswith(problem)


# Histories.


def pages(
    protocol: Described, bodies: Sequence[object], first: Request | None = None
) -> list[tuple[str, list[str], bool]]:
    """Reads page after page: of each its path, its texts and whether older ones follow."""
    user = user_of(protocol)
    request, at, found = first or protocol.whole_chat(user, "r"), None, []
    for body in bodies:
        page: Page = protocol.read_whole_chat(json.dumps(body).encode(), at)
        found.append((request.path, [text.text for text in page.texts], page.newest_first))
        if page.next is None:
            break
        at = page.next
        request = protocol.whole_chat(user, "r", at)
    return found


def texts(*of: object, **more: object) -> dict[str, object]:
    return {"all": [{"text": str(one), "id": one} for one in of], **more}


def history_of(more: str, path: str = "/rooms/${room}") -> Described:
    return protocol_of(SMALL + HISTORY.replace("/rooms/${room}", path) + more)


def test_a_history_may_have_one_page() -> None:
    protocol = history_of("id = '$.id'\nours = { '$.by' = 'ann' }\ntext_as = 'html'\n")
    assert protocol.whole_chat(user_of(protocol), "r/1").path == "/rooms/r%2F1"
    page = protocol.read_whole_chat(b'{"all": [{"text": "&lt;", "id": 1, "by": "ann"}, {"text": "x", "id": []}]}')
    assert [(text.text, text.from_customer, text.message_id) for text in page.texts] == [
        ("<", True, 1),
        ("x", False, None),
    ]
    assert (page.total, page.next, page.newest_first) == (None, None, False)
    assert protocol.read_whole_chat(b"{}").texts == []
    with pytest.raises(Unreadable, match=r"^the messages of a room: expected a text at \$\.text, got '\{\"id\":1\}'$"):
        protocol.read_whole_chat(b'{"all": [{"id": 1}]}')


def test_pages_are_counted_until_one_is_empty() -> None:
    protocol = history_of("pages = { from = 1 }\n", "/${room}/${page}")
    assert pages(protocol, [texts("a", "b"), texts("c"), texts()]) == [
        ("/r/1", ["a", "b"], False), ("/r/2", ["c"], False), ("/r/3", [], False),
    ]  # fmt: skip
    protocol = history_of("pages = { name = 'offset', step = 100 }\n", "/${offset}")
    assert [path for path, *_ in pages(protocol, [texts("a")] * 3 + [texts()])] == ["/0", "/100", "/200", "/300"]


def test_the_next_page_goes_by_the_last_message_or_by_the_body() -> None:
    protocol = history_of("next = { after = '@.id', cursor = '$.cursor' }\n", "/${after|or:0}/${cursor|or:}")
    bodies = [texts(1, 2, cursor="x/y"), texts(3, cursor=4), texts(5, cursor=None)]
    assert pages(protocol, bodies) == [("/0/", ["1", "2"], False), ("/2/x%2Fy", ["3"], False), ("/3/4", ["5"], False)]
    assert len(pages(protocol, [texts(1, cursor="x"), texts(cursor="x")])) == 2
    assert len(pages(protocol, [texts(1), texts(2)])) == 1


def test_newest_first_is_turned_and_older_pages_follow() -> None:
    protocol = history_of("order = 'newest first'\npages = { from = 0 }\n", "/${page}")
    assert pages(protocol, [texts(4, 3), texts(2, 1), texts()]) == [
        ("/0", ["3", "4"], True), ("/1", ["1", "2"], True), ("/2", [], True),
    ]  # fmt: skip


def test_a_page_may_have_to_be_sorted() -> None:
    protocol = history_of("order = 'newest first'\nsort_by = '$.id'\nnext = { before = '@.id' }\n", "/${before|or:}")
    odd = ["b", 10, 2.5, 10**400, -1, "a", None, True]
    found = pages(protocol, [texts(*odd), texts()])
    assert found[0] == ("/", ["-1", "2.5", "10", str(10**400), "a", "b", "None", "True"], True)
    assert found[1][0] == "/true"  # of the last message as it came


def gap(more: str) -> tuple[Described, User]:
    protocol = history_of(f"id = '$.id'\n{more}", "/${room}/${after|or:0}")
    return protocol, user_of(protocol)


LAST = Frame(Kind.MESSAGE, "r", message_id=7, text="x")


def test_after_a_gap_the_first_page_begins_after_the_last_message() -> None:
    protocol, user = gap("next = { after = '@.id' }\nread_on = 'gap'\n")
    request = protocol.read_missed(user, "r", LAST)
    assert request is not None
    assert pages(protocol, [texts(8, 9), texts()], request) == [("/r/7", ["8", "9"], False), ("/r/9", [], False)]
    for last in (None, LAST._replace(message_id=None)):
        request = protocol.read_missed(user, "r", last)
        assert request is not None
        assert request.path == "/r/0"


@pytest.mark.parametrize(
    "more", ["next = { after = '$.next' }\n", "next = { after = '@.seq' }\n", "next = { after = '@.id', x = '$.x' }\n"]
)
def test_where_pages_do_not_go_by_the_id_it_is_read_from_the_beginning(more: str) -> None:
    protocol, user = gap(f"{more}read_on = 'reconnect'\n")
    request = protocol.read_missed(user, "r", LAST)
    assert request is not None
    assert request.path == "/r/0"


def test_without_read_on_nothing_is_read_after_a_gap() -> None:
    protocol, user = gap("next = { after = '@.id' }\n")
    assert protocol.read_missed(user, "r", LAST) is None


def test_a_rule_is_named_for_people() -> None:
    protocol = protocol_of(SMALL)
    (message,) = protocol.read_frames(b'{"type": "message", "text": "x"}')
    (unknown,) = protocol.read_frames(b"7")
    assert [protocol.rule_of(one) for one in (message, unknown, LAST)] == ["frame 1: message", "", ""]


DESCRIPTIONS = {name: read_description(path.read_text(encoding="utf-8"), name) for name, path in shipped().items()}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda one: st.one_of(
        st.lists(one, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["messages", "text", "id", "next", "data", "result", "error", "users", "chats", "publications", "posts"]
            ),
            one,
            max_size=4,
        ),
    ),
)


@pytest.mark.parametrize("name", sorted(shipped()))
@settings(deadline=None)
@given(st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_read_or_unreadable(name: str, body: bytes) -> None:
    protocol = Described(DESCRIPTIONS[name], transcript_of(name).get("environment", {}))
    for read in (protocol.read_sent, protocol.read_list, protocol.read_whole_chat):
        try:
            read(body)
        except (Unreadable, NotImplementedError):
            continue
