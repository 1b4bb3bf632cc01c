import errno
import itertools

import pytest

from chatswarm.loadtests.checklist.diagnosis import HERE, TITLES, after_send, brief, diagnose
from chatswarm.loadtests.checklist.symptoms import Delivery, Failure, StepName, Symptoms
from chatswarm.loadtests.net.dialing import ConnectFailure
from chatswarm.loadtests.system.rig_limits import RIG_LIMITS

SENT, NOTIFIED, SHOWN, IN_TIME = StepName.SENT, StepName.NOTIFIED, StepName.SHOWN, StepName.IN_TIME


@pytest.mark.parametrize(
    ("delivery", "passed"),
    [
        (Delivery(), []),
        (Delivery(notified=0.1, shown=0.2, by_page=True), []),  # no response to the send yet
        (Delivery(accepted=0.1), [SENT]),
        (Delivery(accepted=0.1, shown=0.2), [SENT]),  # shown without a frame: no page would have refetched
        (Delivery(accepted=0.1, notified=0.1), [SENT, NOTIFIED]),
        (
            Delivery(accepted=0.1, notified=0.1, shown=0.3),
            [SENT, NOTIFIED],
        ),  # an extra refetch showed it, the page's did not
        (Delivery(accepted=0.1, notified=0.1, shown=2.1), [SENT, NOTIFIED, SHOWN]),
        (Delivery(accepted=0.1, notified=2.1, shown=2.2, by_page=True), [SENT, NOTIFIED, SHOWN]),
        (Delivery(accepted=0.1, notified=0.1, shown=2.0, by_page=True), [SENT, NOTIFIED, SHOWN, IN_TIME]),
        (Delivery(accepted=3.0, notified=0.1, shown=0.2, by_page=True), [SENT, NOTIFIED, SHOWN, IN_TIME]),
    ],
)
def test_which_steps_passed_after_the_send(delivery: Delivery, passed: list[StepName]) -> None:
    assert after_send(delivery, 2.0) == passed


def test_every_failure_of_every_step_is_explained() -> None:
    for step, failure in itertools.product(StepName, [*Failure, None]):
        evidence = Symptoms(step, failure, "GET /", 418 if failure is Failure.STATUS else None, "said", 1.5)
        problem = diagnose(evidence)
        assert problem.title in (HERE if problem.here else TITLES).values()
        assert problem.here == (failure in (Failure.HERE, Failure.NOT_READ_HERE))
        assert problem.seen.endswith(".")
        assert problem.causes
        assert problem.remedies
        assert brief(evidence)


