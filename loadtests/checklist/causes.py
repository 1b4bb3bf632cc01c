"""Why talking to a chat fails: tables of likely causes and remedies, by failure and by HTTP status.

The rows are templates, filled in from the symptoms: `_fields` has the names. Causes come in order of likelihood.
"""

from collections.abc import Container, Sequence
from typing import NamedTuple

from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.system.units import human

from .symptoms import Failure, StepName, Symptoms


class Diagnosis(NamedTuple):
    """What was seen, in a sentence or two; likely causes, most likely first; and what to do."""

    seen: str
    causes: list[str]
    remedies: list[str]


class _Advice(NamedTuple):
    causes: list[str]
    remedies: list[str]


_ByStatus = Sequence[tuple[Container[int], _Advice]]

PROCESS_LOG = "look at the backend's terminal at this moment: a traceback there names the line"
HANGS = [
    "the backend's event loop is blocked, or it waits for its database or broker without a timeout",
    "it is overloaded: requests arrive faster than it can handle them",
]
GIVE_TOKEN = f"put a dashboard's token into the variable {TOKEN}"

GIVE_ORIGIN = "pass the origin of the chat's own pages as --origin"
_CHOOSE_PROTOCOL = "choose this chat's protocol with --protocol"
_ANY = range(1000)  # every HTTP status

_NOT_THE_CHAT = {
    Failure.HERE: Diagnosis(
        "{what} could not be tested{detail}. This says nothing about the chat.",
        ["this machine has reached a limit of its operating system, or has no route to the chat's network"],
        ["{limit_remedy}", "then run the check again"],
    ),
    Failure.NOT_READ_HERE: Diagnosis(
        "{what} gave a response that this check cannot read, though a browser may{detail}.",
        [
            "the chat, or a proxy in front of it, responds in an encoding that was not requested (zstd)",
            "redirects that never end, or lead to something that is not a usable URL, perhaps for lack of a cookie",
            "the response is far larger than any chat's",
        ],
        [
            "let it respond in gzip, deflate, br or uncompressed, as the request's Accept-Encoding says",
            "use the address that it redirects to as --target",
        ],
    ),
}

_NETWORK = {
    Failure.NO_SUCH_NAME: Diagnosis(
        "The host name of {what} could not be resolved{detail}.",
        ["the host in --target is misspelt", "this machine's DNS does not know it (VPN, container network)"],
        ["check the host in --target", "try the IP address instead of the name"],
    ),
    Failure.REFUSED: Diagnosis(
        "Nothing is listening at {what}: the connection was refused.",
        [
            "the backend is not running",
            "it listens on another port",
            "it listens on another interface (127.0.0.1 inside a container is not reachable from outside)",
        ],
        [
            "start the backend; uvicorn then logs `Uvicorn running on http://127.0.0.1:8000`",
            "compare the host and port in that line with --target",
        ],
    ),
    Failure.UNREACHABLE: Diagnosis(
        "No connection to {what} within {waited}{detail}.",
        ["a firewall or security group drops the packets", "the host is down, or the address is another host's"],
        ["check the host in --target, and the VPN if it needs one", "open the port for this machine"],
    ),
    Failure.UNTRUSTED: Diagnosis(
        "The certificate of {what} is not trusted{detail}.",
        [],  # depend on what the verifier said: `_certificate_causes`
        [
            "for a private CA: SSL_CERT_FILE=ca.pem (or SSL_CERT_DIR) chatswarm check --target …",
            "otherwise renew the certificate, or use the host name that it was issued for",
        ],
    ),
    Failure.TLS: Diagnosis(
        "{what} did not complete a TLS handshake{detail}.",
        ["this port speaks plain HTTP", "server and client have no TLS version in common"],
        ["use http:// in --target if the backend has no certificate", "check the proxy's TLS settings"],
    ),
    Failure.NOT_HTTP: Diagnosis(
        "Whatever listens at {what} does not speak HTTP{detail}.",
        ["this port expects TLS", "another service has this port"],
        ["use https:// in --target", "compare the port with the one in the backend's log"],
    ),
    Failure.CLOSED: Diagnosis(
        "{what} closed the connection without a response{detail}.",
        [
            "the backend crashed on the request",
            "this port expects TLS",
            "a proxy closes the connection because no backend is behind it",
        ],
        [PROCESS_LOG, "use https:// in --target if the backend has a certificate"],
    ),
    Failure.UNREADABLE: Diagnosis(
        "{what} gave a response that cannot be used{detail}.",
        ["the response is far larger than any chat's, or does not come from the backend at all"],
        ["look at the response in a browser's network tab"],
    ),
}
_NETWORK[Failure.STATUS] = _NETWORK[Failure.UNREADABLE]

