"""Who served a response: the name that the target gives for itself in a header, found without parsing the others."""

from collections.abc import Callable, Sequence

_FAR = 2048  # bytes of a head that are searched
_LONGEST = 200  # bytes of a name


class ServerNames:
    """Finds names in heads, and numbers each with the address that was connected to."""

    def __init__(self, header: str, number: Callable[[str, str], int]) -> None:
        """`header`: its lower-case name; empty: the target gives none. `number`: see `Recorder.server`."""
        written = [header, header.title(), header.upper()] if header else []
        self._needles = [f"\r\n{name}: ".encode() for name in dict.fromkeys(written)]
        self._number = number
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._last: dict[str, tuple[bytes, int]] = {}  # by address: the whole line with a name, and its number

    def number(self, address: str, head: Sequence[bytes]) -> int:
        """The number of the server at `address` whose response began with these bytes; -1 if nothing is known."""
        data = head[0] if head else b""
        # Mostly the same server as the last time: one search, without cutting anything out.
        last = self._last.get(address)
        if last is not None and last[0] and data.find(last[0], 0, _FAR) >= 0:
            return last[1]
        line = self._line(data)
        known = self._numbers.get((address, line))
        if known is None:
            name = line.partition(b": ")[2].strip()[:_LONGEST].decode("latin-1")
            known = self._numbers[address, line] = self._number(address, name)
        self._last[address] = (line, known)
        return known

    def _line(self, data: bytes) -> bytes:
        """The line with the name, with the line ends around it; empty if there is none."""
        end = data.find(b"\r\n\r\n", 0, _FAR) + 2
        for needle in self._needles:
            at = data.find(needle, 0, end)
            if at >= 0:
                return data[at : data.find(b"\r\n", at + 2, end) + 2]
        return b""
