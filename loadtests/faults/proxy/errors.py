"""What the API refuses, in Toxiproxy's words and status codes, followed by what was expected and what was there."""

from collections.abc import Iterable


class ApiError(Exception):
    """An answer other than success: `status` and `message` are sent as `{"error": …, "status": …}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_body(problems: Iterable[str]) -> ApiError:
    """A body with something wrong in it; all problems at once."""
    return ApiError(400, "bad request body: " + "; ".join(problems))


def missing_field(name: str) -> ApiError:
    """A field that has no default is not there."""
    return ApiError(400, f"missing required field: {name}")


def proxy_not_found(name: str, known: Iterable[str]) -> ApiError:
    """No proxy has that name; tells those that there are."""
    return ApiError(404, f"proxy not found: expected {_one_of(known)}, got {name!r}")


def proxy_exists(name: str) -> ApiError:
    """A proxy has that name already."""
    return ApiError(409, f"proxy already exists: {name}")


def toxic_not_found(name: str, known: Iterable[str]) -> ApiError:
    """No toxic of the proxy has that name; tells those that there are."""
    return ApiError(404, f"toxic not found: expected {_one_of(known)}, got {name!r}")


def toxic_exists(name: str) -> ApiError:
    """A toxic of the proxy has that name already."""
    return ApiError(409, f"toxic already exists: {name}")


def invalid_stream(stream: str) -> ApiError:
    """A stream that is neither of the two."""
    return ApiError(400, f"stream was invalid, can be either upstream or downstream, got {stream!r}")


def invalid_type(kind: str, known: Iterable[str]) -> ApiError:
    """A toxic that does not exist; tells those that do."""
    return ApiError(400, f"invalid toxic type: expected {_one_of(known)}, got {kind!r}")


def cannot_listen(proxy: str, listen: str, reason: str) -> ApiError:
    """The address is taken, unknown, or not of this machine."""
    return ApiError(500, f"proxy {proxy}: expected an address that is free to listen on, got {listen}: {reason}")


def _one_of(known: Iterable[str]) -> str:
    names = sorted(known)
    return f"one of {', '.join(names)}" if names else "none, as there are none"
