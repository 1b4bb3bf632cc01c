"""Parses and formats durations: `30s`, `300ms`, `5m`, or a plain number of seconds."""

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%)?", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", re.ASCII)


def seconds(value: object) -> float:
    """The duration in seconds, 0 or more. Raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a duration such as 30s or 300ms, got {value!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]


def human(duration: float | None) -> str:
    """A duration for people, with at most three digits: `12 ms`, `1.83 s`, `–` if nothing was measured."""
    if duration is None:
        return "–"
    if duration == float("inf"):
        return "never"
    if abs(duration) < 0.9995:
        return f"{duration * 1000:.3g} ms" if abs(duration) < 0.0995 else f"{duration * 1000:.0f} ms"
    return f"{duration:.2f} s" if duration < 99.95 else f"{duration:.0f} s"


def about(seconds: float) -> str:
    """A long time for people, rounded up from 90 s on: `40 s`, `9 min`, `1 h 20 min`."""
    if seconds <= 90:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def share(value: str) -> float:
    """A share such as `10%` or `0.1`, above 0 and below 1. Raises ValueError for anything else."""
    match = _SHARE.fullmatch(value.strip())
    found = None if match is None else float(match[1]) / (100 if match[2] else 1)
    if found is None or not 0 < found < 1:
        raise ValueError(f"expected a share such as 10% or 0.1, got {value!r}")
    return found
