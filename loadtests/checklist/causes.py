"""Why talking to a chat fails, by how it fails: connections, handshakes, frames and HTTP statuses.

Each function returns what was seen in one sentence or two, the causes (likeliest first) and what to do; None where it
knows nothing of this failure.
"""

from chatswarm.loadtests.protocols import TOKEN
from chatswarm.loadtests.system.units import human

from .symptoms import Failure, StepName, Symptoms

Found = tuple[str, list[str], list[str]]  # seen, causes, remedies

PROCESS_LOG = "look at the backend's terminal at this moment: a traceback there names the line"
HANGS = [
    "the backend's event loop is blocked, or it waits for its database or broker without a time limit",
    "it is overloaded: more requests than it can answer are waiting",
]


GIVE_TOKEN = f"put a dashboard's token into the variable {TOKEN}"


def here(evidence: Symptoms) -> Found | None:
    """What is no fault of the chat: limits of this machine, and what only this check cannot read."""
    what, detail = evidence.what, _said(evidence.detail)
    match evidence.failure:
        case Failure.HERE:
            remedy = [] if evidence.own is None else [evidence.own.remedy]
            return (
                f"{what} could not be asked{detail}. Nothing was learned of the chat.",
                ["this machine is at a limit of its own, or has no way to the chat's network"],
                [*remedy, "then run the check again"],
            )
        case Failure.NOT_READ_HERE:
            return (
                f"{what} gave an answer that this check cannot read, though a browser may{detail}.",
                [
                    "the chat, or a proxy before it, answers in an encoding that was not asked for (zstd)",
                    "redirects that never end, or lead where nothing can be asked, perhaps for want of a cookie",
                    "the answer is far larger than any chat's",
                ],
                [
                    "let it answer in gzip, deflate, br or as it is: the request's Accept-Encoding says so",
                    "use the address that it redirects to as --target",
                ],
            )
    return None


def network(evidence: Symptoms) -> Found:
    """Connections that fail, or carry something other than HTTP. Always knows something."""
    seen, causes, remedies = _network(evidence)
    return (f"{seen.removesuffix('.')}{evidence.proxy_note}.", causes, remedies)


def _network(evidence: Symptoms) -> Found:
    what, waited, detail = evidence.what, human(evidence.waited), _said(evidence.detail)
    match evidence.failure:
        case Failure.NO_SUCH_NAME:
            return (
                f"The host name of {what} could not be resolved{detail}.",
                ["the host in --target is misspelt", "this machine's DNS does not know it (VPN, container network)"],
                ["check the host in --target", "try the address in place of the name"],
            )
        case Failure.REFUSED:
            return (
                f"Nothing listens at {what}: the connection was refused.",
                [
                    "the backend is not running",
                    "it listens on another port",
                    "it listens on another interface (127.0.0.1 inside a container is not reachable from outside)",
                ],
                [
                    "start the backend; uvicorn then logs `Uvicorn running on http://127.0.0.1:8000`",
                    "compare host and port in that line with --target",
                ],
            )
        case Failure.UNREACHABLE:
            return (
                f"No connection to {what} within {waited}{detail}.",
                ["a firewall or security group drops the packets", "the host is down, or it is another host's address"],
                ["check the host in --target, and the VPN if it needs one", "open the port for this machine"],
            )
        case Failure.UNTRUSTED:
            return (
                f"The certificate of {what} is not trusted{detail}.",
                _certificate_causes(evidence.detail),
                [
                    "for a certificate of your own: SSL_CERT_FILE=ca.pem (or SSL_CERT_DIR) chatswarm check --target …",
                    "else renew it, or use the host name it was made for",
                ],
            )
        case Failure.TLS:
            return (
                f"{what} did not complete a TLS handshake{detail}.",
                ["this port speaks plain HTTP", "server and client have no TLS version in common"],
                ["use http:// in --target if the backend has no certificate", "check the TLS settings of the proxy"],
            )
        case Failure.NOT_HTTP:
            return (
                f"What listens at {what} does not answer in HTTP{detail}.",
                ["this port expects TLS", "another service has this port"],
                ["use https:// in --target", "compare the port with the one in the backend's log"],
            )
        case Failure.CLOSED:
            return (
                f"{what} closed the connection without an answer{detail}.",
                [
                    "the backend crashed on it",
                    "this port expects TLS",
                    "a proxy closes because no backend is behind it",
                ],
                [PROCESS_LOG, "use https:// in --target if the backend has a certificate"],
            )
        case Failure.UNREADABLE | Failure.STATUS:
            return (
                f"{what} gave an answer that cannot be used{detail}.",
                ["the answer is far larger than any chat's, or not from the backend at all"],
                ["look at the answer in a browser's network tab"],
            )
        case _:
            return (
                f"{what} accepted the connection, but gave no HTTP answer within {waited}.",
                [*HANGS, "this port expects TLS and waits for the client to begin"],
                [PROCESS_LOG, "restart the backend, then run the check again"],
            )


