"""Reads a protocol file, and reports every problem at once: the line, what was expected, and what came."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from chatswarm.loadtests.protocols.promises import Acceptance, Promises, SendOver, Visible
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.toml_reader import count, one_of, positive, span, text, whole
from chatswarm.loadtests.system.units import seconds

from .conditions import Conditions, conditions_of
from .description import (
    CountedPages,
    Description,
    HandshakeTemplate,
    HistoryPages,
    MessagePaths,
    ProtocolFileError,
    RefetchedList,
    RoomNames,
    SendAnswer,
)
from .frames import MEANINGS, Codec, FrameRule, JsonCodec, Rules, StompCodec, TextCodec
from .lines import lines_of, shown
from .names import EVERYWHERE, Names
from .paths import decoded
from .requests import BodyKind, Keep, RequestStep, RequestTemplate
from .session import SentAgain, SocketScript, SocketStep
from .tables import (
    FileTable,
    any_paths,
    any_text,
    explained,
    flag,
    keep_reader,
    named_pattern,
    next_value,
    numbers,
    one_path,
    request_line,
    span_text,
    texts,
)
from .templates import Template, TemplateError, Templates, Writing

_BODIES: tuple[BodyKind, ...] = ("json", "form", "body")
_NO_NUMBERS: tuple[int, ...] = ()
_NO_TEXTS: tuple[str, ...] = ()


def read_description(text: str, location: str) -> Description:
    """Reads the text of a file. `location` names it in errors. Raises ProtocolFileError with all problems."""
    text = text.removeprefix("\ufeff")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        why = "brackets nested too deeply" if isinstance(error, RecursionError) else error
        raise ProtocolFileError([f"{location}: expected a readable TOML file, got: {why}"]) from None
    reader = _Reader(text, location, table)
    description = reader.read()
    if reader.problems or description is None:
        raise ProtocolFileError(_by_line(reader.problems))
    return description


def _by_line(problems: Sequence[str]) -> list[str]:
    """The problems in the order of their lines, each once."""

    def line(problem: str) -> int:
        found = re.search(r": line (\d+): ", problem)
        return 0 if found is None else int(found[1])

    return sorted(dict.fromkeys(map(one_line, problems)), key=line)


class _RoomsTable(NamedTuple):
    """What the file says of rooms."""

    names: RoomNames
    create: list[RequestStep]
    add: RequestStep | None
    remove: RequestStep | None
    private: bool
    each_sender: bool


class _SendTable(NamedTuple):
    """How messages are sent."""

    frame: Template | None
    request: RequestTemplate | None
    accepted_by: Acceptance
    answer: SendAnswer
    within: float | None
    unavailable: bool  # a 503 means that the message was not stored
    echo: bool

    @property
    def ways(self) -> tuple[SendOver, ...]:
        ways: list[SendOver] = []
        if self.request is not None:
            ways.append("http")
        if self.frame is not None:
            ways.append("socket")
        return tuple(ways)


class _Reader:
    def __init__(self, text: str, location: str, table: Mapping[str, Any]) -> None:
        self._text = text
        self._location = location
        self.problems: list[str] = []
        self._top = FileTable(location, table, self.problems, lines_of(text), ())
        self._names = Names()
        self._templates = Templates({})
        self._encoding = "json"
        self._codec: Codec = JsonCodec()
        self._head: re.Pattern[str] | None = None

    def read(self) -> Description | None:
        top = self._top
        top.take("format", 1, one_of(1))
        top.require("format", "name")
        name = top.take("name", "", text)
        visible: Visible = top.take("visible", "frame", one_of(*get_args(Visible)))
        server_header = top.take("server_header", "", text).lower()
        self._templates = Templates(self._named())
        users, expired, users_file = self._users()
        login = [self._request_step(step, "login") for step in top.several("login")]
        before = [self._request_step(step, "socket.before") for step in top.inner("socket").several("before")]
        handshake, one_room = self._handshake()
        script = self._script()
        rules = self._rules(visible)
        rooms = self._rooms()
        send = self._send(rules)
        history, by_replay, read_on = self._history()
        refetch, window = self._refetch(visible)
        every, idle, ping, dead_after = self._heartbeat()
        limit = self._limits()
        top.finish()
        names_rooms = any(rule.room is not None for rule in rules)
        one_room = one_room or (not script["join"] and not names_rooms)
        if not one_room or rooms.each_sender:
            self._require_rooms(rules)
        self._check_groups(rules, [step for steps in script.values() for step in steps])
        self._names.check(each_sender=rooms.each_sender, one_room=one_room)
        columns, environment = self._names.columns(users), self._names.needed_environment()
        if self.problems:
            return None
        waits = any(step.waits for step in [*script["open"], *script["join"]])
        creates_as_user = bool(self._names.of_users(rooms.create))
        static_patience = None if dead_after is None or dead_after.names else seconds(dead_after.text)
        promises = Promises(
            visible=visible,
            accepted_by=send.accepted_by,
            sends_over=send.ways,
            confirms_subscriptions=waits,
            history="pages" if history is not None else "replay" if by_replay else "none",
            has_rooms=not rooms.each_sender,
            has_members=rooms.private,
            joins_rooms=bool(script["join"]) or one_room,
            one_room=one_room and not rooms.each_sender,
            most_rooms=_most_rooms(rooms.names, rooms.create),
            members_change=rooms.add is not None and rooms.remove is not None,
            echoes=send.echo,
            accepted_within=send.within,
            sends_per_user=limit,
            dead_after=static_patience,
        )
        return Description(
            name=name,
            text=self._text,
            location=self._location,
            promises=promises,
            handshake=handshake,
            codec=self._codec,
            rules=Rules(rules, self._codec),
            script=SocketScript(
                **script, send=send.frame, ping=ping, ping_every=every or idle, pings_only_in_silence=every is None,
                dead_after=dead_after, missed_on_rejoin=read_on == "reconnect",
            ),
            users=users,
            columns=columns,
            users_file=users_file,
            login=login,
            before=before,
            rooms=rooms.names,
            create=rooms.create,
            creates_chats=rooms.each_sender,
            creators_log_in=creates_as_user and not rooms.each_sender,
            add=rooms.add,
            remove=rooms.remove,
            send_request=send.request,
            send_answer=send.answer,
            history=history,
            reads_what_was_missed=read_on is not None,
            refetch=refetch,
            list_window=window,
            unavailable_means_not_done=send.unavailable,
            expired_codes=expired,
            server_header=server_header,
            environment=environment,
            all_environment=self._names.environment(),
        )  # fmt: skip

    # Parts.

    def _named(self) -> dict[str, str]:
        """The templates of `[let]`."""
        table = self._top.inner("let")
        named = {}
        for name in table.values:
            if name in EVERYWHERE or not re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", name):
                table.problem(name, "a name that is not taken, of letters, digits and _", "this one")
            named[name] = table.take(name, "", any_text)
        for name in named:
            try:
                Templates(named).make(f"${{{name}}}")
            except TemplateError as error:
                table.report(name, str(error))
                return {}
        return named

    def _users(self) -> tuple[dict[str, Template], Sequence[int], str | None]:
        table = self._top.inner("users")
        users_file = table.take("file", None, text)
        expired = table.take("expired", _NO_NUMBERS, numbers)
        each = table.inner("each")
        users = {name: self._template(each, name, "users.each") for name in each.values}
        if each.values:
            name = users.get("name")
            if name is None:
                each.problem("name", 'a name such as "${role}-${index}.${run}"', "none")
            elif not {"role", "index"} <= name.names:
                each.problem("name", "a name that differs from user to user, with ${role} and ${index}", name.text)
        table.finish()
        return users, expired, users_file

    def _rooms(self) -> _RoomsTable:
        table = self._top.inner("rooms")
        table.know("id", "add", "remove")
        each_sender = table.take("each", None, one_of("sender")) is not None
        ids = table.take("ids", _NO_TEXTS, texts)
        template = self._template(table, "id", "rooms.id") if "id" in table.values else None
        file = table.take("file", None, text)
        given = [key for key in ("each", "id", "ids", "file") if key in table.values]
        if len(given) > 1:
            table.problem(given[1], f"either {given[0]} or this, not both", "both")
        create = [self._request_step(row, "rooms.create") for row in table.several("create")]
        names_itself = any(keep.name == "room" for step in create for keep in step.keep)
        if each_sender and not names_itself:
            table.problem("create", '[[rooms.create]] steps that keep room, as { room = "$.id" }', "none")
        if template is None and not ids and file is None and not names_itself:
            template = self._templates.make("everybody")
        add, remove = (
            self._request_step(table.inner(key), f"rooms.{key}") if key in table.values else None
            for key in ("add", "remove")
        )
        private = table.take("private", False, flag)
        table.finish()
        return _RoomsTable(RoomNames(template, ids, file), create, add, remove, private, each_sender)

    def _handshake(self) -> tuple[HandshakeTemplate, bool]:
        table = self._top.inner("socket")
        if table.values:
            table.require("path")
        elif not self._top.values.get("socket"):
            self._top.problem("socket", "a table [socket] with a path", "none")
        self._read_codec(table)
        path = self._template(table, "path", "handshake", "path") if "path" in table.values else None
        query, headers = self._table_of(table, "query", "handshake"), self._table_of(table, "headers", "handshake")
        protocols = table.take("subprotocols", _NO_TEXTS, texts)
        subprotocols = [self._made(table, "subprotocols", one, "handshake", "plain") for one in protocols]
        request = RequestTemplate("GET", path or self._templates.make("/"), query, headers)
        templates = [*request.templates, *subprotocols]
        return HandshakeTemplate(request, subprotocols), any("room" in one.names for one in templates)

    def _read_codec(self, table: FileTable) -> None:
        encoding = self._encoding = table.take("encoding", "json", one_of("json", "text", "stomp"))
        separator, terminator = table.take("separator", "", any_text), table.take("terminator", "", any_text)
        head, pattern = table.take("head", None, named_pattern), table.take("pattern", None, named_pattern)
        custom = table.take("codec", None, text)
        for key, wants in (("separator", "json"), ("terminator", "json"), ("head", "json"), ("pattern", "text")):
            if key in table.values and encoding != wants:
                table.problem(key, f'encoding = "{wants}" with this key', f'"{encoding}"')
        if encoding == "text" and pattern is None and "pattern" not in table.values:
            table.problem("pattern", 'a regular expression with named groups for encoding = "text"', "none")
        if separator and terminator:
            table.problem("terminator", "either separator or this, not both", "both")
        self._head = head
        if custom is not None:
            self._codec = self._custom(table, custom)
        elif encoding == "json":
            self._codec = JsonCodec(separator, terminator, head)
        else:
            self._codec = StompCodec() if encoding == "stomp" else TextCodec(pattern or re.compile(""))

    def _custom(self, table: FileTable, name: str) -> Codec:
        from chatswarm.loadtests.protocols.code import CodeError, load_class

        try:
            codec: Codec = load_class(name)()
        except CodeError as error:
            table.report("codec", str(error))
        except Exception as error:  # noqa: BLE001 - third-party code
            table.problem("codec", "a class that can be made without arguments", f"{type(error).__name__}: {error}")
        else:
            for method in ("decode", "encode"):
                if not callable(getattr(codec, method, None)):
                    table.problem("codec", "a class with the methods decode and encode", f"no {method}")
            return codec
        return JsonCodec()

    def _script(self) -> dict[str, list[SocketStep]]:
        table = self._top.inner("socket")
        script = {}
        for name in ("open", "again", "join", "rejoin"):
            script[name] = [self._socket_step(row, f"socket.{name}") for row in table.several(name)]
        table.know("before", "path", "query", "headers", "subprotocols")
        table.know("encoding", "separator", "terminator", "head", "pattern", "codec")
        table.finish()
        return script

    def _socket_step(self, table: FileTable, known: str) -> SocketStep:
        table.know("send", "request", "expect", "keep", "messages")
        send = self._frame(table, "send", known) if "send" in table.values else None
        request = self._request_step(table, known, socket=True) if "request" in table.values else None
        if send is not None and request is not None:
            table.problem("request", "either send or request, not both", "both")
        expect = None
        if request is None:
            expect = self._conditions(table, "expect", known)
        refuse = self._conditions(table, "refuse", known)
        keep = () if request is not None else self._keep(table, known, answers=False)
        if keep and expect is None:
            table.problem("keep", "an expect beside it, whose frame has these values", "none")
        for key in ("refuse", "messages", "recovered"):
            if key in table.values and expect is None:
                table.problem(key, "an expect beside it", "none")
        if send is None and request is None and expect is None:
            table.problem("send", "a send, an expect or a request", "none of them")
        messages = self._sent_again(table) if "messages" in table.values else None
        recovered = self._conditions(table, "recovered", known)
        table.finish()
        return SocketStep(shown(table.place), table.line, send, request, expect, refuse, keep, messages, recovered)

    def _sent_again(self, table: FileTable) -> SentAgain | None:
        part = table.inner("messages")
        part.require("each", "text")
        each, found = part.take("each", None, any_paths), part.take("text", None, one_path)
        as_html, number = part.take("text_as", None, one_of("html")) is not None, part.take("id", None, one_path)
        keep = self._keep(part, "socket.join", answers=False)
        part.finish()
        return None if each is None or found is None else SentAgain(each, found, as_html, number, keep)

    def _rules(self, visible: str) -> list[FrameRule]:
        rows = self._top.several("frame")
        rules = [self._rule(row, number, visible) for number, row in enumerate(rows, 1)]
        wanted = "message" if visible == "frame" else "hint"
        if all(map(_has_meaning, rows)) and not any(rule.meaning == wanted for rule in rules):
            self._top.problem("frame", f'a [[frame]] that is = "{wanted}", as visible = "{visible}"', "none")
        return rules

    def _require_rooms(self, rules: Sequence[FrameRule]) -> None:
        """Reports messages that do not say of which room they are, where a connection may have several."""
        for number, rule in enumerate(rules):
            if rule.room is None and rule.meaning in ("message", "hint", "left", "dropped"):
                place = ("frame", number)
                table = FileTable(self._location, {}, self.problems, lines_of(self._text), place)
                table.problem("room", "the path of the room, because a connection may have several", "none")

    def _check_groups(self, rules: Sequence[FrameRule], steps: Sequence[SocketStep]) -> None:
        """Reports paths that begin with no group of the pattern of a text."""
        if not isinstance(self._codec, TextCodec) or not self._codec.groups:
            return
        groups = self._codec.groups
        places = [(f"frame {rule.number}", rule.line, rule.paths) for rule in rules]
        places += [(step.where, step.line, step.paths) for step in steps]
        for where, line, paths in places:
            for path in paths:
                first = path.stages[0][:1]
                if path.root == "document" and first and first[0] not in groups:
                    self.problems.append(
                        f"{self._location}: line {line}: {where}: expected a group of socket.pattern "
                        f"({', '.join(groups)}), got {path.text}"
                    )

    def _rule(self, table: FileTable, number: int, visible: str) -> FrameRule:
        table.know("reply")
        table.require("is")
        meaning = table.take("is", "ignore", one_of(*MEANINGS))
        when = self._literal_conditions(table, "when") or Conditions()
        if meaning == ("hint" if visible == "frame" else "message"):
            table.problem(
                "is", "a message" if visible == "frame" else "a hint", f'{meaning}, with visible = "{visible}"'
            )
        if meaning == "message":
            table.require("text")
        if meaning in ("ack", "nack"):
            table.require("ref")
        fits = {
            "each": ("message", "hint"), "text": ("message",), "text_as": ("message",), "replay": ("message",),
            "ours": ("message", "hint"), "ref": ("ack", "nack"), "status": ("nack",),
            "detail": ("nack", "error", "left", "dropped"),
            "room": ("message", "hint", "left", "dropped", "missed"), "id": ("message", "hint", "ack"),
        }  # fmt: skip
        for key, meanings in fits.items():
            if key in table.values and meaning not in meanings and _has_meaning(table):
                table.problem(key, f"no such key for {meaning} (it is for {', '.join(meanings)})", "one")
        if meaning == "ping" and "reply" not in table.values:
            table.problem("reply", "the frame that answers a ping", "none")
        rule = FrameRule(
            number=number,
            line=table.line,
            meaning=meaning,
            when=when,
            each=table.take("each", None, any_paths),
            room=table.take("room", None, one_path),
            text=table.take("text", None, one_path),
            as_html=table.take("text_as", None, one_of("html")) is not None,
            id=table.take("id", None, one_path),
            ours=self._literal_conditions(table, "ours"),
            replay=self._literal_conditions(table, "replay"),
            ref=table.take("ref", None, one_path),
            status=table.take("status", None, one_path),
            detail=table.take("detail", None, one_path),
            reply=self._frame(table, "reply", "frame") if "reply" in table.values else None,
            keep=self._keep(table, "frame", answers=False),
        )
        table.finish()
        return rule

    def _heartbeat(self) -> tuple[Template | None, ...]:
        table = self._top.inner("heartbeat")
        table.know("send")
        every, idle, dead_after = (self._duration(table, key, "heartbeat") for key in ("every", "idle", "dead_after"))
        ping = self._frame(table, "send", "heartbeat") if "send" in table.values else None
        if every is not None and idle is not None:
            table.problem("idle", "either every or this, not both", "both")
        if (every or idle) is not None and ping is None:
            table.problem("send", "the frame that is sent then", "none")
        table.finish()
        return every, idle, ping, dead_after

    def _send(self, rules: Sequence[FrameRule]) -> _SendTable:
        table = self._top.inner("send")
        table.know("frame", "request", "query", "headers", *_BODIES)
        frame = self._frame(table, "frame", "send.frame") if "frame" in table.values else None
        request = self._request(table, "send.request") if "request" in table.values else None
        if frame is None and request is None:
            self._top.problem("send", "a table [send] with a request or a frame", "none")
        default: Acceptance = "echo" if frame is not None else "status"
        accepted_by: Acceptance = table.take("accepted_by", default, one_of(*get_args(Acceptance)))
        if accepted_by == "status" and request is None and frame is not None:
            table.problem("accepted_by", "ack, echo or written for a frame", "status")
        if accepted_by != "status" and frame is None and request is not None:
            table.problem("accepted_by", "status for a request", accepted_by)
        if accepted_by == "ack" and not any(rule.meaning == "ack" for rule in rules):
            table.problem("accepted_by", 'a [[frame]] that is = "ack"', "none")
        answer = SendAnswer(
            self._literal_conditions(table, "accepted"),
            self._literal_conditions(table, "rejected"),
            table.take("id", None, one_path),
            table.take("detail", None, one_path),
        )
        within = table.take("within", None, span)
        unavailable = table.take("unavailable", None, one_of("rejected")) is not None
        echo = table.take("echo", True, flag)
        if accepted_by == "echo" and not echo:
            table.problem("echo", 'true with accepted_by = "echo"', "false")
        table.finish()
        return _SendTable(frame, request, accepted_by, answer, within, unavailable, echo)

    def _history(self) -> tuple[HistoryPages | None, bool, str | None]:
        table = self._top.inner("history")
        by_replay = table.take("by", None, one_of("replay")) is not None
        read_on = table.take("read_on", None, one_of("gap", "reconnect"))
        pages = None
        if table.values and not by_replay:
            table.know("pages")
            pages = self._history_pages(table)
        elif read_on is not None:
            table.problem("read_on", "a request to read with", "none")
        table.finish()
        return pages, by_replay, read_on

    def _history_pages(self, table: FileTable) -> HistoryPages | None:
        counted = self._counted(table) if "pages" in table.values else None
        further = table.inner("next")
        following = {name: further.take(name, None, next_value) for name in further.values}
        if counted is not None and following:
            table.problem("next", "either pages or this, not both", "both")
        variables = {*following, *([counted.name] if counted is not None else [])}
        for name in variables:
            self._names.kept("history", name, table.line_of("next" if name in following else "pages"))
        table.require("request")
        request = self._request(table, "history")
        messages = self._message_paths(table)
        newest_first = table.take("order", "oldest first", one_of("oldest first", "newest first")) == "newest first"
        sort_by = table.take("sort_by", None, one_path)
        if request is None or messages is None:
            return None
        used = set[str]().union(*(template.names for template in request.templates))
        if variables and not variables & used:
            key = "next" if following else "pages"
            table.problem(key, f"a request that uses ${{{min(variables)}}}", "one that does not")
        return HistoryPages(
            request, messages, newest_first, sort_by, counted,
            {name: value for name, value in following.items() if value is not None},
        )  # fmt: skip

    def _counted(self, table: FileTable) -> CountedPages:
        part = table.inner("pages")
        counted = CountedPages(
            part.take("name", "page", text), part.take("from", 0, count), part.take("step", 1, whole)
        )
        part.finish()
        return counted

    def _message_paths(self, table: FileTable) -> MessagePaths | None:
        table.require("messages", "text")
        each, found = table.take("messages", None, any_paths), table.take("text", None, one_path)
        paths = (
            table.take("text_as", None, one_of("html")) is not None,
            table.take("id", None, one_path),
            self._literal_conditions(table, "ours"),
        )
        return None if each is None or found is None else MessagePaths(each, found, *paths)

    def _refetch(self, visible: str) -> tuple[RefetchedList | None, int | None]:
        table = self._top.inner("refetch")
        if visible == "frame":
            if table.values:
                self._top.problem("refetch", 'visible = "refetch" at the top', '"frame"')
            for key in table.values:
                table.take(key, None, lambda _: None)
            return None, None
        if not table.values:
            self._top.problem("refetch", "a table [refetch] with the list that dashboards read", "none")
            return None, None
        table.require("request", "rooms", "room")
        request = self._request(table, "refetch")
        rooms, room = table.take("rooms", None, any_paths), table.take("room", None, one_path)
        total, messages = table.take("total", None, one_path), self._message_paths(table)
        window = table.take("window", None, whole)
        table.finish()
        if request is None or rooms is None or room is None or messages is None:
            return None, None
        return RefetchedList(request, rooms, room, total, messages), window

    def _limits(self) -> float | None:
        table = self._top.inner("limits")
        limit = table.take("sends_per_user", None, positive)
        table.finish()
        return limit

    # Requests, frames, conditions.

    def _request_step(self, table: FileTable, known: str, *, socket: bool = False) -> RequestStep:
        table.require("request")
        request = self._request(table, known)
        statuses = table.take("expect_status", _NO_NUMBERS, numbers)
        expect = self._conditions(table, "expect", known)
        keep = self._keep(table, known, answers=True)
        if not socket:
            table.finish()
        empty = RequestTemplate("GET", self._templates.make("/"))
        return RequestStep(
            f"line {table.line} of the protocol file ({shown(table.place)})", request or empty, statuses, expect, keep
        )

    def _request(self, table: FileTable, known: str) -> RequestTemplate | None:
        table.know("json", "body")
        method, _, path = table.take("request", "GET /", request_line).partition(" ")
        made = self._made(table, "request", path, known, "path")
        query, headers = self._table_of(table, "query", known), self._table_of(table, "headers", known)
        bodies: list[BodyKind] = [key for key in _BODIES if key in table.values]
        if len(bodies) > 1:
            table.problem(bodies[1], f"either {bodies[0]} or this, not both", "both")
        kind: BodyKind = bodies[0] if bodies else ""
        form = self._table_of(table, "form", known)
        body: Template | None = None
        if "json" in table.values:
            body = self._template(table, "json", known, "json")
            self._check_json(table, "json", body)
        elif "body" in table.values:
            body = self._template(table, "body", known)
        return RequestTemplate(method, made, query, headers, kind, body, form)

    def _table_of(self, table: FileTable, key: str, known: str) -> dict[str, Template]:
        part = table.inner(key)
        return {name: self._template(part, name, known) for name in part.values}

    def _frame(self, table: FileTable, key: str, known: str) -> Template:
        """A frame that is sent."""
        writing: Writing = {"json": "json", "stomp": "stomp"}.get(self._encoding, "plain")  # type: ignore[assignment]
        value = table.take(key, "", any_text)
        if writing == "stomp":
            value = value.lstrip("\n")
        made = self._made(table, key, value, known, writing)
        if writing == "json" and type(self._codec) is JsonCodec:
            self._check_json(table, key, made, self._head)
        return made

    def _check_json(self, table: FileTable, key: str, template: Template, head: re.Pattern[str] | None = None) -> None:
        if not template.text and table.values[key] != "":
            return  # what is wrong with it was said already
        sample = template.sample()
        if head is not None:
            found = head.match(sample)
            if found is None:
                table.problem(key, f"a frame that begins as socket.head says, {head.pattern}", repr(template.text[:60]))
                return
            sample = sample[found.end() :]
            if not sample:
                return
        try:
            decoded(sample)
        except (ValueError, RecursionError):
            hint = "" if template.text.lstrip()[:1] in ("{", "[") or head is not None else ' (or encoding = "text")'
            table.problem(key, f"JSON{hint}", repr(template.text[:200]))

    def _template(self, table: FileTable, key: str, known: str, writing: Writing = "plain") -> Template:
        return self._made(table, key, table.take(key, "", any_text), known, writing)

    def _made(self, table: FileTable, key: str, value: str, known: str, writing: Writing) -> Template:
        try:
            template = self._templates.make(value, writing)
        except TemplateError as error:
            table.report(key, str(error))
            template = Templates({}).make("")
        self._names.used(table, key, template, known)
        return template

    def _duration(self, table: FileTable, key: str, known: str) -> Template | None:
        if table.take(key, None, span_text) is None:
            return None
        template = self._template(table, key, known)
        if not template.names:
            table.take(key, None, span)
        else:
            try:
                seconds(template.sample())
            except ValueError as error:
                table.report(key, str(error))
        return template

    def _conditions(self, table: FileTable, key: str, known: str) -> Conditions | None:
        def read(value: object) -> Conditions:
            return explained(lambda: conditions_of(value, lambda text: self._made(table, key, text, known, "plain")))

        return table.take(key, None, read)

    def _literal_conditions(self, table: FileTable, key: str) -> Conditions | None:
        return table.take(key, None, lambda value: explained(lambda: conditions_of(value, None)))

    def _keep(self, table: FileTable, known: str, *, answers: bool) -> list[Keep]:
        part = table.inner("keep")
        kept = []
        for name in part.values:
            taken = name in EVERYWHERE or name in self._top.inner("let").values
            if taken or not re.fullmatch(r"(room\.)?[A-Za-z_][A-Za-z0-9_-]*", name):
                part.problem(name, "a name that is not taken, of letters, digits and _ (or room.NAME)", "this one")
                continue
            one = part.take(name, None, keep_reader(name, answers=answers))
            if one is not None:
                kept.append(one)
                self._names.kept(known, name, part.line_of(name))
        return kept


def _has_meaning(rule: FileTable) -> bool:
    """Whether a rule says rightly what its frames are."""
    return any(rule.values.get("is") == meaning for meaning in MEANINGS)


def _most_rooms(names: RoomNames, create: Sequence[RequestStep]) -> int | None:
    if names.ids:
        return len(names.ids)
    creates = any(keep.name == "room" for step in create for keep in step.keep)
    return None if creates or names.template is None or "index" in names.template.names else 1
