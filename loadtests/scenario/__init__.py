"""Scenarios: SLOs, schedule and faults, read from TOML and validated."""
