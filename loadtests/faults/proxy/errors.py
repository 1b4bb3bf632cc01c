"""The API's errors: Toxiproxy's texts and status codes, then what was expected and what came."""

from collections.abc import Iterable


class ApiError(Exception):
    """An error response: `{"error": message, "status": status}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_body(problems: Iterable[str]) -> ApiError:
    """A malformed body; all problems at once."""
    return ApiError(400, "bad request body: " + "; ".join(problems))


def missing_field(name: str) -> ApiError:
    """A required field is missing."""
    return ApiError(400, f"missing required field: {name}")


def proxy_not_found(name: str, known: Iterable[str]) -> ApiError:
    """No proxy has that name. Lists the existing ones."""
    return ApiError(404, f"proxy not found: expected {_one_of(known)}, got {name!r}")


def proxy_exists(name: str) -> ApiError:
    """A proxy of that name exists."""
    return ApiError(409, f"proxy already exists: {name}")


def toxic_not_found(name: str, known: Iterable[str]) -> ApiError:
    """No toxic of the proxy has that name. Lists the existing ones."""
    return ApiError(404, f"toxic not found: expected {_one_of(known)}, got {name!r}")


def toxic_exists(name: str) -> ApiError:
    """A toxic of that name exists."""
    return ApiError(409, f"toxic already exists: {name}")


def invalid_stream(stream: str) -> ApiError:
    """The stream is neither upstream nor downstream."""
    return ApiError(400, f"stream was invalid, can be either upstream or downstream, got {stream!r}")


def invalid_type(kind: str, known: Iterable[str]) -> ApiError:
    """There is no such type of toxic. Lists the existing ones."""
    return ApiError(400, f"invalid toxic type: expected {_one_of(known)}, got {kind!r}")


def cannot_listen(proxy: str, listen: str, reason: str) -> ApiError:
    """The address is taken, unknown, or not on this machine."""
    return ApiError(500, f"proxy {proxy}: expected an address that is free to listen on, got {listen}: {reason}")


def _one_of(known: Iterable[str]) -> str:
    names = sorted(known)
    return f"one of {', '.join(names)}" if names else "none, as there are none"