@pytest.mark.parametrize(
    ("step", "failure", "status", "problem", "cause"),
    [
        (StepName.REACHABLE, Failure.REFUSED, None, 1, "not running"),
        (StepName.REACHABLE, Failure.NO_SUCH_NAME, None, 1, "misspelt"),
        (StepName.REACHABLE, Failure.UNREACHABLE, None, 1, "firewall"),
        (StepName.REACHABLE, Failure.TLS, None, 1, "plain HTTP"),
        (StepName.REACHABLE, Failure.NOT_HTTP, None, 1, "expects TLS"),
        (StepName.CONNECTED, Failure.REFUSED, None, 1, "not running"),
        (StepName.CONNECTED, Failure.STATUS, 401, 1, "CHATSWARM_TOKEN holds none"),
        (StepName.CONNECTED, Failure.STATUS, 403, 1, "origin is not allowed (none was sent), or a token is missing"),
        (StepName.CONNECTED, Failure.STATUS, 404, 1, "the path is wrong"),
        (StepName.CONNECTED, Failure.STATUS, 426, 1, "Upgrade"),
        (StepName.CONNECTED, Failure.STATUS, 429, 1, "rate limiting: too many connections"),
        (StepName.CONNECTED, Failure.STATUS, 504, 1, "a proxy answers"),
        (StepName.CONNECTED, Failure.NOT_WEBSOCKET, None, 1, "proxy"),
        (StepName.SUBSCRIBED, Failure.NO_FRAME, None, 4, "does not know this channel"),
        (StepName.SUBSCRIBED, Failure.ERROR_FRAME, None, 4, "action or the channel"),
        (StepName.LIST, Failure.STATUS, 401, 3, "login"),
        (StepName.LIST, Failure.STATUS, 404, 3, "route does not exist"),
        (StepName.CHAT, Failure.STATUS, 422, 2, "other fields"),
        (StepName.CHAT, Failure.STATUS, 404, 2, "route does not exist"),
        (SENT, Failure.STATUS, 404, 2, "unknown where the send arrived"),
        (SENT, Failure.STATUS, 413, 2, "limited"),
        (SENT, Failure.STATUS, 429, 2, "rate limiting"),
        (SENT, Failure.STATUS, 503, 2, "store is not available"),
        (SENT, Failure.STATUS, 307, 2, "moved"),
        (SHOWN, Failure.UNREADABLE, None, 3, "another shape"),
    ],
)
def test_likeliest_cause(step: StepName, failure: Failure, status: int | None, problem: int, cause: str) -> None:
    found = diagnose(Symptoms(step, failure, "POST /", status, "", 1.5))
    assert found.title == TITLES[problem]
    assert cause in found.causes[0]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("self-signed certificate in certificate chain", "self-signed"),
        ("unable to get local issuer certificate", "self-signed"),
        ("certificate has expired", "expired"),
        ("Hostname mismatch, certificate is not valid for 'a'.", "another host name"),
    ],
)
def test_the_verifiers_message_orders_the_causes(said: str, cause: str) -> None:
    problem = diagnose(Symptoms(StepName.REACHABLE, Failure.UNTRUSTED, "a", None, said, 0.1))
    assert cause in problem.causes[0]
    assert len(problem.causes) == 3


def test_a_step_with_little_time_left_blames_the_steps_before() -> None:
    short, long = (diagnose(Symptoms(StepName.CHAT, Failure.NO_ANSWER, "POST /", waited=t)).causes for t in (0.2, 1.5))
    assert "slow or far away" in short[0]
    assert short[1:] == long


@pytest.mark.parametrize(
    ("delivery", "reached"),
    [
        (Delivery(), "nothing shows that the message was stored"),
        (Delivery(stored=True), "although the message was stored."),
        (Delivery(notified=0.1), "although the message was announced."),
        (Delivery(notified=0.1, shown=0.2, by_page=True), "although the message was stored and announced."),
    ],
)
def test_a_send_without_a_response_reports_how_far_the_message_got(delivery: Delivery, reached: str) -> None:
    evidence = Symptoms(SENT, Failure.NO_ANSWER, "POST /send", waited=3.9, delivery=delivery)
    assert reached in diagnose(evidence).seen


@pytest.mark.parametrize(
    ("delivery", "problem", "seen", "cause"),
    [
        (Delivery(accepted=0.1, shown=3.9, chats=5), 2, "is stored, but no frame came", "does not broadcast"),
        (Delivery(accepted=0.1, chats=5, stored=True), 2, "is stored, but no frame came", "does not broadcast"),
        (Delivery(accepted=0.1, chats=5, stored=False), 2, "not in its chat either", "before the write"),
        (Delivery(accepted=0.1, chats=5), 2, "not in the list either", "before the write"),
        (Delivery(accepted=0.1), 2, "neither the list nor the chat could be read", "fails after the response"),
        (Delivery(accepted=0.1, stored=True, other_frames=1), 2, "1 frame for other chats", "filter"),
        (Delivery(accepted=0.1, stored=True, unreadable="a frame"), 2, "cannot be read: a frame", "another shape"),
        (Delivery(accepted=0.1, stored=True, lost="1011 (internal error)"), 4, "lost before the frame", "crashed"),
    ],
)
def test_the_cause_of_a_missing_frame(delivery: Delivery, problem: int, seen: str, cause: str) -> None:
    found = diagnose(Symptoms(NOTIFIED, delivery=delivery))
    assert found.title == TITLES[problem]
    assert seen in found.seen
    assert cause in found.causes[0]


