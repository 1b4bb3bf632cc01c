"""The kinds of faults, by the names that scenarios give them. A new one is one file and one row here."""

from collections.abc import Mapping

from .command import COMMAND
from .fault import Fault
from .network import NETWORK_FAULTS
from .process import PROCESS_FAULTS
from .rogue import ROGUES
from .store import STORE_FAULTS

KINDS: Mapping[str, type[Fault]] = {**NETWORK_FAULTS, **PROCESS_FAULTS, **STORE_FAULTS, **ROGUES, **COMMAND}
