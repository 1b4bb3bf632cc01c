"""Latency assertions among a team's other tests: a pytest plugin with the fixtures `chatswarm` and `chatswarm_target`.

`hooks.py` is what pytest loads. Nothing here imports Locust, and pytest's own process opens no socket: a run is a
process of its own, which ends with it.
"""

from .measured import NotRunError, NoVerdictError, SwarmError, UndecidedError, Verdict
from .swarm import Swarm

__all__ = ["NoVerdictError", "NotRunError", "Swarm", "SwarmError", "UndecidedError", "Verdict"]
