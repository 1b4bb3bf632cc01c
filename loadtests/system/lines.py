"""Splits what comes out of a pipe, however it is cut into pieces, into whole lines."""


class LineBuffer:
    """Keeps the beginning of a line until its end has come."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, in order, without their line feeds."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines
