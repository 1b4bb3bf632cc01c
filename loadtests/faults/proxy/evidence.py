"""Counters of what the proxy did: evidence, without which a fault proves nothing."""

from dataclasses import dataclass


@dataclass(slots=True)
class ToxicEffects:
    """Counters that only grow, except `connections_open`."""

    bytes_through: int = 0  # let through by a toxic, or written to receivers by a proxy; both directions
    bytes_delayed: int = 0  # held for a time; a byte that two toxics hold counts twice
    bytes_swallowed: int = (
        0  # taken from the sender and never delivered, because of a toxic or because the proxy went down
    )
    connections_cut: int = 0  # closed by a toxic, or because the proxy went down
    connections_reset: int = 0  # reset (RST) by a toxic


@dataclass(slots=True)
class ToxicEvidence(ToxicEffects):
    """What one toxic did, on all connections."""

    ends_delayed: int = 0  # ends held for a time; each direction of a connection has one
    pieces_cut: int = 0  # pieces that came out, beyond those that went in
    connections_affected: int = 0  # that it applied to, even if they carried no data
    active: bool = True


@dataclass(slots=True)
class ProxyEvidence(ToxicEffects):
    """What one proxy did since it was created."""

    connections_accepted: int = 0
    connections_open: int = 0
    connections_refused: int = 0  # accepted, but closed before the upstream was connected
    upstream_failures: int = 0  # failed attempts to connect to the upstream
    last_upstream_failure: str | None = None
