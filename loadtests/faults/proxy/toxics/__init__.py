"""The toxics, by their names in Toxiproxy. One toxic per file; `toxic.py` is the base class."""

from collections.abc import Mapping

from .bandwidth import BandwidthToxic
from .latency import LatencyToxic
from .limit_data import LimitDataToxic
from .reset_peer import ResetPeerToxic
from .slicer import SlicerToxic
from .slow_close import SlowCloseToxic
from .timeout import TimeoutToxic
from .toxic import Toxic

TOXICS: Mapping[str, type[Toxic]] = {
    "bandwidth": BandwidthToxic,
    "latency": LatencyToxic,
    "limit_data": LimitDataToxic,
    "reset_peer": ResetPeerToxic,
    "slicer": SlicerToxic,
    "slow_close": SlowCloseToxic,
    "timeout": TimeoutToxic,
}
