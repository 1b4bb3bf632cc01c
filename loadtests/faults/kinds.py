"""The kinds of faults, by their names in scenarios. A new kind needs one file and one row here."""

from collections.abc import Mapping

from .command_fault import COMMAND
from .fault import Fault
from .network_faults import NETWORK_FAULTS
from .process_faults import PROCESS_FAULTS
from .rogue_faults import ROGUES
from .store_faults import STORE_FAULTS

KINDS: Mapping[str, type[Fault]] = {**NETWORK_FAULTS, **PROCESS_FAULTS, **STORE_FAULTS, **ROGUES, **COMMAND}