def _certificate_causes(detail: str) -> list[str]:
    # The verifier's own words put the cause that it found first.
    causes = {
        "self-signed": "it is self-signed, or signed by a company's own authority that this machine does not know",
        "expired": "it has expired",
        "mismatch": "it was made for another host name",
    }
    return [causes[word] for word in sorted(causes, key=lambda word: word not in detail)]


def dashboard_socket(evidence: Symptoms) -> Found | None:
    """The dashboard's handshake, and its first frames."""
    what, waited, detail = evidence.what, human(evidence.waited), _said(evidence.detail)
    awaited = "connected" if evidence.broken is StepName.CONNECTED else "subscribed"
    match evidence.failure:
        case Failure.STATUS:
            causes, remedies = _refused_handshake(evidence, evidence.status or 0)
            after = _retry_after(evidence)
            return (
                f"The handshake at {what} was refused with HTTP {evidence.status}{after}{detail}.",
                causes,
                remedies,
            )
        case Failure.NOT_WEBSOCKET:
            return (
                f"{what} answered 101, but not with a valid WebSocket handshake{detail}.",
                ["a proxy answers or rewrites the handshake", "another protocol than WebSocket is at this path"],
                ["connect past the proxy to see whether it is the backend or the proxy"],
            )
        case Failure.NO_ANSWER:
            return (
                f"{what}: HTTP works, but the WebSocket handshake got no answer within {waited}.",
                [
                    "a proxy in between does not pass the Upgrade and Connection headers on, and waits",
                    "the backend does work (authentication, database) before it accepts the handshake, and that hangs",
                    "connections are at their limit, and new ones wait",
                ],
                ["connect past the proxy", "look for `WebSocket connected` in the backend's terminal"],
            )
        case Failure.NO_FRAME if evidence.broken is StepName.CONNECTED:
            return (
                f"{what}: the handshake succeeded, but no `connected` frame came within {waited}.",
                [
                    "the backend accepts, then hangs before its greeting (waiting for its broker or database)",
                    "another WebSocket than the dashboards' is at this path",
                    "a proxy holds frames back in a buffer",
                ],
                ["look for `WebSocket connected: [connection_id]` in the backend's terminal", "check the path"],
            )
        case Failure.NO_FRAME:
            return (
                f"The subscribe frame was sent, but no `subscribed` came within {waited}: the socket stayed silent.",
                [
                    "the backend does not know this channel, and ignores it",
                    "it does not read what dashboards send, or its handler hangs (waiting for its broker)",
                ],
                [
                    "look for `subscribed to chat_updates` and `Total subscribers` in the backend's terminal",
                    "compare the subscribe frame with what the backend expects",
                ],
            )
        case Failure.ERROR_FRAME:
            return (
                f"In place of `{awaited}` the backend sent an error frame{detail}.",
                [
                    "the backend does not know the action or the channel",
                    "this dashboard is not allowed to subscribe (token, role)",
                ],
                ["compare the subscribe frame with what the backend expects", "see the error's own words"],
            )
        case Failure.CLOSED:
            return (
                f"The backend closed the socket before `{awaited}`{detail}.",
                [
                    "the dashboard's token or origin is refused (codes 1008, 3000, 4401, 4403)",
                    "the handler crashed (code 1011, or no code at all)",
                    "the backend is shutting down or full (codes 1001, 1012, 1013)",
                ],
                ["see the code's own words", GIVE_TOKEN, PROCESS_LOG],
            )
        case Failure.UNREADABLE:
            return (
                f"A frame came that cannot be read{detail}.",
                ["the backend speaks another version of the protocol", "it is another kind of chat"],
                ["choose the protocol for this chat with --protocol, or write one"],
            )
    return None


def _refused_handshake(evidence: Symptoms, status: int) -> tuple[list[str], list[str]]:
    match status:
        case 404 | 405 | 410:
            return (
                [
                    "the path is wrong, or a path in --target is missing or superfluous",
                    "the backend runs without a WebSocket library (uvicorn then logs it, and answers 404)",
                    "a proxy does not pass this path on",
                ],
                ["compare the path with the backend's routes", "install uvicorn[standard] or websockets beside it"],
            )
        case 401 | 403 if evidence.let_in_as is not None:
            return (
                [f"the chat lets only known origins in: pass --origin {evidence.let_in_as}"],
                [
                    f"chatswarm check --origin {evidence.let_in_as} --target …; it was let in with that one",
                    "or allow the origin that you tested with at the chat",
                ],
            )
        case 401:
            return (
                [_token_cause(evidence), _origin_cause(evidence)],
                [GIVE_TOKEN, "pass the origin of the chat's own pages as --origin"],
            )
        case 403:
            return (
                [
                    f"{_origin_cause(evidence)}, or {_token_cause(evidence)}",
                    "no WebSocket is at this path (FastAPI answers 403 to that, not 404)",
                ],
                [
                    GIVE_TOKEN,
                    "pass the origin of the chat's own pages as --origin",
                    "compare the path with the routes",
                ],
            )
        case 502 | 503 | 504:
            return (
                ["a proxy answers, but the backend behind it does not", "the backend is full or starting"],
                ["start the backend, or connect past the proxy", "look at the proxy's error log"],
            )
        case 429:
            return (
                ["rate limiting: too many connections from this machine within a short time"],
                [f"{_wait(evidence)}, or raise the limit for the machine that tests"],
            )
        case _ if 300 <= status < 400:
            return (
                ["the chat has moved: http to https, or another host"],
                ["use the address it redirects to as --target"],
            )
        case _ if status >= 500:
            return (["the backend fails while it accepts the connection"], [PROCESS_LOG])
        case _:
            return (
                [
                    "a proxy does not pass the Upgrade and Connection headers on",
                    "a web page or another route is at this path, and no WebSocket",
                ],
                ["let the proxy pass Upgrade (nginx: proxy_set_header Upgrade $http_upgrade)", "check the path"],
            )


