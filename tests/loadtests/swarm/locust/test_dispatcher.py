"""How users are spread over workers, and that they stay. In processes of their own: importing Locust patches all."""

import subprocess
import sys

import pytest

PRELUDE = """
from locust import User
from locust.runners import WorkerNode

from chatswarm.loadtests.swarm.locust.dispatcher import SteadyDispatcher

class Dashboard(User):
    fixed_count = 4

class Widget(User):
    fixed_count = 4

def on_workers(number):
    return SteadyDispatcher([WorkerNode(f"w{n}") for n in range(number)], [Dashboard, Widget])

def ramp(dispatcher, users):
    dispatcher.new_dispatch(users, 1000)
    return list(dispatcher)[-1]

def total(spread):
    return sum(sum(users.values()) for users in spread.values())

HALF, ALL = {"Dashboard": 2, "Widget": 2}, {"Dashboard": 4, "Widget": 4}
"""

CASES = {
    # Locust itself deals out in turn: all dashboards here, all widgets there.
    "each kind is spread evenly": 'assert ramp(on_workers(2), 8) == {"w0": HALF, "w1": HALF}',
    "more users than the scenario has are not started": 'assert ramp(on_workers(1), 20) == {"w0": ALL}',
    "fewer, and then more again": """
dispatcher = on_workers(2)
assert [total(ramp(dispatcher, users)) for users in (8, 3, 8)] == [8, 3, 8]
""",
    "a worker that comes gets nobody": """
dispatcher = on_workers(2)
before = ramp(dispatcher, 8)
dispatcher.add_worker(WorkerNode("w2"))
assert ramp(dispatcher, 8) == before
""",
    "when a worker goes the others keep their users and get no more": """
dispatcher = on_workers(2)
ramp(dispatcher, 8)
dispatcher.remove_worker(WorkerNode("w0"))
assert ramp(dispatcher, 4) == {"w1": HALF}
""",
    "the last worker may go": """
dispatcher = on_workers(1)
ramp(dispatcher, 8)
dispatcher.remove_worker(WorkerNode("w0"))
assert ramp(dispatcher, 8) == {"w0": ALL}
""",
}


@pytest.mark.parametrize("case", CASES)
def test_users_are_spread_evenly_and_stay(case: str) -> None:
    subprocess.run([sys.executable, "-c", PRELUDE + CASES[case]], check=True, timeout=60)