_NO_RESPONSE = Diagnosis(
    "{what} accepted the connection, but gave no HTTP response within {waited}.",
    [*HANGS, "this port expects TLS and waits for the client to start"],
    [PROCESS_LOG, "restart the backend, then run the check again"],
)

_DASHBOARD_SOCKET = {
    Failure.NOT_WEBSOCKET: Diagnosis(
        "{what} responded with 101, but not with a valid WebSocket handshake{detail}.",
        ["a proxy answers or rewrites the handshake", "this path speaks another protocol than WebSocket"],
        ["connect past the proxy to see whether it is the backend or the proxy"],
    ),
    Failure.NO_ANSWER: Diagnosis(
        "{what}: HTTP works, but the WebSocket handshake got no response within {waited}.",
        [
            "a proxy in between does not pass the Upgrade and Connection headers on, and waits",
            "the backend does work (authentication, database) before it accepts the handshake, and that work hangs",
            "the connection limit is reached, and new connections wait",
        ],
        ["connect past the proxy", "look for `WebSocket connected` in the backend's terminal"],
    ),
    Failure.ERROR_FRAME: Diagnosis(
        "The backend sent an error frame instead of `{awaited}`{detail}.",
        [
            "the backend does not know the action or the channel",
            "this dashboard is not allowed to subscribe (token, role)",
        ],
        ["compare the subscribe frame with what the backend expects", "read the message in the error frame"],
    ),
    Failure.CLOSED: Diagnosis(
        "The backend closed the socket before `{awaited}`{detail}.",
        [
            "the dashboard's token or origin is refused (codes 1008, 3000, 4401, 4403)",
            "the handler crashed (code 1011, or no code at all)",
            "the backend is shutting down or full (codes 1001, 1012, 1013)",
        ],
        ["look up what the close code means", GIVE_TOKEN, PROCESS_LOG],
    ),
    Failure.UNREADABLE: Diagnosis(
        "The backend sent a frame that cannot be read{detail}.",
        ["the backend speaks another version of the protocol", "it is another kind of chat"],
        [f"{_CHOOSE_PROTOCOL}, or write one"],
    ),
}

_SILENT_SOCKET = {
    StepName.CONNECTED: Diagnosis(
        "{what}: the handshake succeeded, but no `connected` frame came within {waited}.",
        [
            "the backend accepts, then hangs before its greeting (waiting for its broker or database)",
            "this path is not the dashboards' WebSocket but another one",
            "a proxy buffers frames and does not pass them on",
        ],
        ["look for `WebSocket connected: [connection_id]` in the backend's terminal", "check the path"],
    ),
    StepName.SUBSCRIBED: Diagnosis(
        "The subscribe frame was sent, but no `subscribed` came within {waited}: the socket stayed silent.",
        [
            "the backend does not know this channel, and ignores it",
            "it does not read what dashboards send, or its handler hangs (waiting for its broker)",
        ],
        [
            "look for `subscribed to chat_updates` and `Total subscribers` in the backend's terminal",
            "compare the subscribe frame with what the backend expects",
        ],
    ),
}

_ORIGIN_REFUSED = _Advice(
    ["the chat accepts only listed origins: pass --origin {accepted_origin}"],
    [
        "chatswarm check --origin {accepted_origin} --target …; the handshake succeeded with that origin",
        "or add the origin that you tested with to the chat's list",
    ],
)

