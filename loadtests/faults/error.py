"""The error that every fault raises; separate from `fault.py` because what that imports raises it too."""


class FaultError(Exception):
    """A fault could not begin or could not be healed. The text says where, what was expected, and what came."""
