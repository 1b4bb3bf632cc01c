"""Limits of the load-generating machine: a failure caused by one says nothing about the target.

The swarm records such a failure as its negative errno; the judge looks it up in the same table.
"""

import errno
import socket
from typing import NamedTuple


class RigLimit(NamedTuple):
    """A limit in plain words, and what to do about it."""

    name: str
    remedy: str


_FILES = "raise `ulimit -n`, or spread the users over more processes with --processes"
_MEMORY = "use fewer users on this machine, or give it more memory"
_PORTS = "widen net.ipv4.ip_local_port_range, wait for closed connections to time out, or use more machines"
_ROUTE = "check this machine's network, VPN and routes to the target"
_RULES = "check this machine's firewall and what its sandbox or container allows"

RIG_LIMITS: dict[int, RigLimit] = {
    errno.EMFILE: RigLimit("open files", _FILES),
    errno.ENFILE: RigLimit("open files of the whole machine", "raise the sysctl fs.file-max, or use more machines"),
    errno.EADDRNOTAVAIL: RigLimit("local ports", _PORTS),
    errno.EAGAIN: RigLimit("local ports", _PORTS),
    errno.ENOBUFS: RigLimit("network buffers", _MEMORY),
    errno.ENOMEM: RigLimit("memory", _MEMORY),
    errno.ENETUNREACH: RigLimit("no route to the network", _ROUTE),
    errno.EHOSTUNREACH: RigLimit("no route to the host", _ROUTE),
    errno.ENETDOWN: RigLimit("the network is down", _ROUTE),
    errno.EAFNOSUPPORT: RigLimit("no such address family", "enable IPv6 here, or name the target by an IPv4 address"),
    errno.EACCES: RigLimit("a connection that is not permitted", _RULES),
    errno.EPERM: RigLimit("a connection that is not permitted", _RULES),
    errno.EINVAL: RigLimit("a request or an address that cannot be sent", "check --target, the protocol and the token"),
}
"""Errnos for which the rig is at fault while connecting. Refusals, resets and timeouts are not among them."""

RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errnos for which the rig is at fault at any time. Trying another address of the target does not help."""


def rig_limit_errno(error: BaseException) -> int | None:
    """The errno of the rig limit behind this failure or one of its causes; None if there is none."""
    import ssl  # the judge needs only the table

    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, socket.gaierror):
            # These are resolver codes, not errnos. This is the only one that names a resource.
            if cause.errno == socket.EAI_MEMORY:
                return errno.ENOMEM
        elif isinstance(cause, MemoryError):
            return errno.ENOMEM
        # OpenSSL's codes are not errnos: its 1 would read as EPERM.
        elif isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno in RIG_LIMITS:
            return cause.errno
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None