_REFUSED_HANDSHAKE: _ByStatus = [
    (
        (404, 405, 410),
        _Advice(
            [
                "the path is wrong, or the path in --target is missing or superfluous",
                "the backend runs without a WebSocket library (uvicorn then logs a warning, and responds with 404)",
                "a proxy does not pass this path on",
            ],
            ["compare the path with the backend's routes", "install uvicorn[standard] or websockets with the backend"],
        ),
    ),
    ((401,), _Advice(["{token_cause}", "{origin_cause}"], [GIVE_TOKEN, GIVE_ORIGIN])),
    (
        (403,),
        _Advice(
            [
                "{origin_cause}, or {token_cause}",
                "there is no WebSocket at this path (FastAPI then responds with 403, not 404)",
            ],
            [GIVE_TOKEN, GIVE_ORIGIN, "compare the path with the backend's routes"],
        ),
    ),
    (
        (502, 503, 504),
        _Advice(
            ["a proxy answers, but the backend behind it does not", "the backend is full or starting"],
            ["start the backend, or connect past the proxy", "look at the proxy's error log"],
        ),
    ),
    (
        (429,),
        _Advice(
            ["rate limiting: too many connections from this machine in a short time"],
            ["{wait}, or raise the limit for the machine that tests"],
        ),
    ),
    (
        range(300, 400),
        _Advice(
            ["the chat has moved: from http to https, or to another host"],
            ["use the address that it redirects to as --target"],
        ),
    ),
    (range(500, 1000), _Advice(["the backend fails while it accepts the connection"], [PROCESS_LOG])),
    (
        _ANY,
        _Advice(
            [
                "a proxy does not pass the Upgrade and Connection headers on",
                "this path is a web page or another route, not a WebSocket",
            ],
            ["let the proxy pass Upgrade on (nginx: proxy_set_header Upgrade $http_upgrade)", "check the path"],
        ),
    ),
]

_SEND_NOT_FOUND = _Advice(
    [
        "the chat just created is unknown where the send arrived: each process has its own store",
        "the chat was created only in a cache, or not committed",
    ],
    ["run one process, or give all of them the same store", "check that creating a chat commits"],
)
_READ_NOT_ALLOWED = _Advice(
    ["a login is required: {token_cause}", "{origin_cause}"],
    [GIVE_TOKEN, GIVE_ORIGIN],
)

_REFUSED_REQUEST: _ByStatus = [
    (
        (404, 405),
        _Advice(
            ["this route does not exist, or the path in --target is missing or superfluous", "it is another chat"],
            ["compare the path with the backend's routes", _CHOOSE_PROTOCOL],
        ),
    ),
    (
        (401, 403),
        _Advice(
            ["a login is required, even of customers", "{origin_cause}"],
            ["check what authenticates this request", GIVE_ORIGIN],
        ),
    ),
    ((413,), _Advice(["messages are limited to fewer than the 100 characters of this one"], ["raise the limit"])),
    (
        (429,),
        _Advice(
            ["rate limiting: this machine sends more requests than it may"],
            ["{wait}, or raise the limit for the machine that tests"],
        ),
    ),
    (
        (502, 503, 504),
        _Advice(
            ["the backend's database or store is not available", "a proxy answers, but the backend behind it does not"],
            ["check that the database runs and accepts writes", "look at the proxy's error log"],
        ),
    ),
    (
        range(300, 400),
        _Advice(
            ["the chat has moved: from http to https, or to another host"],
            ["use the address that it redirects to as --target"],
        ),
    ),
    (
        range(500, 1000),
        _Advice(
            ["the backend fails while it handles this request (database, a field it does not expect)"],
            [PROCESS_LOG],
        ),
    ),
    (
        _ANY,
        _Advice(
            ["the backend expects other fields, or another content type"],
            ["read the response's message", "compare the request with a real widget's in the network tab"],
        ),
    ),
]


def not_the_chat(symptoms: Symptoms) -> Diagnosis | None:
    """Failures that say nothing about the chat: limits of this machine, and responses that only this check cannot
    read.
    """
    row = None if symptoms.failure is None else _NOT_THE_CHAT.get(symptoms.failure)
    return None if row is None else filled(row, symptoms)


def network(symptoms: Symptoms) -> Diagnosis:
    """Connections that fail, or carry something other than HTTP. Has a diagnosis for everything."""
    row = _NO_RESPONSE if symptoms.failure is None else _NETWORK.get(symptoms.failure, _NO_RESPONSE)
    if symptoms.failure is Failure.UNTRUSTED:
        row = row._replace(causes=_certificate_causes(symptoms.detail))
    found = filled(row, symptoms)
    return found._replace(seen=f"{found.seen.removesuffix('.')}{symptoms.proxy_note}.")


