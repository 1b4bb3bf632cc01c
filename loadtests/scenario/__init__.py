"""What is to happen: a scenario with its SLOs, schedule and faults, read from TOML and checked."""
