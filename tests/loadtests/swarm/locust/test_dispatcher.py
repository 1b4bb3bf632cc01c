"""Users are spread evenly over workers and stay there. In separate processes, because importing Locust patches them."""

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
    # Locust itself distributes in turn: all dashboards to one worker, all widgets to the other.
    "each kind is spread evenly": 'assert ramp(on_workers(2), 8) == {"w0": HALF, "w1": HALF}',
    "more users than the scenario has are not started": 'assert ramp(on_workers(1), 20) == {"w0": ALL}',
    "fewer, and then more again": """
dispatcher = on_workers(2)
assert [total(ramp(dispatcher, users)) for users in (8, 3, 8)] == [8, 3, 8]
""",
    "a worker that joins gets no users": """
dispatcher = on_workers(2)
before = ramp(dispatcher, 8)
dispatcher.add_worker(WorkerNode("w2"))
assert ramp(dispatcher, 8) == before
""",
    "when a worker leaves the others keep their users and get no more": """
dispatcher = on_workers(2)
ramp(dispatcher, 8)
dispatcher.remove_worker(WorkerNode("w0"))
assert ramp(dispatcher, 4) == {"w1": HALF}
""",
    "the last worker may leave": """
dispatcher = on_workers(1)
ramp(dispatcher, 8)
dispatcher.remove_worker(WorkerNode("w0"))
assert ramp(dispatcher, 8) == {"w0": ALL}
""",
}


@pytest.mark.parametrize("case", CASES)
def test_users_are_spread_evenly_and_stay(case: str) -> None:
    subprocess.run([sys.executable, "-c", PRELUDE + CASES[case]], check=True, timeout=60)
