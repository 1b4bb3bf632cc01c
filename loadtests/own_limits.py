"""Limits of the load generator's own: what the system refuses here is not the target's doing. Told by their errno."""

import errno
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """What this machine ran out of or does not have, and what to do about it, in words that follow a colon."""

    name: str
    remedy: str
    verb: str = "ran out of"


_FILES = OwnLimit("open files", "raise the limit (ulimit -n), or use --processes")
_MEMORY = OwnLimit("memory", "free memory, or use a larger machine")
_ROUTE = OwnLimit("route to the target", "check this machine's network, VPN and routes", "has no")
_FIREWALL = OwnLimit("permission to connect", "check this machine's firewall and sandbox", "has no")

OWN: dict[int, OwnLimit] = {
    errno.EMFILE: _FILES,
    errno.ENFILE: OwnLimit("open files of the whole system", "raise fs.file-max, or stop other programs"),
    errno.EADDRNOTAVAIL: OwnLimit("local ports", "widen net.ipv4.ip_local_port_range, or use a second machine"),
    errno.EAGAIN: OwnLimit("local ports", "widen net.ipv4.ip_local_port_range, or use a second machine"),
    errno.ENOBUFS: OwnLimit("buffer memory", "raise net.core.wmem_max and net.ipv4.tcp_mem, or free memory"),
    errno.ENOMEM: _MEMORY,
    errno.ENETUNREACH: _ROUTE,
    errno.EHOSTUNREACH: _ROUTE,
    errno.ENETDOWN: _ROUTE,
    errno.EAFNOSUPPORT: OwnLimit("address family of the target", "enable IPv6 (or IPv4) on this machine", "lacks the"),
    errno.EACCES: _FIREWALL,
    errno.EPERM: _FIREWALL,
}
"""What may go wrong while a connection is opened or used, and is this machine's own trouble."""
