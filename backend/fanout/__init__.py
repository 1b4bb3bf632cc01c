"""Carries each message to every dashboard's socket."""
