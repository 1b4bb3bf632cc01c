"""Comparing two builds, setups or tools by several runs of each."""
