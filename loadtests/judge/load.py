"""A fingerprint of what a run asked of its target, without what may differ between runs that are compared."""

import hashlib

import msgspec

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.text import encodable

_NOT_LOAD = ("question", "slo", "backend")
"""Parts of a scenario that say what it asks and expects, and how the reference chat is started: not what is done."""
_DIGITS = 12


def load_of(manifest: Manifest, scenario: Scenario) -> str:
    """The fingerprint: equal for two runs with the same load, faults, protocol and number of processes with users.

    Seed, target, SLOs and the flags of the reference chat may differ. Another version of chatswarm whose scenarios have
    more keys gives another one.
    """
    load = {key: value for key, value in scenario.table.items() if key not in _NOT_LOAD}
    # A protocol's file may lie elsewhere on another machine.
    protocol = encodable(manifest.protocol.rpartition("/")[2])
    text = msgspec.json.encode([load, len(manifest.with_users), protocol], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]
