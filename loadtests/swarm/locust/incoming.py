"""What the processes of a run say to its conductor. Whatever is about another run, late or early, is not heard."""

from collections.abc import Callable
from typing import Any

from locust.rpc import Message

from chatswarm.loadtests.swarm.conductor import Conductor
from chatswarm.loadtests.swarm.live.increment import Increment
from chatswarm.loadtests.swarm.plan import ProcessProgress


class IncomingMessages:
    """`conductor` is that of the run that goes on, if any; `tell(kind, data, client)` answers."""

    def __init__(self, conductor: Callable[[], Conductor | None], tell: Callable[[str, object, str], None]) -> None:
        self._conductor = conductor
        self._tell = tell
        self._heard: dict[str, Callable[[Conductor, str, dict[str, Any]], None]] = {
            "entered": self._entered,
            "unfit": lambda conductor, client, said: conductor.unfit(client, said["process"], said["why"]),
            "ask": self._ask,
            "progress": self._progress,
            "clocked": lambda conductor, _, said: conductor.clocked(said["process"], said["sent"], said["there"]),
            "history": lambda conductor, _, said: conductor.received(said["process"], said["data"]),
            "leaving": lambda conductor, _, said: conductor.leaving(said["process"]),
            "closed": lambda conductor, _, said: conductor.closed(said["process"], said["failure"]),
        }

    def listeners(self) -> dict[str, Callable[..., None]]:
        """What to register with Locust, by the kind of message."""
        return {kind: self._listener(kind) for kind in self._heard}

    def _listener(self, kind: str) -> Callable[..., None]:
        hear = self._heard[kind]

        def listener(msg: Message, **_: object) -> None:
            conductor, data = self._conductor(), msg.data
            run = data.get("run") if isinstance(data, dict) else None
            if conductor is not None and conductor.plan.run == run:
                hear(conductor, msg.node_id, data)
            if kind == "closed":
                # Whoever waits to end may do so: there is nothing more to be had from it.
                self._tell("bye", None, msg.node_id)

        listener.__name__ = kind
        return listener

    def _entered(self, conductor: Conductor, client: str, said: dict[str, Any]) -> None:
        conductor.entered(client, said["process"], said["boot_id"], shared=said["shared"])

    def _ask(self, conductor: Conductor, client: str, said: dict[str, Any]) -> None:
        kind = said["kind"]
        grant = {"run": conductor.plan.run, "kind": kind, "number": conductor.next_place(kind)}
        self._tell("grant", grant, client)

    def _progress(self, conductor: Conductor, _: str, said: dict[str, Any]) -> None:
        progress = dict(said["progress"])
        # Numbers as keys come back as text from some transports.
        progress["latencies"] = {int(key): count for key, count in progress["latencies"].items()}
        conductor.progressed(said["process"], ProcessProgress(**progress))
        if (report := said["report"]) is not None:
            conductor.reported(said["process"], Increment.read(report))
