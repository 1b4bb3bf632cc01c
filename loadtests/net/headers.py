"""The header fields of a response, as they came."""


class Headers(tuple[tuple[str, str], ...]):
    """Header fields in the order in which they came, as pairs of a lower-case name and a value. Immutable."""

    __slots__ = ()

    def first(self, name: str) -> str | None:
        """The first value of a header; None if it is missing. `name` in lower case."""
        return next((value for key, value in self if key == name), None)

    def every(self, name: str) -> list[str]:
        """All values of a header, in order. `name` in lower case."""
        return [value for key, value in self if key == name]
