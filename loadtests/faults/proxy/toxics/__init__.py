"""The toxics, by the names that Toxiproxy gives them. One toxic, one file; `toxic.py` is their contract."""

from collections.abc import Mapping

from .bandwidth import Bandwidth
from .latency import Latency
from .limit_data import LimitData
from .reset_peer import ResetPeer
from .slicer import Slicer
from .slow_close import SlowClose
from .timeout import Timeout
from .toxic import Toxic

TOXICS: Mapping[str, type[Toxic]] = {
    "bandwidth": Bandwidth,
    "latency": Latency,
    "limit_data": LimitData,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "timeout": Timeout,
}
