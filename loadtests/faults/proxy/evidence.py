"""What the proxy did, counted: without evidence of a fault, a run that had one proves nothing."""

from dataclasses import dataclass


@dataclass(slots=True)
class ToxicEffects:
    """Counters that only grow, except `connections_open`."""

    bytes_through: int = 0  # let through (a toxic), handed to the receiver's socket (a proxy); both directions
    bytes_delayed: int = 0  # held for a time; a byte that two toxics held counts twice
    bytes_swallowed: int = 0  # taken from the sender and not given to the receiver, by a toxic or by taking down
    connections_cut: int = 0  # closed by a toxic, or by taking the proxy down
    connections_reset: int = 0  # reset (RST) by a toxic


@dataclass(slots=True)
class ToxicEvidence(ToxicEffects):
    """What one toxic did, over all connections."""

    ends_delayed: int = 0  # ends of connections, one for each direction, that were held for a time
    pieces_cut: int = 0  # more pieces came out than went in
    connections_affected: int = 0  # that it applied to, whether or not anything went through them
    active: bool = True


@dataclass(slots=True)
class ProxyEvidence(ToxicEffects):
    """What one proxy did, since it was created."""

    connections_accepted: int = 0
    connections_open: int = 0
    connections_refused: int = 0  # accepted, but closed before they were joined to the upstream
    upstream_failures: int = 0  # attempts to reach the upstream that failed
    last_upstream_failure: str | None = None
