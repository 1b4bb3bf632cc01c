"""Latency assertions among a team's other tests: a pytest plugin with the fixtures `chatswarm` and `chatswarm_target`.

`hooks.py` is what pytest loads. Nothing here imports Locust, and pytest's own process opens no socket: a run is a
process of its own, which ends with it.
"""

from .fixture import Swarm
from .result import MeasuredVerdict, NotRunError, NoVerdictError, SwarmError, UndecidedError

__all__ = ["MeasuredVerdict", "NoVerdictError", "NotRunError", "Swarm", "SwarmError", "UndecidedError"]
