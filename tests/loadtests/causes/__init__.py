"""Tests of the table of causes."""
