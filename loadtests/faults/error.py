"""How a fault goes wrong itself."""


class FaultError(Exception):
    """A fault that could not begin or could not be healed. The text says where, what was expected, and what came."""
