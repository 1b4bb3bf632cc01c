"""A pytest plugin for latency assertions in a team's own tests: the fixtures `chatswarm` and `chatswarm_target`.

pytest loads `hooks.py`. Nothing here imports Locust, and pytest's own process opens no socket: each run is a child
process, which never outlives pytest.
"""

from .comparison import MeasuredComparison
from .fixture import Swarm
from .result import MeasuredVerdict, NotRunError, NoVerdictError, SwarmError, UndecidedError

__all__ = [
    "MeasuredComparison",
    "MeasuredVerdict",
    "NoVerdictError",
    "NotRunError",
    "Swarm",
    "SwarmError",
    "UndecidedError",
]