def dashboard_socket(symptoms: Symptoms) -> Diagnosis | None:
    """The dashboard's handshake, and its first frames. None for failures of the network."""
    match symptoms.failure:
        case Failure.STATUS:
            seen = "The handshake at {what} was refused with HTTP {status}{retry_after}{detail}."
            return filled(Diagnosis(seen, *_refused_handshake(symptoms)), symptoms)
        case Failure.NO_FRAME:
            assert isinstance(symptoms.broken, StepName)
            return filled(_SILENT_SOCKET[symptoms.broken], symptoms)
        case Failure() as failure if failure in _DASHBOARD_SOCKET:
            return filled(_DASHBOARD_SOCKET[failure], symptoms)
    return None


def http(symptoms: Symptoms) -> Diagnosis | None:
    """Requests on an open connection: no response, a refusal, or an unreadable response. None for anything else."""
    match symptoms.failure:
        case Failure.NO_ANSWER:
            row = Diagnosis(
                "{what} got no response within {waited}; the connection is open.",
                HANGS,
                [PROCESS_LOG, "see how long the same request takes in a browser's network tab"],
            )
        case Failure.UNREADABLE:
            row = Diagnosis(
                "{what} got a response that cannot be read{detail}.",
                [
                    "the response has another shape than the protocol's (a data transformation error)",
                    "a proxy or login page responds instead of the backend",
                ],
                ["look at the response in a browser's network tab", _CHOOSE_PROTOCOL],
            )
        case Failure.NOT_ACCEPTED:
            row = Diagnosis(
                "{what} was answered, but not accepted{detail}.",
                ["the chat refuses this message, and says so in its response"],
                ["read the response's message", PROCESS_LOG],
            )
        case Failure.STATUS:
            row = Diagnosis("{what} returned HTTP {status}{retry_after}{detail}.", *_refused_request(symptoms))
        case _:
            return None
    return filled(row, symptoms)


def _refused_handshake(symptoms: Symptoms) -> _Advice:
    if symptoms.status in (401, 403) and symptoms.accepted_origin is not None:
        return _ORIGIN_REFUSED
    return _by_status(_REFUSED_HANDSHAKE, symptoms.status)


def _refused_request(symptoms: Symptoms) -> _Advice:
    if symptoms.status == 404 and symptoms.broken is StepName.SENT:
        return _SEND_NOT_FOUND
    if symptoms.status in (401, 403) and symptoms.broken in (StepName.LIST, StepName.SHOWN):
        return _READ_NOT_ALLOWED
    return _by_status(_REFUSED_REQUEST, symptoms.status)


def _by_status(table: _ByStatus, status: int | None) -> _Advice:
    return next(advice for statuses, advice in table if (status or 0) in statuses)


def _certificate_causes(detail: str) -> list[str]:
    """All causes, the one that the verifier's message names first."""
    causes = {
        "self-signed": "it is self-signed, or signed by a private CA that this machine does not know",
        "expired": "it has expired",
        "mismatch": "it was issued for another host name",
    }
    return [causes[word] for word in sorted(causes, key=lambda word: word not in detail)]


def filled(row: Diagnosis, symptoms: Symptoms) -> Diagnosis:
    """The row with the symptoms filled in; lines that are empty then are left out."""
    fields = _fields(symptoms)
    causes, remedies = ([text.format(**fields) for text in texts] for texts in (row.causes, row.remedies))
    return Diagnosis(row.seen.format(**fields), list(filter(None, causes)), list(filter(None, remedies)))


def _fields(symptoms: Symptoms) -> dict[str, object]:
    return {
        "what": symptoms.what,
        "waited": human(symptoms.waited),
        "detail": f": {symptoms.detail.rstrip('.')}" if symptoms.detail else "",
        "status": symptoms.status,
        "retry_after": f" (Retry-After: {symptoms.retry_after})" if symptoms.retry_after else "",
        "wait": _wait(symptoms.retry_after),
        "awaited": "connected" if symptoms.broken is StepName.CONNECTED else "subscribed",
        "accepted_origin": symptoms.accepted_origin,
        "token_cause": f"the token in {TOKEN} is not one that this chat accepts"
        if symptoms.with_token
        else f"a token is missing: {TOKEN} holds none",
        "origin_cause": f"the origin is not allowed ({symptoms.origin or 'none was sent'})",
        "limit_remedy": "" if symptoms.limit is None else symptoms.limit.remedy,
    }


def _wait(retry_after: str) -> str:
    if not retry_after:
        return "wait"
    return f"wait {retry_after} s" if retry_after.isdecimal() else f"wait until {retry_after}"
