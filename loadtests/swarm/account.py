"""A user's account: its login before the measured part, and again whenever the target says that it has expired."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from gevent.lock import Semaphore

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    ChatProtocol,
    LoginError,
    RefusedError,
    Request,
    Unreadable,
    UnreadableHere,
    User,
)
from chatswarm.loadtests.protocols.variables import blanked

from .net.addresses import Endpoint
from .net.http import Client, Kept, Response, exchange
from .net.websocket import Closed, ConnectError, WebSocket, socket_url

UNAUTHORIZED = 401

_T = TypeVar("_T")

Logged = Callable[[float, Response], object]
"""Takes when a request of a login started, and its response."""


@dataclass(slots=True)
class _LoginState:
    """Shared by all who use one account."""

    valid: bool = False
    tries: int = 0
    failure: LoginError | None = None  # of the last try
    lock: Semaphore = field(default_factory=Semaphore)


class Account:
    """One user at the target, with its HTTP connections."""

    def __init__(
        self, protocol: ChatProtocol, user: User, http: Client, cookies: CookieJar, pace: Semaphore, logged: Logged
    ) -> None:
        """`cookies`: those of `http`; `pace` limits how many users log in at the same moment."""
        self.user = user
        self.http = http
        self.cookies = cookies
        self._protocol = protocol
        self._pace = pace
        self._logged = logged
        self._state = _LoginState()

    @property
    def is_logged_in(self) -> bool:
        """Whether its last login succeeded and has not expired."""
        return self._state.valid

    def log_in(self) -> int:
        """Logs in, unless that is done. Returns the login's number, for `expire`. Raises LoginError.

        Whoever asks while another is logging in shares the result: a target that answers no login would otherwise get
        one after another from each message that waits.
        """
        state = self._state
        if not state.valid:
            tries = state.tries
            with state.lock:
                if not state.valid:
                    if state.tries != tries and state.failure is not None:
                        raise state.failure
                    self._try_once()
        return state.tries

    def expire(self, login: int) -> None:
        """The target says that the credentials of the login with this number are no longer good."""
        if login == self._state.tries:
            self._state.valid = False

    def through(self, http: Client) -> "Account":
        """The same user and the same login, with other HTTP connections."""
        other = Account(self._protocol, self.user, http, self.cookies, self._pace, self._logged)
        other._state = self._state
        return other

    def exchange(self, request: Callable[[User], Request], kept: Kept | None = None) -> Response:
        """Makes a request of this user. After a 401 it logs in again and makes it once more. Raises nothing.

        `kept`: see `http.exchange`. The response's `error` has no secrets.
        """
        login, response = self._once(request, kept)
        if response.status == UNAUTHORIZED and response.complete:
            self.expire(login)
            try:
                self.log_in()
            except LoginError:
                return response
            _, response = self._once(request, kept)
        return response

    def open_socket(
        self, base_url: str, via: Endpoint | None, origin: str | None, timeout: float, *, everything: bool = False,
        room: str = "", deflate: bool = True, on_skipped: Callable[[str], object] | None = None,
    ) -> WebSocket:  # fmt: skip
        """A WebSocket of this user. `everything` and `room`: see `ChatProtocol.session`.

        Raises ConnectError, and LoginError for what has to be asked before.
        """
        take_steps(self._protocol.before_handshake(self.user), self._ask)
        shake = self._protocol.handshake(self.user, everything=everything, room=room)
        headers = dict(shake.headers)
        if origin is not None:
            headers["Origin"] = origin
        return WebSocket(
            socket_url(base_url, shake.path), timeout, headers, via, subprotocols=shake.subprotocols, deflate=deflate,
            cookies=self.cookies, on_skipped=on_skipped,
        )  # fmt: skip

    def note_loss(self, error: Exception, login: int) -> None:
        """A socket that was opened with the login of this number has ended, or could not be opened: that login may have
        expired.
        """
        refused = isinstance(error, ConnectError) and error.status == UNAUTHORIZED
        if refused or (isinstance(error, Closed) and error.code in self._protocol.expired_codes):
            self.expire(login)

    def blanked(self, text: str) -> str:
        """The text without this user's secrets, cookies included."""
        variables = self.user.memory.variables or self.user.variables
        return blanked(variables.blanked(text), self.cookies.values())

    def _once(self, request: Callable[[User], Request], kept: Kept | None) -> tuple[int, Response]:
        """The number of the login that the request was made with, and its response."""
        try:
            login = self.log_in()
        except LoginError as error:
            return -1, Response(error.status, b"", False, float("nan"), time.monotonic(), f"login: {error}")
        return login, self._without_secrets(try_exchange(self.http, lambda: request(self.user), kept))

    def _try_once(self) -> None:
        state = self._state
        state.failure = None
        try:
            with self._pace:
                take_steps(self._protocol.login(self.user), self._ask)
        except Exception as error:  # noqa: BLE001 - protocols are third-party code
            known = isinstance(error, (RefusedError, Unreadable))
            status = error.status if isinstance(error, RefusedError) else 0
            if not known or isinstance(error, UnreadableHere):
                status = UNREADABLE_HERE
            # What came is not quoted: it may have a token that is not among the variables yet.
            said = str(error).partition(", got ")[0]
            text = said if known else f"the protocol failed: {type(error).__name__}: {said}"
            state.failure = LoginError(status, self.blanked(text))
            raise state.failure from None
        else:
            state.valid = True
        finally:
            state.tries += 1

    def _ask(self, request: Request) -> Response:
        started = time.monotonic()
        response = self._without_secrets(exchange(self.http, request))
        self._logged(started, response)
        return response

    def _without_secrets(self, response: Response) -> Response:
        return response._replace(error=self.blanked(response.error)) if response.error else response


def take_steps(steps: Generator[Request, Answer, _T], ask: Callable[[Request], Response]) -> _T:
    """Makes the requests of a login or creation. Returns its result. Raises RefusedError, and what the steps raise.

    `status` of the error is negative if the rig is at fault.
    """
    try:
        request = next(steps)
        while True:
            response = ask(request)
            if not response.complete or response.undecoded:
                status = UNREADABLE_HERE if response.undecoded else min(0, response.status)
                raise LoginError(status, response.error)
            request = steps.send(answer_of(response))
    except StopIteration as stop:
        result: _T = stop.value
        return result


def answer_of(response: Response) -> Answer:
    """A response as protocols get it."""
    return Answer.of(response.status, response.headers, response.body)


def try_exchange(client: Client, request: Callable[[], Request], kept: Kept | None = None) -> Response:
    """Builds a request and makes it. Raises nothing: if the protocol fails to build it, the response says so.

    `kept`: see `http.exchange`.
    """
    try:
        built = request()
    except Exception as error:  # noqa: BLE001 - protocols are third-party code, and there must be an outcome
        problem = f"the protocol failed: {type(error).__name__}: {error}"
        return Response(UNREADABLE_HERE, b"", False, float("nan"), time.monotonic(), problem)
    return exchange(client, built, kept)
