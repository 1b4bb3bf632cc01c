"""Faults: injected on schedule, proven by evidence, and healed on every way out."""
