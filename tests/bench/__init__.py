"""Benchmarks: one file per subject, and a runner that prints each figure beside its limit."""
