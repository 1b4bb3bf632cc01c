"""Reads the settings from flags and environment, and reports all problems at once before anything starts."""

from __future__ import annotations

import argparse
import codecs
import dataclasses
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn
from urllib.parse import unquote, urlsplit

from chatswarm.backend.http.auth import Tokens
from chatswarm.backend.http.user_tokens import ServiceKey, UserTokens

_LONGEST_TOKEN_FILE: Final = 64 << 10

_SERVICE_LINK: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+:\d{1,5}")
"""tcp://10.0.0.1:8000: for a Service named chatswarm, Kubernetes (and Docker, for a link) sets CHATSWARM_PORT to this
in every pod of the namespace; a Service named chatswarm-pages sets CHATSWARM_PAGES_PORT. Their other variables end in
_SERVICE_HOST, _SERVICE_PORT… or _PORT_8000_TCP…, which no setting does."""


@dataclass(frozen=True, slots=True)
class BusAddress:
    """A broker's address. Neither `str` nor `repr` shows user and password."""

    host: str
    port: int
    database: int
    username: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"redis://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The backend's settings. Sizes are in bytes, times in seconds, unless the name says otherwise."""

    host: str = "127.0.0.1"
    port: int = 8000
    database: Path = Path("chatswarm.db")
    buffer_limit: int = 1 << 20
    unsent_limit: float = 5.0
    max_message_length: int = 10_000
    max_frame_size: int = 64 << 10
    max_connections: int = 16_000
    max_http_connections: int | None = None
    request_timeout: float = 10.0
    idle_timeout: float = 60.0
    sends_per_second: float | None = None
    origins: frozenset[str] | None = None
    dashboard_tokens: Tokens | None = None
    list_size: int = 100
    grace: float = 5.0
    join_window: float = 0.05
    workers: int = 1
    bus: BusAddress | None = None
    pages_port: int | Literal["auto"] | None = "auto"
    backend_url: str | None = None
    api_docs: bool = True
    push: bool = False
    token_lifetime: float = 3600.0
    push_key: ServiceKey | None = None
    user_tokens: UserTokens | None = None
    """Issues and checks users' tokens, in all workers; None without `push`."""
    lifeline_fd: int | None = None


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One problem with the settings: where, what was expected, what came."""

    where: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}"


class SettingsError(Exception):
    """The settings are invalid; `problems` lists all problems."""

    def __init__(self, problems: Sequence[SettingProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class _WrongError(Exception):
    """One value is invalid. The message says what was expected; `got` replaces a value that must not be shown."""

    def __init__(self, expected: str, got: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.got = got


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII) or not low <= int(text) <= high:
            raise _WrongError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _auto(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    return lambda text: None if text == "auto" else parse(text)


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)?", text, re.ASCII)
        value = float(match[1]) * (0.001 if match[2] == "ms" else 1) if match else math.nan
        if not low <= value <= high:
            raise _WrongError(f"a time from {low:g}s to {high:g}s, such as 5s or 50ms")
        return value

    return parse


def _rate(text: str) -> float | None:
    if text == "off":
        return None
    match = re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII)
    if not match or not 0 < float(text) <= 1e6:
        raise _WrongError("'off' or a positive number of sends per second")
    return float(text)


def _origins(text: str) -> frozenset[str] | None:
    if text == "any":
        return None
    found = [
        re.fullmatch(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:]+\])(?::(\d{1,5}))?", each.strip().lower())
        for each in text.split(",")
    ]
    if None in found:
        raise _WrongError("'any' or origins such as https://chat.example or http://localhost:3000, with commas between")
    # Browsers omit a scheme's default port.
    usual = {"http": "80", "https": "443"}
    return frozenset(
        f"{scheme}://{host}" if port in (None, usual[scheme]) else f"{scheme}://{host}:{port}"
        for scheme, host, port in (each.groups() for each in found if each)
    )


def _tokens(text: str) -> Tokens | None:
    if text == "off":
        return None
    expected = "'off' or a readable file with one token in each line: letters, digits and -._~+/="
    try:
        with Path(text).open("rb") as file:
            content = file.read(_LONGEST_TOKEN_FILE + 1)
        if len(content) > _LONGEST_TOKEN_FILE:
            raise _WrongError(expected, f"one of more than {_LONGEST_TOKEN_FILE} bytes")
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise _WrongError(expected, "one in UTF-16: save it as UTF-8")
        # Editors on Windows may write a byte order mark, which is not part of the first token.
        lines = content.decode("utf-8-sig").splitlines()
    # The value is not repeated: it may be a token, given instead of a file name.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise _WrongError(expected, f"one that cannot be read: {reason}") from None
    tokens = [line.strip() for line in lines if line.strip()]
    wrong = [number for number, token in enumerate(tokens, 1) if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,512}", token)]
    if wrong:
        raise _WrongError(expected, f"something else as token {wrong[0]} of {len(tokens)}")
    if not tokens:
        raise _WrongError(expected, "a file without a token")
    return Tokens(tokens)


def _pages_port(text: str) -> int | Literal["auto"] | None:
    if text == "auto":
        return "auto"
    try:
        return None if text == "off" else _whole(0, 65535)(text)
    except _WrongError:
        raise _WrongError("'auto', 'off' or a whole number from 0 to 65535") from None


def _backend_url(text: str) -> str | None:
    if text == "auto":
        return None
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d{1,5})?", text):
        raise _WrongError("'auto' or an address such as http://localhost:8000 or https://chat.example")
    return text


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise _WrongError("'on' or 'off'")
    return text == "on"


def _key(text: str) -> ServiceKey:
    # The value is not repeated, because it is a secret.
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,1000}", text):
        raise _WrongError("1 to 1000 letters, digits and -._~+/=", "something else")
    return ServiceKey(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", text):
        raise _WrongError("a host name or address")
    return text


def _database(text: str) -> Path:
    scheme, colon, rest = text.partition("://")
    if not colon or scheme != "sqlite":
        # Only the scheme is repeated: the rest of a database URL may hold a password.
        got = f"'{scheme}://…', which is not supported" if colon else "something that is not a URL"
        raise _WrongError("sqlite:////absolute/file.db or sqlite:///relative.db", got)
    name = rest[1:]
    if not rest.startswith("/") or not name or name == ":memory:" or set(name) & set("?#\0"):
        raise _WrongError("a file: sqlite:////absolute/file.db or sqlite:///relative.db")
    try:
        path = Path(name).absolute()
        if not path.is_dir() and path.parent.is_dir():
            return path
    # No permission, a name that is too long, or the working directory was removed.
    except OSError as error:
        raise _WrongError("a file in a folder that exists", f"{text!r}: {error.strerror}") from None
    raise _WrongError("a file in a folder that exists")


def _bus(text: str) -> BusAddress | None:
    if text == "off":
        return None
    # No part of it is repeated: it may contain a password, even in an unexpected position.
    wrong = _WrongError("'off' or redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]", "something else" if text else None)
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise wrong from None
    database = url.path.removeprefix("/") or "0"
    if url.scheme != "redis" or not host or port == 0 or url.query or url.fragment:
        raise wrong
    if not re.fullmatch(r"\d{1,5}", database, re.ASCII):
        raise wrong
    username, password = (unquote(each) if each else None for each in (url.username, url.password))
    return BusAddress(host, port or 6379, int(database), username, password)


def _open_pipe(text: str) -> int:
    try:
        number = _whole(0, 1 << 20)(text)
        os.fstat(number)
    except (_WrongError, OSError):
        raise _WrongError("the number of an inherited open pipe") from None
    return number


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    metavar: str
    default: str | None
    parse: Callable[[str], object]
    help: str
    hidden: bool = False
    called: str | None = None
    """The flag's name, if it differs from the setting's."""
    bare: str = ""
    """The value that a flag without one stands for."""
    secret: bool = False
    """Only a variable, because a command line is public."""

    @property
    def flag(self) -> str:
        return "--" + (self.called or self.name).replace("_", "-")

    @property
    def variable(self) -> str:
        return "CHATSWARM_" + (self.called or self.name).upper()

    def given(self, environment: Mapping[str, str]) -> str | None:
        """The value in the environment; None for an empty variable, and for one that Kubernetes has set."""
        text = environment.get(self.variable)
        if not text or (self.variable.endswith("_PORT") and _SERVICE_LINK.fullmatch(text)):
            return None
        return text


FIELDS = (
    _Field("host", "HOST", "127.0.0.1", _host, "address to listen on"),
    _Field("port", "PORT", "8000", _whole(0, 65535), "port to listen on; 0 picks a free one"),
    _Field(
        "database", "URL", "sqlite:///chatswarm.db", _database, "SQLite file: sqlite:////abs.db or sqlite:///rel.db"
    ),
    _Field(
        "buffer_limit", "BYTES", "1048576", _whole(4096, 1 << 30), "disconnect a dashboard with this many unsent bytes"
    ),
    _Field(
        "unsent_limit", "TIME", "5s", _seconds(0.1, 3600), "disconnect a dashboard with a byte unsent for this long"
    ),
    _Field("max_message_length", "CHARS", "10000", _whole(1, 1_000_000), "refuse longer messages with 413"),
    _Field("max_frame_size", "BYTES", "65536", _whole(125, 1 << 24), "on a larger WebSocket message, close with 1009"),
    _Field("max_connections", "N", "16000", _whole(1, 1_000_000), "maximum number of dashboards; refuse more with 503"),
    _Field(
        "max_http_connections",
        "N",
        "auto",
        _auto(_whole(1, 1_000_000)),
        "maximum number of HTTP connections; then close the oldest idle one; auto: as many as open files allow",
    ),
    _Field("request_timeout", "TIME", "10s", _seconds(0.1, 3600), "time for a complete request to arrive; then 408"),
    _Field(
        "idle_timeout", "TIME", "60s", _seconds(0.1, 3600), "time for a dashboard's first message; then close with 1008"
    ),
    _Field(
        "sends_per_second", "N", "off", _rate, "sends per second and chat, or user with --push; refuse more with 429"
    ),
    _Field("origins", "LIST", "any", _origins, "comma-separated origins whose pages may call this backend"),
    _Field(
        "dashboard_tokens",
        "FILE",
        "off",
        _tokens,
        "file with one token per line; dashboards must present one",
        called="dashboard_token_file",
    ),
    _Field("list_size", "N", "100", _whole(1, 10_000), "chats in the list if a request sets no limit"),
    _Field("grace", "TIME", "5s", _seconds(0.5, 600), "maximum time to shut down"),
    _Field("join_window", "TIME", "50ms", _seconds(0, 1), "maximum time to collect frames for one write"),
    _Field("workers", "N", "1", _whole(1, 64), "processes that share the port and database; limits apply to each"),
    _Field("bus", "URL", "off", _bus, "broker that wakes other backends on this database: redis://HOST:PORT[/DB]"),
    _Field("pages_port", "PORT", "auto", _pages_port, "port of /inbox and /widget; auto: 3000 if free; off: no pages"),
    _Field(
        "backend_url",
        "URL",
        "auto",
        _backend_url,
        "URL of this backend for the pages; auto: the page's host and --port",
    ),
    _Field("api_docs", "on|off", "on", _switch, "serve /openapi.json, and /docs, a page that shows it"),
    _Field("push", "on|off", "off", _switch, "run the push chat instead of the reference chat", bare="on"),
    _Field("token_lifetime", "TIME", "3600s", _seconds(1, 2_592_000), "with --push: validity of a user's token"),
    _Field("push_key", "KEY", None, _key, "with --push: the service key", secret=True),
    _Field("lifeline_fd", "FD", None, _open_pipe, "stop when this inherited pipe ends", hidden=True),
)


_EXAMPLES: Final = """\
CHATSWARM_PUSH_KEY has no flag, because a command line is public: with --push, it is the service key, which whoever
changes rooms and logs users in has to present.

