"""Requests that a file describes: made from variables, and what of their answers is kept."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from chatswarm.loadtests.protocols.outgoing import whole
from chatswarm.loadtests.protocols.protocol import Answer, Request, Unreadable

from .conditions import Conditions
from .paths import MISSING, Path, decoded, path_of
from .patterns import pattern_of
from .templates import Context, Template, written

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
BodyKind = Literal["", "json", "form", "body"]
_JSON = "application/json"
_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """One request. `kind`: what its body is."""

    method: str
    path: Template
    query: Mapping[str, Template] = field(default_factory=dict)
    headers: Mapping[str, Template] = field(default_factory=dict)
    kind: BodyKind = ""
    body: Template | None = None
    form: Mapping[str, Template] = field(default_factory=dict)

    @property
    def templates(self) -> list[Template]:
        """All of it."""
        body = [] if self.body is None else [self.body]
        return [self.path, *self.query.values(), *self.headers.values(), *self.form.values(), *body]

    def make(self, context: Context) -> Request:
        """Raises OutOfScopeError, ValueError."""
        text = self._body(context)
        context = context.and_(body=text or "")
        headers = {"Accept": f"{_JSON}, */*"}
        if self.kind in ("json", "form"):
            headers["Content-Type"] = _JSON if self.kind == "json" else "application/x-www-form-urlencoded"
        headers |= self.filled_headers(context)
        body = None if text is None else whole(text).encode()
        return Request(self.method, self.filled_path(context), body, headers)

    def filled_path(self, context: Context) -> str:
        """The path with its query."""
        path = self.path.fill(context)
        pairs = {name: whole(value.fill(context)) for name, value in self.query.items()}
        return f"{path}{'&' if '?' in path else '?'}{urlencode(pairs, quote_via=quote)}" if pairs else path

    def filled_headers(self, context: Context) -> dict[str, str]:
        """Its own headers. One that turns out empty is not sent."""
        filled = {name: value.fill(context) for name, value in self.headers.items()}
        return {name: value for name, value in filled.items() if value}

    def _body(self, context: Context) -> str | None:
        if self.kind == "form":
            return urlencode({name: whole(value.fill(context)) for name, value in self.form.items()})
        return None if self.body is None else self.body.fill(context)


# What is kept.


@dataclass(frozen=True, slots=True)
class Keep:
    """A value that is kept under a name. `source` is where it is: a path, or a part of an answer."""

    name: str
    path: Path | None = None
    find: Callable[[Answer], str | None] | None = None  # in an answer
    source: str = ""


def keep_of(name: str, source: object, *, answers: bool) -> Keep:
    """Reads one entry of `keep`. `answers`: it may be a part of an answer. Raises ValueError."""
    if isinstance(source, str) and answers:
        part, colon, rest = source.partition(":")
        if colon and part in _PARTS:
            return Keep(name, find=_PARTS[part](rest), source=source)
    if isinstance(source, str) and source.startswith("$"):
        return Keep(name, path_of(source), source=source)
    others = ", header:NAME, cookie:NAME or body:PATTERN" if answers else ""
    raise ValueError(f"expected a path such as $.token{others} for {name}, got {source!r}")


def _in_headers(name: str) -> Callable[[Answer], str | None]:
    return lambda answer: answer.headers.get(name.strip().lower())


def _in_cookies(name: str) -> Callable[[Answer], str | None]:
    pattern = re.compile(rf"^\s*{re.escape(name.strip())}=([^;\n]*)", re.MULTILINE)

    def find(answer: Answer) -> str | None:
        found = pattern.search(answer.headers.get("set-cookie", ""))
        return None if found is None else found[1].strip().strip('"')

    return find


def _in_the_body(pattern: str) -> Callable[[Answer], str | None]:
    compiled = pattern_of(pattern, "a regular expression after body:")
    if compiled.groups < 1:
        raise ValueError(f"expected a regular expression with a group after body:, got {pattern!r}")

    def find(answer: Answer) -> str | None:
        found = compiled.search(answer.body.decode("utf-8", "replace"))
        return None if found is None or found[1] is None else html.unescape(found[1])

    return find


_PARTS: Mapping[str, Callable[[str], Callable[[Answer], str | None]]] = {
    "header": _in_headers,
    "cookie": _in_cookies,
    "body": _in_the_body,
}


# Steps with a request.


class UnexpectedError(Exception):
    """An answer that is not as the file expects. The text says where, what was expected and what came."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestStep:
    """A request, and what its answer has to be. `where`: the place in the file, for people."""

    where: str
    request: RequestTemplate
    statuses: Sequence[int] = ()  # empty: any 2xx
    expect: Conditions | None = None
    keep: Sequence[Keep] = ()

    def take(self, answer: Answer, context: Context) -> dict[str, str]:
        """What is kept of an answer. Raises UnexpectedError, whose detail quotes nothing of it: it may be secret."""
        if answer.status not in self.statuses if self.statuses else not 200 <= answer.status < 300:
            wanted = " or ".join(map(str, self.statuses)) or "a status of 2xx"
            raise UnexpectedError(answer.status, f"{self.where}: expected {wanted}, got {answer.status}")
        document: Any = MISSING
        if self.expect is not None or any(one.path is not None for one in self.keep):
            document = self._document(answer)
        if self.expect is not None and not self.expect.fit(document, None, context):
            raise UnexpectedError(answer.status, f"{self.where}: expected {self.expect}, got another answer")
        kept = {}
        for one in self.keep:
            value = one.path.find(document) if one.path is not None else one.find and one.find(answer)
            if value is MISSING or value is None:
                raise UnexpectedError(answer.status, f"{self.where}: expected {one.source} in the answer, got nothing")
            kept[one.name] = written(value)
        return kept

    def _document(self, answer: Answer) -> Any:  # noqa: ANN401 - any JSON
        try:
            return decoded(answer.body)
        except (ValueError, RecursionError):
            kind = answer.headers.get("content-type", "no content type").partition(";")[0]
            page = " (a login page?)" if "html" in kind else ""
            raise UnexpectedError(answer.status, f"{self.where}: expected JSON, got {kind}{page}") from None


def document_of(body: bytes, what: str) -> Any:  # noqa: ANN401 - any JSON
    """A body as JSON. Raises Unreadable."""
    try:
        return decoded(body)
    except (ValueError, RecursionError):
        page = " (a login page?)" if body.lstrip()[:1] == b"<" else ""
        raise Unreadable(f"{what}: expected JSON{page}, got {body[:_EXCERPT]!r}") from None
