"""Decodes what the processes of a run send to its conductor, and ignores messages about any other run."""

from collections.abc import Callable
from typing import Any

from locust.rpc import Message

from chatswarm.loadtests.swarm.conductor import Conductor

from .messages import (
    CannotJoin,
    ClockReading,
    ClosedHistory,
    GrantedNumber,
    HistoryPart,
    HistoryReceived,
    JoinedRun,
    LeavingRun,
    NumberRequest,
    P,
    ProgressReport,
    SwarmMessage,
    WrongProtocol,
    bus_name,
    decode,
    run_of,
)  # fmt: skip


class IncomingMessages:
    """`conductor` returns that of the current run, if any; `send(message, client)` answers."""

    def __init__(self, conductor: Callable[[], Conductor | None], send: Callable[[SwarmMessage, str], None]) -> None:
        self._conductor = conductor
        self._send = send

    def listeners(self) -> dict[str, Callable[..., None]]:
        """The listeners to register with Locust, by the name of the message."""
        return dict(
            (
                self._listener(JoinedRun, _joined),
                self._listener(
                    CannotJoin, lambda conductor, client, it: conductor.cannot_join(client, it.process, it.reason)
                ),
                self._listener(WrongProtocol, lambda conductor, _, it: conductor.protocol_is_wrong(it.reason)),
                self._listener(NumberRequest, self._grant_number),
                self._listener(ProgressReport, _progressed),
                self._listener(ClockReading, lambda conductor, _, it: conductor.clocked(it.process, it.sent, it.there)),
                self._listener(HistoryPart, lambda conductor, _, it: conductor.received(it.process, it.data)),
                self._listener(LeavingRun, lambda conductor, _, it: conductor.leaving(it.process)),
                self._listener(ClosedHistory, lambda conductor, _, it: conductor.closed(it.process, it.failure)),
            )
        )

    def _listener(self, kind: type[P], handle: Callable[[Conductor, str, P], Any]) -> tuple[str, Callable[..., None]]:
        def listener(msg: Message, **_: object) -> None:
            conductor = self._conductor()
            if conductor is not None and conductor.plan.run == run_of(msg.data):
                handle(conductor, msg.node_id, decode(kind, msg.data))
            if kind is ClosedHistory:
                # Whatever run it was: a process that waits for this before it exits has sent everything.
                self._send(HistoryReceived(), msg.node_id)

        name = bus_name(kind)
        listener.__name__ = name
        return name, listener

    def _grant_number(self, conductor: Conductor, client: str, request: NumberRequest) -> None:
        self._send(GrantedNumber(request.run, request.role, conductor.next_number(request.role)), client)


def _joined(conductor: Conductor, client: str, message: JoinedRun) -> None:
    conductor.joined(client, message.process, message.boot_id, shared=message.shared)


def _progressed(conductor: Conductor, _: str, message: ProgressReport) -> None:
    conductor.progressed(message.process, message.progress)
    if message.increment is not None:
        conductor.reported(message.process, message.increment)