Examples:

  chatswarm serve
  chatswarm serve --port 8000 --workers 2 --database sqlite:////tmp/chat.db
  chatswarm serve --push
"""


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line; flags win over `CHATSWARM_…` variables, which win over the defaults.

    Raises SettingsError with every problem at once. `--help` prints the flags and exits with 0.
    """
    parser = _ArgumentParser(
        prog="chatswarm serve",
        description="Run the reference chat.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for field in FIELDS:
        about = argparse.SUPPRESS if field.hidden else f"{field.help} (default {field.default}; {field.variable})"
        # With `nargs="?"`, argparse accepts a missing value, so that it is reported together with all other problems.
        if not field.secret:
            parser.add_argument(
                field.flag, dest=field.name, nargs="?", const=field.bare, metavar=field.metavar, help=about
            )
    try:
        given, unknown = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise SettingsError([SettingProblem("command line", "known flags with one value each", str(error))]) from None
    problems = [SettingProblem("command line", "only known flags (see --help)", repr(word)) for word in unknown]
    values: dict[str, object] = {}
    for field in FIELDS:
        text: str | None = getattr(given, field.name, None)
        where = field.flag
        if text is None and (variable := field.given(environment)) is not None:
            text, where = variable, field.variable
        if text is None:
            text, where = field.default, field.flag
        if text is None:
            continue
        try:
            values[field.name] = field.parse(text)
        except _WrongError as wrong:
            problems.append(SettingProblem(where, wrong.expected, wrong.got or (repr(text) if text else "nothing")))
    settings = Settings(**values)  # type: ignore[arg-type]  # each parser returns the type of its setting
    if settings.push:
        problems += _unfit_for_push(settings)
    if problems:
        raise SettingsError(problems)
    return _with_tokens(settings) if settings.push else settings


def _unfit_for_push(settings: Settings) -> list[SettingProblem]:
    problems: list[SettingProblem] = []
    if settings.dashboard_tokens is not None:
        problem = "off with --push, whose users have tokens of their own"
        problems.append(SettingProblem("--dashboard-token-file", problem, "a file"))
    if isinstance(settings.pages_port, int):
        problem = "auto or off with --push, which has no pages"
        problems.append(SettingProblem("--pages-port", problem, repr(str(settings.pages_port))))
    return problems


def _with_tokens(settings: Settings) -> Settings:
    # Made here, before any worker is forked, so that all workers share it.
    secret = settings.push_key.token_secret() if settings.push_key is not None else secrets.token_bytes(32)
    tokens = UserTokens(secret, settings.token_lifetime)
    return dataclasses.replace(settings, user_tokens=tokens, pages_port=None)


class _ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)
