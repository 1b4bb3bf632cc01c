"""The two kinds of simulated user: a customer's widget, and an agent's dashboard."""

import time
from collections.abc import Sequence
from typing import Any

import gevent
from locust import User, task
from locust.env import Environment

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, MembershipEvent, Role, UserEvent
from chatswarm.loadtests.messages import trace
from chatswarm.loadtests.protocols.protocol import Unreadable

from .account import Account
from .connection import Owner, UserConnection
from .draws import Draws
from .final_read import as_unread
from .live.newly_shown import Viewer
from .net.http import Kept
from .node import current
from .refetching import Refetcher
from .sender import Sender

_NOT_MODIFIED = 304
_SENDS_AT_ONCE = 1000  # per sender; fewer would let a slow target delay the sends


class ChatUser(User):
    """The base of widgets and dashboards: the run that they belong to, and a user's account."""

    abstract = True
    role: Role
    route: str
    """The route of its requests, which may have a fault proxy."""
    index = -1  # until it has a number
    account: Account | None = None
    connection: UserConnection | None = None
    sender: Sender | None = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.node = current()

    def take_number(self) -> bool:
        """Takes a number for this user. Returns whether the scenario plans a user of that number: others do nothing.

        Locust spawns users in bursts a second apart; this spreads them out again.
        """
        node, role = self.node, self.role.name.lower()
        index = node.number_for(role)
        self.draws = Draws(f"chatswarm {node.plan.seed} {role} {index}")
        self.index = index
        self.planned = index < (node.scenario.widgets if self.role is Role.WIDGET else node.scenario.dashboards)
        if not self.planned:
            node.recorder.user(self.role, index, UserEvent.ADDED, time.monotonic())
            return False
        gevent.sleep(self.draws.uniform(0, min(1.0, node.scenario.ramp)))
        return True

    def on_stop(self) -> None:
        """Closes its connections, and records if this user is taken away in the middle of the run."""
        if self.account is not None:
            self.account.http.close()
        if self.index >= 0 and self.planned and not self.node.ending.is_set():
            self.node.recorder.user(self.role, self.index, UserEvent.WITHDRAWN, time.monotonic())


class WidgetUser(ChatUser):
    """A customer: logs in, opens a chat or knows its room, then sends messages at their scheduled times."""

    role = Role.WIDGET
    route = "widgets"
    connection_greenlet: Any = None

    def on_start(self) -> None:
        """Gets ready to send before the measured part begins."""
        if not self.take_number():
            return
        node = self.node
        if node.scenario.senders_are_members:
            node.progress.widgets += 1
            return
        self.account = node.account(self.role, self.index, _SENDS_AT_ONCE, self.route)
        promises = node.protocol.promises
        if node.scenario.sends_over(promises) == "socket":
            self.connection = UserConnection(node, self.account, Owner(widget=self.index), self.draws)
            if node.rooms is not None and (promises.senders_join or promises.accepted_by == "echo"):
                # It must be sent what it sends, or be there to send it.
                self.connection.rooms.add(node.rooms.ids[node.rooms.of_sender(self.index, 0)])
            self.connection_greenlet = gevent.spawn(self.connection.stay)
            self.connection.tried.wait()
        self.sender = Sender(node, self.index, self.account, self.connection)
        self.sender.get_ready()
        node.progress.widgets += 1

    def on_stop(self) -> None:
        """Also closes its socket."""
        super().on_stop()
        if self.connection_greenlet is not None:
            self.connection_greenlet.kill(block=False)

    @task
    def send_messages(self) -> None:
        """Sends on schedule until the measured part ends."""
        if self.sender is not None:
            self.sender.follow_schedule()
        self.node.never.wait()


