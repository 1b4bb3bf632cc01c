"""Writes and reads timestamps: ISO 8601 with microseconds, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp() -> str:
    """The current time, as `2025-11-08T12:00:00.123456Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age(written: str) -> float:
    """Seconds since a timestamp as written by `timestamp`; 0 for one in the future."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds())