@pytest.mark.parametrize(
    ("delivery", "window", "cause"),
    [
        (Delivery(shown=0.4), 100, "before it is committed"),
        (Delivery(chats=5, listed=True, stored=False), 100, "not stored"),
        (Delivery(chats=5, listed=True, stored=True), 100, "a cache"),
        (Delivery(chats=5, listed=False, stored=True), 100, "a filter excludes"),
        (Delivery(chats=99, listed=False), 100, "a filter excludes"),
        (Delivery(chats=100, listed=False), 100, "limited to 100 chats"),
        (Delivery(chats=20, listed=False), 20, "limited to 20 chats"),
    ],
)
def test_the_cause_of_a_message_missing_from_the_list(delivery: Delivery, window: int, cause: str) -> None:
    delivery.accepted, delivery.notified = 0.1, 0.1
    problem = diagnose(Symptoms(SHOWN, delivery=delivery, list_window=window))
    assert problem.title == TITLES[3]
    assert cause in problem.causes[0]


@pytest.mark.parametrize(
    ("delivery", "cause"),
    [
        (Delivery(accepted=0.1, notified=0.1, shown=3.0, refetch=0.1), "cache or replica that lags"),
        (Delivery(accepted=0.1, notified=0.1, shown=3.0, by_page=True, refetch=2.9), "the list is slow"),
        (Delivery(accepted=2.8, notified=2.8, shown=3.0, by_page=True, refetch=0.2), "storing a message is slow"),
        (
            Delivery(accepted=0.1, notified=2.8, shown=3.0, by_page=True, refetch=0.2),
            "the broadcast waits for each dashboard in turn",
        ),
    ],
)
def test_a_late_message_is_blamed_on_the_longest_part(delivery: Delivery, cause: str) -> None:
    problem = diagnose(Symptoms(IN_TIME, delivery=delivery, update_target=2.0))
    assert "3.00 s after it was sent; the target is 2 s" in problem.seen
    assert cause in problem.causes[0]


@pytest.mark.parametrize("step", [StepName.CONNECTED, StepName.LIST, SHOWN])
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("with_token", "cause"), [(True, "is not one that this chat accepts"), (False, "holds none")])
def test_a_wrong_or_missing_token_is_the_likeliest_cause(
    step: StepName, status: int, with_token: bool, cause: str
) -> None:
    problem = diagnose(Symptoms(step, Failure.STATUS, "a", status, with_token=with_token))
    assert "CHATSWARM_TOKEN" in problem.causes[0]
    assert cause in problem.causes[0]
    assert "CHATSWARM_TOKEN" in problem.remedies[0]


@pytest.mark.parametrize("step", [StepName.CONNECTED, StepName.LIST, StepName.CHAT, SENT])
@pytest.mark.parametrize(
    ("after", "remedy"),
    [("30", "wait 30 s, or"), ("Fri, 27 Nov 2026 08:00:00 GMT", "wait until Fri"), ("", "wait, or")],
)
def test_rate_limiting_says_how_long_to_wait(step: StepName, after: str, remedy: str) -> None:
    problem = diagnose(Symptoms(step, Failure.STATUS, "a", 429, retry_after=after))
    assert (f"HTTP 429 (Retry-After: {after})" in problem.seen) == bool(after)
    assert problem.causes[0].startswith("rate limiting: ")
    assert problem.remedies[0].startswith(remedy)


def test_a_rig_limit_comes_with_its_remedy() -> None:
    limit = RIG_LIMITS[errno.EMFILE]
    problem = diagnose(Symptoms(SENT, Failure.HERE, "POST /send", detail=limit.name, limit=limit))
    assert problem.title == HERE[Failure.HERE]
    assert limit.name in problem.seen
    assert problem.remedies[0] == limit.remedy


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.UNREACHABLE, Failure.NO_SUCH_NAME, Failure.NO_ANSWER])
def test_an_ignored_proxy_is_reported_with_network_failures(failure: Failure) -> None:
    seen = diagnose(Symptoms(StepName.REACHABLE, failure, "a", waited=1.0, proxy_note=" (X is set)")).seen
    assert seen.endswith(" (X is set).")


def test_every_connect_failure_is_a_failure_of_a_step() -> None:
    assert {str(failure) for failure in ConnectFailure} <= {str(failure) for failure in Failure}