class DashboardUser(ChatUser):
    """An agent's inbox: a WebSocket that announces messages, and where they carry no text, refetches of the list."""

    role = Role.DASHBOARD
    route = "refetches"
    refetcher: Refetcher | None = None
    connection_greenlet: Any = None  # of a connection that is planned for part of the run
    sending: Any = None
    changing: Any = None
    refetches = 0
    """How many have begun."""

    def on_start(self) -> None:
        if not self.take_number():
            return
        node, member = self.node, self.node.scenario.senders_are_members and self.index < self.node.scenario.widgets
        account = self.account = node.account(self.role, self.index, 10, self.route)
        refetches = node.protocol.promises.visible == "refetch"
        on_messages = None
        if refetches:
            self.viewer = Viewer()
            self.last_list: tuple[Kept | None, int] = (None, -1)  # the last list that came, and its version
            # A broadcast wakes all dashboards at once, and would keep their refetches in step for ever. Real dashboards
            # are on different machines, whose timers drift apart.
            interval = node.scenario.refetch.interval * self.draws.uniform(1.0, 1.1)
            self.refetcher = Refetcher(node.crew, interval, self.refetch)
            on_messages = self.refetch_each if node.scenario.refetch.policy == "every" else self.refetcher.want
        self.connection = UserConnection(
            node, self.account, Owner(dashboard=self.index), self.draws,
            on_messages=on_messages, on_connected=self.refetch_on_connecting if refetches else None,
        )  # fmt: skip
        if node.rooms is not None:
            rooms = node.rooms.of_dashboard(self.index)
            self.connection.rooms |= {own.room for own in rooms if own.start < 0}
            moments = [(own.start, own.room, True) for own in rooms if own.start >= 0]
            moments += [(own.stop, own.room, False) for own in rooms if own.stop < node.scenario.duration]
            if moments:
                self.changing = gevent.spawn(self.change_memberships, sorted(moments))
        if member:
            over = self.connection if node.scenario.sends_over(node.protocol.promises) == "socket" else None
            # Its sends take the route of all sends.
            sending = account.through(node.client(_SENDS_AT_ONCE, WidgetUser.route, account.cookies))
            self.sender = Sender(node, self.index, sending, over)
            self.sending = gevent.spawn(self.sender.follow_schedule)

    def on_stop(self) -> None:
        """Also kills its greenlets."""
        super().on_stop()
        if self.refetcher is not None:
            self.refetcher.stop()
        for greenlet in (self.connection_greenlet, self.sending, self.changing):
            if greenlet is not None:
                greenlet.kill(block=False)

    @task
    def follow_plan(self) -> None:
        """Stays connected while the scenario plans this dashboard."""
        node, connection = self.node, self.connection
        planned = node.scenario.planned(self.index) if self.planned else []
        for start, stop in planned if connection is not None else []:
            assert connection is not None
            if start > 0:
                node.started.wait()
                gevent.sleep(max(0.0, node.start + start - time.monotonic()))
            if stop >= node.scenario.duration:
                connection.stay()
            self.connection_greenlet = gevent.spawn(connection.stay)
            node.started.wait()
            gevent.sleep(max(0.0, node.start + stop - time.monotonic()))
            self.connection_greenlet.kill()
        self.node.never.wait()

    def change_memberships(self, moments: Sequence[tuple[float, str, bool]]) -> None:
        """Joins (True) and leaves rooms in the middle of the run, at these moments in seconds after T0."""
        node = self.node
        node.started.wait()
        for at, room, joins in moments:
            if node.ending.wait(max(0.0, node.start + at - time.monotonic())):
                return
            self.change_membership(room, joins=joins)

    def change_membership(self, room: str, *, joins: bool) -> None:
        """Makes this dashboard a member of a room, or ends that, and records when the target had done so."""
        node, account, connection = self.node, self.account, self.connection
        if account is None or connection is None:
            return
        change = node.protocol.add_member if joins else node.protocol.remove_member
        if not joins:
            connection.leave(room)
        response = account.exchange(lambda user: change(room, user))
        event = MembershipEvent.ADDED if joins else MembershipEvent.REMOVED
        if response.problem:
            event = MembershipEvent.REFUSED
            changed = "added" if joins else "removed"
            node.trouble("membership", f"a membership could not be {changed}: {response.problem}")
        node.recorder.membership(-1, self.index, room, event, response.done, response.problem)
        if joins and not response.problem:
            connection.join(room)

    # Refetching.

    def refetch_each(self, count: int) -> None:
        """This many frames announced messages together."""
        for _ in range(count):
            self.node.crew.run(self.refetch)

    def refetch_on_connecting(self) -> None:
        """The connection is subscribed: what was missed before shows in the list."""
        if (
            self.refetcher is not None
            and self.connection is not None
            and (not self.connection.ever_subscribed or self.node.scenario.reconnect != "origin")
        ):
            self.refetcher.want()

    def refetch(self) -> None:
        """Fetches the list once, and records the version that this dashboard now shows."""
        node, account = self.node, self.account
        if account is None or self.connection is None:
            return
        connection = self.connection.number
        n = self.refetches
        self.refetches += 1
        started = time.monotonic()
        kept, last_version = self.last_list
        if node.plan.traceparent:
            value = trace.refetch_traceparent(node.plan.run, self.index, n)
            response = account.exchange(
                lambda user: node.protocol.list_chats(user).with_header(trace.HEADER, value), kept
            )
        else:
            response = account.exchange(node.protocol.list_chats, kept)
        node.note_rate_limit("refetch", response.status, response.retry_after)
        version, problem = -1, response.problem
        try:
            if not problem:
                version = node.listing.version_of(response.body)
                self.last_list = response.kept, version
            elif response.status == _NOT_MODIFIED and response.complete and kept is not None:
                version, problem = last_version, ""
        except Unreadable as error:
            response, problem = as_unread(response, error), account.blanked(str(error))
        except Exception as error:  # noqa: BLE001 - every refetch has a row
            problem = account.blanked(f"a refetch failed: {type(error).__name__}: {error}")
            response = response._replace(status=UNREADABLE_HERE)
            node.trouble("refetch", problem)
        if version < 0:
            node.note_unshown(response.status, problem)
        node.recorder.refetch(connection, self.index, started, response, version, node.server_of(response), n)
        node.rows.request("REFETCH", "chat list", response.done - started, len(response.body), problem)
        if version >= 0:
            node.on_shown(self.index, self.viewer, version, response.done)