def http(evidence: Symptoms) -> Found | None:
    """Requests over a connection that stands: no answer, or one that says no, or one that cannot be read."""
    what, status, detail = evidence.what, evidence.status or 0, _said(evidence.detail)
    match evidence.failure:
        case Failure.NO_ANSWER:
            return (
                f"{what} got no answer within {human(evidence.waited)}; the connection is open.",
                HANGS,
                [PROCESS_LOG, "see how long the same request takes in a browser's network tab"],
            )
        case Failure.UNREADABLE:
            return (
                f"{what} was answered, but the answer cannot be read{detail}.",
                [
                    "the backend's answer has another shape than the protocol's (a data transformation error)",
                    "a proxy or login page answers in the backend's place",
                ],
                ["look at the answer in a browser's network tab", "choose the protocol for this chat with --protocol"],
            )
        case Failure.STATUS:
            causes, remedies = _refused_request(evidence, status)
            return (f"{what} was answered with HTTP {status}{_retry_after(evidence)}{detail}.", causes, remedies)
    return None


def _refused_request(evidence: Symptoms, status: int) -> tuple[list[str], list[str]]:
    step = evidence.broken
    match status:
        case 404 if step is StepName.SENT:
            return (
                [
                    "the chat just created is unknown where the send arrived: processes with a store each",
                    "the chat was created in a cache only, or not committed",
                ],
                ["run one process, or give all of them the same store", "check that creating a chat commits"],
            )
        case 404 | 405:
            return (
                ["this route does not exist, or a path in --target is missing or superfluous", "it is another chat"],
                ["compare the path with the backend's routes", "choose the protocol for this chat with --protocol"],
            )
        case 401 | 403 if step in (StepName.LIST, StepName.SHOWN):
            return (
                [f"a login is required: {_token_cause(evidence)}", _origin_cause(evidence)],
                [GIVE_TOKEN, "pass the origin of the chat's own pages as --origin"],
            )
        case 401 | 403:
            return (
                ["a login is required, also of customers", _origin_cause(evidence)],
                ["check what authenticates this request", "pass the origin of the chat's own pages as --origin"],
            )
        case 413:
            return (["messages are limited to less than the 100 characters of this one"], ["raise the limit"])
        case 429:
            return (
                ["rate limiting: a rate limit holds back this machine"],
                [f"{_wait(evidence)}, or raise the limit for the machine that tests"],
            )
        case 502 | 503 | 504:
            return (
                ["the backend's database or store is not available", "a proxy answers, the backend behind it does not"],
                ["check that the database runs and accepts writes", "look at the proxy's error log"],
            )
        case _ if 300 <= status < 400:
            return (["the chat has moved: http to https, or another host"], ["use that address as --target"])
        case _ if status >= 500:
            return (
                ["the backend fails while it handles this request (database, a field it does not expect)"],
                [PROCESS_LOG],
            )
        case _:
            return (
                ["the backend expects other fields, or another content type"],
                ["see the answer's own words", "compare the request with a real widget's in the network tab"],
            )


def _token_cause(evidence: Symptoms) -> str:
    if evidence.with_token:
        return f"the token in {TOKEN} is not one that this chat lets in"
    return f"a token is missing: {TOKEN} holds none"


def _origin_cause(evidence: Symptoms) -> str:
    if evidence.origin is None:
        return "the origin is not allowed (none was sent)"
    return f"the origin is not allowed ({evidence.origin})"


def _retry_after(evidence: Symptoms) -> str:
    return f" (Retry-After: {evidence.retry_after})" if evidence.retry_after else ""


def _wait(evidence: Symptoms) -> str:
    after = evidence.retry_after
    if not after:
        return "wait"
    return f"wait {after} s" if after.isdecimal() else f"wait until {after}"


def _said(detail: str) -> str:
    return f": {detail.rstrip('.')}" if detail else ""
