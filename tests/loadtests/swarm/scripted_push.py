"""Runs the users of several push chats at the same time. A separate process, because it imports Locust.

Reads cases from standard input, as JSON. Writes a JSON list with what came of each: the rows of its history by
table, the failures in Locust's rows, and why rooms could not be created.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from locust.env import Environment  # noqa: E402

from chatswarm.loadtests.history.files import read  # noqa: E402
from chatswarm.loadtests.history.manifest import boot_id, history_file  # noqa: E402
from chatswarm.loadtests.protocols.catalogue import BUILT_IN  # noqa: E402
from chatswarm.loadtests.swarm import final_read, sender  # noqa: E402
from chatswarm.loadtests.swarm.locust.stats_rows import StatsRows  # noqa: E402
from chatswarm.loadtests.swarm.net import http  # noqa: E402
from chatswarm.loadtests.swarm.node import Node, enter  # noqa: E402
from chatswarm.loadtests.swarm.plan import RunPlan  # noqa: E402
from chatswarm.loadtests.swarm.room_creator import RoomCreator  # noqa: E402
from chatswarm.loadtests.swarm.users import ChatUser, DashboardUser, WidgetUser  # noqa: E402
from tests.loadtests.swarm import push_protocols  # noqa: E402
from tests.loadtests.swarm.scripted_target import plain  # noqa: E402

RUN = "scripted23"
_stall = monkey.get_original("time", "sleep")
_PATIENCE = 20.0  # seconds
_SETTLES = 1.0  # seconds without a frame until the final read


class Case:
    """One chat, and the users that talk to it."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.ready, self.stall = case["ready"], case["stall"]
        self.folder = Path(case["folder"])
        self.plan = RunPlan(
            RUN, 1, str(self.folder), case["url"], case["protocol"], "some", case["table"], boot_id(),
            users_file=case.get("users_file"),
        )  # fmt: skip
        self.environment = Environment()
        self.failed: set[tuple[str, str]] = set()
        self.environment.events.request.add_listener(self.on_request)
        self.numbers = {"widget": 0, "dashboard": 0}
        self.node = Node(self.plan, "swarm-0", StatsRows(self.environment), self.number)
        self.scenario = self.node.scenario

    def on_request(self, request_type: str, exception: Exception | None, **_: Any) -> None:
        if exception is not None:
            self.failed.add((request_type, str(exception)))

    def number(self, role: str) -> None:
        self.numbers[role] += 1
        self.node.grant(role, self.numbers[role] - 1)

    def run(self) -> dict[str, Any]:
        problems: list[str] = []
        if self.node.rooms is not None:
            creator = RoomCreator(self.plan, self.scenario, self.node.rooms)
            problems = creator.create()
            self.node.name_rooms(creator.ids)
        if not problems:
            self.load()
        failure = self.node.finish(time.monotonic() - self.scenario.drain)
        assert failure is None, failure
        tables = read(history_file(self.folder, "swarm-0")).tables
        rows = {
            name: [dict(zip(columns, map(plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]
            for name, columns in tables.items()
        }
        return {"rows": rows, "failed": sorted(self.failed), "problems": problems}

    def load(self) -> None:
        """Starts the users, and waits until the measured part is over."""
        node, scenario = self.node, self.scenario
        enter(node)
        users: list[ChatUser] = [WidgetUser(self.environment) for _ in range(scenario.widgets)]
        users += [DashboardUser(self.environment) for _ in range(scenario.dashboards)]
        self.greenlets = [gevent.spawn(user.run) for user in users]
        until = time.monotonic() + self.ready
        while time.monotonic() < until and (
            node.progress.arrived < scenario.dashboards or node.progress.widgets < scenario.widgets
        ):
            gevent.sleep(0.02)
        node.begin(time.monotonic() + 0.1)
        gevent.sleep(0.1 + scenario.duration / 4)
        _stall(self.stall)
        self.wait_for(lambda: time.monotonic() >= node.start + scenario.duration)
        # However slow this machine is: the same messages and changes, and whoever was lost is back.
        planned = sum(len(node.schedule(widget)) for widget in range(scenario.widgets))
        self.wait_for(lambda: node.progress.sent >= planned)
        changing = [user.changing for user in users if isinstance(user, DashboardUser) and user.changing is not None]
        gevent.joinall(changing, timeout=_PATIENCE)
        node.sends.join(timeout=_PATIENCE)
        self.wait_for(lambda: node.progress.subscribed >= node.progress.arrived)
        frames = -1
        while frames < node.progress.frames:
            frames = node.progress.frames
            gevent.sleep(_SETTLES)

    @staticmethod
    def wait_for(met: Callable[[], bool]) -> None:
        """Waits until that is so, with patience."""
        until = time.monotonic() + _PATIENCE
        while not met() and time.monotonic() < until:
            gevent.sleep(0.02)


def main() -> None:
    BUILT_IN.update(push_protocols.PROTOCOLS)
    asked = json.load(sys.stdin)
    if asked["hurried"]:
        sender.TIMEOUT = http.TIMEOUT = push_protocols.SEND_TIMEOUT  # type: ignore[attr-defined]
    final_read._PAUSE = 0.05
    cases = [Case(case) for case in asked["cases"]]
    ends = [gevent.spawn(case.run) for case in cases]
    json.dump([end.get() for end in ends], sys.stdout)


if __name__ == "__main__":
    final_read._LONGEST = 8.0
    main()
